"""Files that are there whole or not at all, whatever ends the process meanwhile."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from autoagent.errors import StoreError


def read(path: Path) -> bytes | None:
    """The content of a small file, None where there is none; StoreError where it cannot be read."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from None


def replace(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old or the new content, even after a crash."""
    draft = path.with_name(f".{path.name}.new")
    try:
        draft.write_bytes(content)
        sync(draft)
        os.replace(draft, path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """See that a file or folder is on the disk, not only in its cache."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def settle(draft: Path, place: Path) -> None:
    """Make a folder's files read-only, see that they are on the disk, and let it appear under its name."""
    for path in draft.iterdir():
        path.chmod(0o444)
        sync(path)
    draft.chmod(0o755)
    draft.rename(place)
    sync(place.parent)


def size(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def clear_away(folders: Iterable[Path]) -> None:
    """Remove folders that a process left behind when it was killed."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def reason(error: OSError) -> str:
    """Why something could not be written, for people: ``No space left on device``."""
    return error.strerror or str(error)
