"""What a folder of training shards says about itself, in ``data.json``: how it was made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from autoagent.errors import UsageError
from autoagent.models import disk
from autoagent.nano.tokenizer import tokenizer_hash

ABOUT_DATA = "data.json"


def stamp(data: Path, tokenizer: Path, made: Mapping[str, Any] | None = None) -> None:
    """Note in a folder of shards how they are made.

    Raises:
        UsageError: those that are there were made with another tokenizer, seed or mix.
    """
    about = {"tokenizer": tokenizer_hash(tokenizer)} | dict(made or {})
    kept = read_about_data(data) if any(data.glob("shard-*.npz")) else {}
    for key, value in about.items():
        if kept.get(key, value) != value:
            other = key if key == "tokenizer" else f"{key} ({kept[key]}, not {value})"
            raise UsageError(
                f"the training data in {data} was made with another {other}: choose another folder"
            )
    data.mkdir(parents=True, exist_ok=True)
    write_json(data / ABOUT_DATA, kept | about)


def read_about_data(data: Path) -> dict[str, Any]:
    """What the maker of a folder of shards noted down, the hash of its tokenizer among it."""
    try:
        about: dict[str, Any] = json.loads((data / ABOUT_DATA).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as fault:
        raise UsageError(f"cannot read {data / ABOUT_DATA}: {fault}") from None
    return about


def hash_files(files: Iterable[Path]) -> str:
    """SHA-256 of the contents of files, one after another."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def write_json(file: Path, settings: dict[str, Any]) -> None:
    """Write settings so that the file is whole, the old or the new, whatever happens.

    Raises :class:`UsageError` where it cannot be written; what was there stays.
    """
    try:
        disk.replace(file, (json.dumps(settings, indent=2) + "\n").encode())
    except OSError as fault:
        raise UsageError(f"cannot write {file}: {disk.reason(fault)}") from None
