"""Everything a project keeps as one archive, taken while agents are at work; ``restore.py`` reads it.

    BACKUP.json      what this is, and when it was made
    runs.db          a consistent copy of the record
    observations/ snapshots/ memory/ models/ profiles/ prompts/ config.toml chat_history
    manifest.json    size and SHA-256 of each file before it; last, so that half an archive has none

The record is copied first: what it refers to was written before it, and stays while the backup is made.

Not covered: workspaces (the snapshots of runs are), a memory that a Chroma server keeps, models outside the
project, the user's own settings. The archive holds what the runs saw, and the keys in ``config.toml``: it is
made readable for its owner only.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import json
import os
import sqlite3
import tarfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from autoagent.errors import StoreError, UsageError
from autoagent.memory.lock import MemoryLock, held
from autoagent.models import disk
from autoagent.snapshots import Snapshots
from autoagent.store.database import connect_to_read
from autoagent.store.locks import kept_from_sweeping

FORMAT = "autoagent-backup-1"
HEAD, MANIFEST = "BACKUP.json", "manifest.json"
SETTINGS = ("config.toml", "profiles", "prompts", "chat_history")
FOLDERS = ("observations", "snapshots", "memory", "models", "evolve")
KEPT = ("runs.db", *FOLDERS, *SETTINGS)  # what an archive may hold, by the first part of a name
_POINTERS = ("current", "history")  # of the model versions: before the versions they name


@dataclass(frozen=True)
class Backup:
    """What was put into an archive."""

    path: Path
    runs: int
    files: int
    bytes: int  # before compression
    problem: str = ""  # what SQLite says about the copy of the record, if that is not sound


class _Archive:
    """A tar file that is written; sizes and hashes of what went in, by name."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.files: dict[str, tuple[int, str]] = {}

    def put(self, name: str, content: bytes, mode: int = 0o644) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = len(content), mode, time.time()
        self._tar.addfile(info, io.BytesIO(content))
        self.files[name] = (len(content), hashlib.sha256(content).hexdigest())

    def put_file(self, name: str, path: Path) -> None:
        """A file as it is now; one that went away since it was listed is left out."""
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(f"{path} cannot be read ({error.strerror}): make it readable") from None
        with file:
            status = os.fstat(file.fileno())
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = status.st_size, status.st_mode & 0o777, status.st_mtime
            reader = _Hashing(file, status.st_size)
            self._tar.addfile(info, reader)
            self.files[name] = (status.st_size, reader.hash.hexdigest())

    def put_folder(self, name: str, folder: Path, left_out: tuple[str, ...] = ()) -> None:
        """The regular files below a folder; links and hidden files are left out."""
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            hidden = any(part.startswith(".") for part in inside.parts)
            if not hidden and inside.as_posix() not in left_out and path.is_file() and not path.is_symlink():
                self.put_file(f"{name}/{inside.as_posix()}", path)


class _Hashing(io.RawIOBase):
    """Reads a file up to the size it had, and hashes what it reads."""

    def __init__(self, file: io.BufferedReader, size: int) -> None:
        self._file, self._left = file, size
        self.hash = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        read = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(read)
        self.hash.update(read)
        return read


def backup(home: Path, path: Path) -> Backup:
    """Write an archive of everything in ``home``; it appears whole or not at all.

    Args:
        home: The project's folder; agents may be at work on it.
        path: The archive, ``*.tar``, or ``*.tar.gz`` and ``*.tgz`` to compress it.

    Raises:
        UsageError: there is nothing to back up, the archive exists already or cannot be written.
        StoreError: the record cannot be read, or long-term memory is held by another process for a minute.
    """
    if not any((home / name).exists() for name in KEPT):
        raise UsageError(f"there is nothing to back up in {home}")
    if path.exists():
        raise UsageError(f"{path} is there already: choose another name")
    if path.resolve().is_relative_to(home.resolve()):
        raise UsageError(f"{path} would lie in what it backs up: choose a place outside {home}")
    with _appearing(path) as draft, _opened(draft, path) as tar, ExitStack() as stack:
        writable = os.access(home, os.W_OK)  # where it is not, nobody else writes, and no lock can be taken
        if writable and (home / "runs.db").exists():
            stack.enter_context(kept_from_sweeping(home))
        archive = _Archive(tar)
        about = {"format": FORMAT, "made": time.time(), "autoagent": importlib.metadata.version("autoagent")}
        archive.put(HEAD, json.dumps(about).encode())
        runs, problem = _put_record(archive, home / "runs.db", draft.with_name(f"{draft.name}.db"))
        archive.put_folder("observations", home / "observations")
        snapshots = Snapshots(home / "snapshots")
        for digest in sorted(snapshots.stored()):
            archive.put_file(f"snapshots/{digest[:2]}/{digest[2:]}", snapshots.file(digest))
        with held(home) if writable else nullcontext():
            archive.put_folder("memory", home / "memory", left_out=MemoryLock.FILES)
        for name in _POINTERS:
            archive.put_file(f"models/{name}", home / "models" / name)
        archive.put_folder("models", home / "models", left_out=_POINTERS)
        for name in SETTINGS:
            if (home / name).is_dir():
                archive.put_folder(name, home / name)
            else:
                archive.put_file(name, home / name)
        files = {name: each for name, each in archive.files.items() if name != HEAD}
        archive.put(MANIFEST, json.dumps({"files": files}).encode())
    return Backup(path, runs, len(files), sum(size for size, _ in files.values()), problem)


def _put_record(archive: _Archive, record: Path, copy: Path) -> tuple[int, str]:
    """A copy made by SQLite in one go: whoever writes meanwhile neither waits nor gets into it."""
    if not record.exists():
        return 0, ""
    try:
        with (
            closing(_connected(record)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target, pages=-1)
            target.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
            runs = int(target.execute("SELECT COUNT(*) FROM runs").fetchone()[0])
            said = str(target.execute("PRAGMA quick_check(1)").fetchone()[0])
        archive.put_file("runs.db", copy)
    except sqlite3.Error as error:
        raise StoreError(f"{record} cannot be copied ({error}): see `autoagent runs check`") from None
    finally:
        copy.unlink(missing_ok=True)
    return runs, "" if said == "ok" else " ".join(said.split())[:200]


def _connected(record: Path) -> sqlite3.Connection:
    if os.access(record, os.W_OK):
        return sqlite3.connect(f"{record.absolute().as_uri()}?mode=ro", uri=True, timeout=30)
    return connect_to_read(record, 30)


@contextmanager
def _appearing(path: Path) -> Iterator[Path]:
    """A draft that becomes ``path`` when all went well, on the disk and not only on its way there."""
    draft = path.with_name(f".{path.name}.part-{os.getpid()}")
    try:
        yield draft
        disk.sync(draft)
        draft.rename(path)
        disk.sync(path.parent)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {disk.reason(error)}") from None
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


@contextmanager
def _opened(draft: Path, path: Path) -> Iterator[tarfile.TarFile]:
    """The tar file; compressed a little, for weights and snapshots hardly shrink.

    Raises:
        UsageError: the name says neither tar nor tar.gz.
    """
    name = path.name.lower()
    if not name.endswith((".tar", ".tar.gz", ".tgz")):
        raise UsageError(f"{path}: name it *.tar, or *.tar.gz to compress it")
    with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600), "w+b") as file:
        if name.endswith(".tar"):
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                yield tar
        else:
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as tar:
                yield tar
