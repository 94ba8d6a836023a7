"""The manifest of a model version, and what the files beside its weights may be called."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from autoagent.models.adapter import BASE, Base
from autoagent.models.fingerprint import shapes, shaping_files

EMBEDDED = "embedded"
MANIFEST = "version.json"
NAME = re.compile(r"v([0-9]+)-[0-9a-f]{8}")

Beside = Mapping[str, Path | bytes | str]  # file names, and what is in them, or where it is copied from


class Version(BaseModel):
    """The manifest of a version. Only ``promoted`` and ``gate`` change after it was made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    hash: str  # of the files and the prompt set, see fingerprint()
    parent: str | None = None  # version, folder or hub id it was trained from
    base: Base | None = None  # of an adapter: the model it changes
    files: dict[str, int] = {}  # bytes of each file that shapes it; {}: made before this was written down
    created: float = 0.0  # seconds since the epoch
    method: str = ""  # "sft", "dpo", ...
    note: str = ""
    promoted: bool = False  # the gate let it through
    gate: dict[str, Any] | None = None  # what the gate measured
    data: dict[str, Any] | None = None  # what it was trained on: runs, steps, counts
    prompts: str = ""  # hash of the prompt set it was trained with


def number(name: str) -> int:
    found = NAME.fullmatch(name)
    return int(found[1]) if found else 0


def as_json(version: Version) -> bytes:
    return version.model_dump_json(indent=1).encode("utf-8") + b"\n"


def beside_name(name: str) -> str:
    """The name of a file beside the weights."""
    if shapes(name) or name == MANIFEST or name.startswith(".") or Path(name).name != name:
        raise ValueError(f"{name} is no name for a file beside a version's weights")
    return name


def content_of(content: Path | bytes | str) -> bytes:
    if isinstance(content, Path):
        return content.read_bytes()
    return content if isinstance(content, bytes) else content.encode("utf-8")


def complete(draft: Path, base: Base, place: Path) -> None:
    """Give an adapter the name and hash of its base, and of its base's files those it lacks."""
    for path in shaping_files(place):
        if not (draft / path.name).exists() and ".safetensors" not in path.name:
            shutil.copyfile(path, draft / path.name)
    (draft / BASE).write_text(base.model_dump_json() + "\n", encoding="utf-8")


def changed(folder: Path, files: Mapping[str, int]) -> str:
    """`` (model.safetensors has 12 bytes, not 64)``, where that can be told."""
    for name, size in files.items():
        if (now := (folder / name).stat().st_size) != size:
            return f" ({name} has {now:,} bytes, not {size:,})"
    added = [path.name for path in shaping_files(folder) if path.name not in files] if files else []
    return f" ({added[0]} was added)" if added else ""
