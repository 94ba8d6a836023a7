"""Files and folders into long-term memory: read, cut into chunks, cited by path and lines."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from autoagent.memory.chunks import chunks
from autoagent.memory.protocol import Memory

LARGEST = 10_000_000  # bytes of a file
_LEFT_OUT = frozenset({"__pycache__", "node_modules"})


@dataclass(frozen=True)
class Added:
    """What became of one file: chunks that are ``new`` or ``gone``, or why it was ``skipped``."""

    source: str
    new: int = 0
    gone: int = 0
    skipped: str = ""


def files_of(paths: Iterable[Path]) -> list[Path]:
    """Return the files named and those in the folders named, in order, each once.

    In folders, hidden files and folders, links and virtual environments are left out.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if not path.is_dir():
            found[path] = None
            continue
        for folder, below, names in os.walk(path):
            below[:] = sorted(name for name in below if not _left_out(Path(folder, name)))
            for name in sorted(names):
                file = Path(folder, name)
                if not name.startswith(".") and file.is_file() and not file.is_symlink():
                    found[file] = None
    return list(found)


def add_files(memory: Memory, files: Iterable[Path], root: Path) -> Iterator[Added]:
    """Read files into ``memory``, one result a file; what was kept of an older version of it goes.

    Args:
        memory: Where to.
        files: See ``files_of``.
        root: The folder that sources are written relative to, where they are below it.

    Raises:
        StoreError: the memory cannot be used.
    """
    for file in files:
        source = source_of(file, root)
        text, reason = _read(file)
        if reason:
            yield Added(source, skipped=reason)
        else:
            yield Added(source, *memory.replace(source, chunks(text, file.suffix.lower())))


def forget_vanished(memory: Memory, folder: Path, root: Path) -> int:
    """Forget the documents below ``folder`` that are no longer there; return how many."""
    vanished = [source for source in sources_below(memory, folder, root) if not (root / source).exists()]
    return sum(bool(memory.replace(source, [])[1]) for source in vanished)


def sources_below(memory: Memory, path: Path, root: Path) -> list[str]:
    """Return the sources in ``memory`` that are the file ``path``, or stand in the folder ``path``."""
    place = Path(source_of(path, root))
    return sorted({source for _, source in memory.counts() if source and Path(source).is_relative_to(place)})


def source_of(file: Path, root: Path) -> str:
    """Return how a file is cited: by its path below ``root``, or its whole path outside of it."""
    whole, base = Path(os.path.abspath(file)), Path(os.path.abspath(root))
    return str(whole.relative_to(base) if whole.is_relative_to(base) else whole)


def _left_out(folder: Path) -> bool:
    name = folder.name
    return (
        name.startswith(".") or name in _LEFT_OUT or folder.is_symlink() or (folder / "pyvenv.cfg").exists()
    )


def _read(file: Path) -> tuple[str, str]:
    """Return the text of a file, or why there is none."""
    try:
        if file.stat().st_size > LARGEST:
            return "", f"larger than {LARGEST // 1_000_000} MB"
        data = file.read_bytes()
    except OSError as error:
        return "", error.strerror or type(error).__name__
    if not data.strip():
        return "", "empty"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif b"\0" in data:
        return "", "binary"
    else:
        encoding = "utf-8-sig"
    try:
        return data.decode(encoding), ""
    except UnicodeDecodeError:
        return "", f"not {encoding[:6].rstrip('-').upper()} text"
