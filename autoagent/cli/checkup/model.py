"""The model in use: a small one is loaded and asked, a large one found, a server asked for its list."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Iterator

from autoagent.cli.checkup.finding import GB, WAIT, Finding
from autoagent.cli.parts import Parts

_QUICK = GB  # bytes of weights that load fast enough for a look


def model(parts: Parts) -> Iterator[Finding]:
    """Whether the model in use is there, loads and says something."""
    from autoagent.models.load import REMOTE
    from autoagent.models.versions import Versions

    spec = parts.settings.model
    if parts.load is None and spec.startswith(REMOTE):
        yield _server(parts)
        return
    source = None if parts.load is not None else Versions(parts.home).resolve(spec)
    if isinstance(source, str):
        yield _from_hub(source)
        return
    if source is not None:
        from autoagent.models.needs import gigabytes, measure

        needs = measure(source)
        if needs.weights > _QUICK:
            size = gigabytes(needs.weights)
            yield Finding("model", "ok", f"{spec}: {size} of weights, found but not loaded for this look")
            return
    yield _answers(parts, spec)


def _from_hub(name: str) -> Finding:
    """Whether a hub model is on this machine; the network is not used."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        there = isinstance(try_to_load_from_cache(name, "config.json"), str)
    except HFValidationError:
        return Finding(
            "model", "fail", f"{name}: there is no such folder, and it is no hub id", "mend `model`"
        )
    if there:
        return Finding("model", "ok", f"{name}: from the hub, downloaded, not loaded for this look")
    return Finding(
        "model", "warn", f"{name}: not downloaded yet", "the first run does it, with the network on"
    )


def _answers(parts: Parts, spec: str) -> Finding:
    """Load it and let it say something: a model that cannot raises, which is a finding, too."""
    from autoagent.config import Sampling
    from autoagent.models.protocol import Text, complete
    from autoagent.trajectory import Message

    began = time.monotonic()
    model = parts.model(spec)
    loaded = time.monotonic() - began
    session = model.open([Message(role="user", content="Hello.")], [])
    try:
        reply = complete(session.generate(Text(), sampling=Sampling(), max_tokens=16))
    finally:
        session.close()
    speed = reply.counts.sampled / reply.seconds if reply.seconds else 0.0
    pace = f", {speed:.0f} tokens/s" if speed else ""
    return Finding(
        "model", "ok", f"{spec}: {model.version[:12]}, window {model.window}, loads in {loaded:.1f} s{pace}"
    )


def _server(parts: Parts) -> Finding:
    """Ask for the list of models: free, and enough to see whether address and key are right."""
    settings = parts.settings
    if not settings.base_url:
        return Finding("model", "fail", f"{settings.model} has no address", "set base_url")
    asked = urllib.request.Request(f"{settings.base_url.rstrip('/')}/models")
    if settings.api_key:
        asked.add_header("Authorization", f"Bearer {settings.api_key}")
    where = f"{settings.model} at {settings.base_url}"
    try:
        with urllib.request.urlopen(asked, timeout=WAIT):
            return Finding("model", "ok", f"{where}: the server answers")
    except urllib.error.HTTPError as answer:
        answer.close()
        if answer.code in (401, 403):
            return Finding("model", "fail", f"{where}: the key is refused", "set api_key or OPENAI_API_KEY")
        return Finding("model", "warn", f"{where}: it answers, but does not list its models ({answer.code})")
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "reason", problem)
        return Finding("model", "fail", f"{where}: {reason}", "start the server, or mend base_url")
