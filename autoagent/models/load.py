"""From what a user calls a model to the model: version, ``current``, ``embedded``, folder, hub id, remote."""

from __future__ import annotations

from pathlib import Path

from autoagent.errors import ModelError
from autoagent.home import project_home
from autoagent.models.protocol import Model
from autoagent.models.versions import Versions
from autoagent.prompts import prompt_hash

REMOTE = "openai:"


def load_model(
    spec: str | Path | None,
    home: Path | None = None,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    window: int | None = None,
    device: str = "auto",
    dtype: str = "auto",
    trust_remote_code: bool = False,
) -> Model:
    """Load a model, ready to open sessions. A local one is what brings torch in.

    Args:
        spec: A version name, ``embedded``, a model folder or a hub id; None or ``current``: the one in use;
            ``openai:NAME``: a model on the server at ``base_url``, ``openai:`` the only one it has.
        home: The project's home, where its versions are; by default that of the current folder.
        base_url: The server's address, like ``http://127.0.0.1:8000/v1``. Only for ``openai:``.
        api_key: Sent to that server, and shown nowhere. Only for ``openai:``.
        window: Tokens of the conversation to use at most; by default what the model or its server names.
        device: Where a local model runs: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        dtype: Number format of a local model: ``auto``, ``float32``, ``bfloat16``, ``float16``.
        trust_remote_code: Run Python code that comes with a local model.

    Raises:
        ModelError: there is no such model, its files are missing or damaged, or its server cannot be used.
    """
    name = None if spec is None else str(spec).strip()
    if name is not None and name.startswith(REMOTE):
        return _remote(name.removeprefix(REMOTE).strip(), base_url, api_key, window)
    if name == "":
        raise ModelError("the model's name is empty: give a version, a model folder or a hub id")
    versions = Versions(home or project_home())
    source = versions.resolve(name)
    if isinstance(source, Path) and source.parent == versions.folder:
        versions.verify(source.name, fresh=False)
    from autoagent.models.local import LocalModel

    return LocalModel.load(
        source,
        device=device,
        dtype=dtype,
        trust_remote_code=trust_remote_code,
        window=window,
        prompts=prompt_hash(source if isinstance(source, Path) else None),
    )


def _remote(name: str, base_url: str | None, api_key: str | None, window: int | None) -> Model:
    if not base_url:  # no default: what is not written down does not leave this machine
        raise ModelError(
            f"{REMOTE}{name} needs the address of its server: --base-url http://127.0.0.1:8000/v1"
        )
    from autoagent.models.remote import RemoteModel

    return RemoteModel.load(name, base_url, api_key=api_key, window=window, prompts=prompt_hash())
