"""What a server tells about a model beside answering: its window, its tokenizer, what is behind the name."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from autoagent.errors import AutoagentError, ModelError, ServerError
from autoagent.models.remote.server import Failed, Refused, Server, Unknown

PATIENCE = 30.0  # seconds; a server that is busy with another answer may let us wait
_WINDOWS = ("max_model_len", "context_length", "max_context_length")  # vLLM and SGLang; OpenRouter; LM Studio
_OLLAMA_DEFAULT = 4096  # tokens it gives a model whose settings name none
_SHAPING = ("id", "root", "max_model_len", "meta", "model_path", "chat_template", "details", "parameters")


@dataclass(frozen=True)
class Facts:
    """What was found out. ``window`` in tokens, None where the server does not tell."""

    name: str
    window: int | None = None
    told: dict[str, Any] = field(default_factory=dict)  # what identifies the model behind the name

    def version(self, url: str, prompts: str) -> str:
        """``openai:NAME@hash``: address, name, prompt set and everything the server tells."""
        said = json.dumps([url, self.name, prompts, self.told], sort_keys=True)
        return f"openai:{self.name}@{hashlib.sha256(said.encode()).hexdigest()[:12]}"


def find_out(server: Server, name: str) -> Facts:
    """Ask the server about a model; an empty name is the one model it has.

    Raises:
        ModelError: the server cannot be reached, refuses the key, or is no such server.
    """
    models = _models(server)
    if not name:
        name = _only(models, server.url)
    listed = next((model for model in models if model.get("id") == name), {})
    window = _first(listed, _WINDOWS)
    told = {key: listed[key] for key in _SHAPING if key in listed}
    if window is None:
        props = _dict(server, f"{server.root}/props?model={quote(name, safe='')}")
        window = _first(props.get("default_generation_settings"), ("n_ctx",)) or _first(props, ("n_ctx",))
        told |= {key: props[key] for key in _SHAPING if key in props}
    if window is None:
        shown = _dict(server, f"{server.root}/api/show", {"model": name})
        window = _ollama_window(shown)
        told |= {key: shown[key] for key in _SHAPING if key in shown}
    return Facts(name=name, window=window, told=told)


def count_tokens(server: Server, name: str, text: str) -> int | None:
    """Tokens in ``text`` by the server's own tokenizer; None where it lends none."""
    # vLLM reads "prompt", llama.cpp "content".
    both = {"model": name, "prompt": text, "content": text, "add_special_tokens": False}
    found = _dict(server, f"{server.root}/tokenize", both)
    count = _first(found, ("count",))
    tokens = found.get("tokens")
    return len(tokens) if count is None and isinstance(tokens, list) else count


def _models(server: Server) -> list[dict[str, Any]]:
    """The server's list of models; empty where it has none to show."""
    try:
        said = server.ask("/models", timeout=PATIENCE, retries=1)
    except (Failed, Refused, Unknown):  # some have no list, but do their work
        return []
    except ServerError as error:
        raise ModelError(f"{error}; start it, or correct --base-url") from None
    if not isinstance(said, dict) or not isinstance(said.get("data"), list):
        raise ModelError(
            f"what answers at {server.url} is no OpenAI-compatible server: correct --base-url, which often "
            "ends in /v1"
        )
    return [model for model in said["data"] if isinstance(model, dict)]


def _only(models: list[dict[str, Any]], url: str) -> str:
    names = [str(model.get("id")) for model in models if model.get("id")]
    if len(names) == 1:
        return names[0]
    choice = f"it has {', '.join(names[:8])}" if names else "it does not say which it has"
    raise ModelError(f"name a model of the server at {url}, as --model openai:NAME; {choice}")


def _dict(server: Server, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the server answers, or ``{}``: not every server has every address."""
    try:
        said = server.ask(path, body)
    except (AutoagentError, Refused):
        return {}
    return said if isinstance(said, dict) else {}


def _first(said: Any, keys: Iterable[str]) -> int | None:
    """The first of these that is a number of tokens."""
    for key in keys:
        value = said.get(key) if isinstance(said, dict) else None
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None


def _ollama_window(shown: dict[str, Any]) -> int | None:
    """``num_ctx`` of the model's settings; else the default, where the model was made for as much."""
    setting = re.search(r"^num_ctx\s+(\d+)", str(shown.get("parameters", "")), re.MULTILINE)
    if setting:
        return int(setting[1])
    info = shown.get("model_info")
    keys = [key for key in info if str(key).endswith(".context_length")] if isinstance(info, dict) else []
    made_for = _first(info, keys)
    return None if made_for is None else min(made_for, _OLLAMA_DEFAULT)
