"""From what a user calls a model to the model: version name, ``current``, ``embedded``, folder or hub id."""

from __future__ import annotations

from pathlib import Path

from autoagent.errors import ModelError, UsageError
from autoagent.home import project_home
from autoagent.models.protocol import Model
from autoagent.models.versions import Versions
from autoagent.prompts import prompt_hash

REMOTE = "openai:"


def load_model(spec: str | Path | None, home: Path | None = None) -> Model:
    """Load a model, ready to open sessions. This is what brings torch in.

    Args:
        spec: A version name, ``embedded``, a model folder or a hub id; None or ``current``: the one in use.
        home: The project's home, where its versions are; by default that of the current folder.

    Raises:
        ModelError: there is no such model, its files are missing or damaged.
        UsageError: remote models are not supported yet.
    """
    name = None if spec is None else str(spec).strip()
    if name is not None and name.startswith(REMOTE):
        raise UsageError(f"{name}: remote models come with a later version; name a model folder or hub id")
    if name == "":
        raise ModelError("the model's name is empty: give a version, a model folder or a hub id")
    versions = Versions(home or project_home())
    source = versions.resolve(name)
    if isinstance(source, Path) and source.parent == versions.folder:
        versions.verify(source.name, fresh=False)
    from autoagent.models.local import LocalModel

    return LocalModel.load(source, prompts=prompt_hash())
