"""A project back from an archive of ``backup.py``: looked through and hashed first, then put in place.

An archive may come from anywhere: only regular files below known names are taken, no links, no devices, no
way out of the folder; the whole is unpacked beside the project and compared with its list of hashes before
anything is replaced. What was there before is moved aside, never deleted.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from autoagent.errors import StoreError, UsageError
from autoagent.home import ensure_home, put_aside
from autoagent.memory.lock import held
from autoagent.models import disk
from autoagent.store.backup import FORMAT, HEAD, KEPT, MANIFEST
from autoagent.store.locks import RunLock, at_work
from autoagent.store.runs import Store
from autoagent.store.upkeep import Problem, check

_PIECE = 1 << 20  # bytes
_LARGEST_LIST = 256 << 20  # bytes of the list of files; a million files take about 150 MB
_BESIDE = ("runs.db-wal", "runs.db-shm")  # of the record that is replaced
_ReadError = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, UnicodeError)


@dataclass(frozen=True)
class Restored:
    """What came back."""

    runs: int
    files: int
    made: float  # when the archive was, in seconds since the epoch
    aside: Path | None  # where what was there before lies now
    problems: tuple[Problem, ...]  # with the record, as it was when it was backed up


def restore(home: Path, path: Path, *, force: bool = False) -> Restored:
    """Put everything of an archive into ``home``.

    Args:
        home: The project's folder; no agent may be at work on it.
        path: The archive.
        force: Also where there is something already: that is moved into ``aside/replaced-…``.

    Raises:
        UsageError: it is no archive, or not a whole one; the project is not empty, or runs are at work.
        StoreError: it cannot be written.
    """
    with _opened(path) as tar:
        there = [name for name in KEPT if _holds(home / name)]
        if there and not force:
            raise UsageError(
                f"{home} is not empty ({', '.join(there)}): --force moves that aside, "
                "or choose another --home"
            )
        ensure_home(home)
        with _alone(home):
            staged = _staged(home)
            try:
                made, files = _unpacked(tar, staged, path)
                aside = _swapped(home, staged, bool(there))
            except gzip.BadGzipFile:  # an OSError, too, but the archive's: _opened says so
                raise
            except OSError as error:
                raise StoreError(f"{home} cannot be written: {disk.reason(error)}") from None
            finally:
                shutil.rmtree(staged, ignore_errors=True)
    store = Store(home)
    try:
        return Restored(len(store.runs()), files, made, aside, tuple(check(store)))
    finally:
        store.close()


def _staged(home: Path) -> Path:
    try:
        return put_aside(home, "restoring")
    except OSError as error:
        raise StoreError(f"{home} cannot be written: {disk.reason(error)}") from None


def _holds(path: Path) -> bool:
    """Whether there is a file, or a folder with one in it."""
    return any(each.is_file() for each in path.rglob("*")) if path.is_dir() else path.exists()


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(path, mode="r:*") as tar:
            yield tar
    except _ReadError as error:  # before OSError, which BadGzipFile is
        why = str(error).partition("\n")[0].rstrip(": ")
        raise UsageError(f"{path} is no whole backup of autoagent ({why})") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {disk.reason(error)}") from None


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Nobody works on a run, and nobody else restores."""
    if working := at_work(home):
        raise UsageError(
            f"{len(working)} runs are being worked on in {home}: wait until they end, or end them"
        )
    lock = RunLock(home, "restoring")  # taken like a run, so that no snapshot is swept
    if not lock.acquire():
        raise UsageError(f"another process restores into {home}: wait until it ends")
    try:
        yield
    finally:
        lock.release()


def _unpacked(tar: tarfile.TarFile, staged: Path, path: Path) -> tuple[float, int]:
    """Everything as files below ``staged``, compared with the list at the end; when it was made, how many.

    Raises:
        UsageError: something in it is not what it should be.
    """
    whole = f"{path} is no whole backup of autoagent"
    made, listed = None, None
    found: dict[str, tuple[int, str]] = {}
    for member in tar:
        if listed is not None:
            raise UsageError(f"{whole}: {member.name[:100]} comes after its list of files")
        if made is None:
            made = _made(tar, member, whole)
        elif member.name == MANIFEST and member.isreg():
            listed = _listed(tar, member, whole)
        else:
            _refuse_odd(member, whole, found)
            found[member.name] = _written(tar, member, staged)
    if made is None or listed is None:
        raise UsageError(f"{whole}: its list of files is missing, it may have been cut off")
    listed.pop(HEAD, None)
    if wrong := sorted(name for name in found.keys() | listed.keys() if found.get(name) != listed.get(name)):
        raise UsageError(f"{whole}: {wrong[0][:100]} is missing, or not as it was when it was backed up")
    return made, len(found)


def _made(tar: tarfile.TarFile, first: tarfile.TarInfo, whole: str) -> float:
    try:
        about = json.loads(_content(tar, first)) if first.name == HEAD else {}
        if about["format"] == FORMAT:
            return float(about["made"])
        raise UsageError(f"{whole}: its format is {str(about['format'])[:40]!r}, not {FORMAT!r}")
    except (ValueError, TypeError, KeyError, RecursionError):
        raise UsageError(f"{whole}: it does not begin with {HEAD}") from None


def _listed(tar: tarfile.TarFile, member: tarfile.TarInfo, whole: str) -> dict[str, tuple[int, str]]:
    try:
        files = json.loads(_content(tar, member))["files"]
        return {str(name): (int(size), str(digest)) for name, (size, digest) in files.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise UsageError(f"{whole}: its list of files is damaged") from None


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member) if member.isreg() and member.size <= _LARGEST_LIST else None
    return b"" if file is None else file.read()


def _refuse_odd(member: tarfile.TarInfo, whole: str, found: dict[str, tuple[int, str]]) -> None:
    name, parts = member.name, PurePosixPath(member.name).parts
    if not member.isreg():
        raise UsageError(f"{whole}: {name[:100]} is a link, or no file at all")
    odd = not parts or parts[0] not in KEPT or ".." in parts or "\0" in name
    if odd or name != "/".join(parts) or any(len(part.encode("utf-8", "replace")) > 255 for part in parts):
        raise UsageError(f"{whole}: {name[:100]!r} has no place in a project")
    if name in found or any(str(parent) in found for parent in PurePosixPath(name).parents):
        raise UsageError(f"{whole}: {name[:100]} is in it twice")


def _written(tar: tarfile.TarFile, member: tarfile.TarInfo, staged: Path) -> tuple[int, str]:
    """The size and hash of a member, written below ``staged``."""
    if member.size > shutil.disk_usage(staged).free:
        raise StoreError(f"{member.name} does not fit on the disk of {staged.parent}: free some space")
    source, target = tar.extractfile(member), staged / member.name
    assert source is not None  # a regular file
    target.parent.mkdir(parents=True, exist_ok=True)
    hashed, size = hashlib.sha256(), 0
    with target.open("xb") as file:
        while piece := source.read(_PIECE):
            size += len(piece)
            hashed.update(piece)
            file.write(piece)
    target.chmod((member.mode & 0o644) | 0o400)
    disk.sync(target)
    return size, hashed.hexdigest()


def _swapped(home: Path, staged: Path, there: bool) -> Path | None:
    """Move what is there, if anything, into a folder of its own, and what was unpacked into its place."""
    aside = None
    with held(home):
        if there:
            aside = put_aside(home, "replaced")
            for name in (*KEPT, *_BESIDE):  # the record first: nothing may refer to what is not there
                if (home / name).exists():
                    (home / name).rename(aside / name)
        _moved_in(home, staged)
    return aside


def _moved_in(home: Path, staged: Path) -> None:
    for name in reversed(KEPT):  # the record last
        if (staged / name).exists():
            if (home / name).is_dir():
                shutil.rmtree(home / name)  # nothing but empty folders and locks
            (staged / name).rename(home / name)
    disk.sync(home)
