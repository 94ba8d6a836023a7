"""Copies of a workspace, content-addressed: a file that did not change is stored once, whatever the run.

Not covered: owners, times, extended attributes, hard links (they come back as separate files), devices,
sockets. A snapshot is not atomic: a file that another program writes meanwhile is kept as it was when read.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

from autoagent.errors import StoreError, UsageError
from autoagent.workspace import SKIPPED

REMEMBERED = 100_000  # files whose stamp is kept in memory
_DIGEST = re.compile(r"[0-9a-f]{64}")
SETTLED = 2_000_000_000  # nanoseconds; a file changed since may change again within one tick of its clock
Change = tuple[Literal["added", "removed", "changed"], str]


class Entry(NamedTuple):
    """One path of a manifest."""

    kind: Literal["file", "link", "folder"]
    content: str  # sha256 of a file's bytes, target of a link, "" for a folder
    mode: int = 0  # permission bits


Stamp = tuple[int, int, int, int]  # size, mtime_ns, ctime_ns, inode
Identity = tuple[int, int]  # device, inode


class TooLarge(Exception):
    """The workspace is over the cap, or has a file that cannot be read: no snapshot is kept."""


@dataclass
class Snapshots:
    """Snapshots under ``root``; created on first use. Safe for threads and for several processes.

    Args:
        root: Folder of the stored contents.
        max_bytes: Largest workspace that is kept, in bytes before compression.
        max_files: Most paths a kept workspace may have.
    """

    root: Path
    max_bytes: int = 64 * 2**20
    max_files: int = 10_000
    _known: dict[str, tuple[Stamp, str]] = field(default_factory=dict, repr=False)  # by path
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def take(self, folder: Path, *, skip: Sequence[Path] = ()) -> str | None:
        """Keep what ``folder`` holds now and return the snapshot's id; the same content has the same id.

        What is named as in ``SKIPPED``, the folders in ``skip`` and this store itself are left out; symbolic
        links are kept as links and never followed.

        Returns:
            None when the workspace is over the cap or a file in it cannot be read: nothing to go back to.

        Raises:
            StoreError: the snapshot cannot be written.
        """
        left_out = {_identity(path) for path in (self.root, *skip) if path.exists()}
        try:
            found = self._walk(folder, left_out)
            entries = {name: entry for name, path, status in found if (entry := self._entry(path, status))}
        except TooLarge:
            return None
        manifest = json.dumps(entries, sort_keys=True, separators=(",", ":")).encode("ascii")
        return self._put(manifest)

    def restore(self, snapshot: str, folder: Path) -> None:
        """Write what a snapshot holds into ``folder``, which must be empty or missing.

        Raises:
            UsageError: the folder has something in it, or cannot be written.
            StoreError: the snapshot is unknown or damaged.
        """
        manifest = self.entries(snapshot)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise UsageError(f"{folder} is not empty: name a new folder to restore into")
            self._write_out(manifest, folder)
        except OSError as error:
            raise UsageError(f"{folder} cannot be written: {error.strerror}") from None

    def _write_out(self, manifest: dict[str, Entry], folder: Path) -> None:
        of: dict[str, list[tuple[Path, Entry]]] = {"folder": [], "file": [], "link": []}
        for name, entry in manifest.items():
            of[entry.kind].append((folder / name, entry))
        for path, _ in of["folder"]:
            path.mkdir(parents=True, exist_ok=True)
        for path, entry in of["file"]:
            path.write_bytes(self._get(entry.content))
            path.chmod(entry.mode & 0o777)
        for path, entry in of["link"]:  # after the files, so that none is written through a link
            path.symlink_to(entry.content)
        for path, entry in reversed(of["folder"]):  # inner ones first: an outer one may be read-only
            path.chmod(entry.mode & 0o777)

    def diff(self, before: str, after: str) -> list[Change]:
        """What changed from one snapshot to another, by path; folders count only where they are empty.

        Raises:
            StoreError: a snapshot is unknown or damaged.
        """
        old, new = (_leaves(self.entries(snapshot)) for snapshot in (before, after))
        changes: list[Change] = []
        for name in sorted(old.keys() | new.keys()):
            if name not in old:
                changes.append(("added", name))
            elif name not in new:
                changes.append(("removed", name))
            elif old[name] != new[name]:
                changes.append(("changed", name))
        return changes

    def read(self, snapshot: str, name: str) -> bytes:
        """The content of one file of a snapshot.

        Raises:
            UsageError: the snapshot has no such file.
            StoreError: the snapshot is unknown or damaged.
        """
        entry = self.entries(snapshot).get(name)
        if entry is None or entry.kind != "file":
            raise UsageError(f"snapshot {snapshot[:12]} has no file {name}")
        return self._get(entry.content)

    def entries(self, snapshot: str) -> dict[str, Entry]:
        """The manifest: every path (with forward slashes) and what it is, outer folders first.

        Raises:
            StoreError: the snapshot is unknown or damaged.
        """
        return manifest_of(self._get(snapshot), snapshot)

    def contents(self, snapshot: str) -> set[str]:
        """Hashes of everything a snapshot needs, itself included.

        Raises:
            StoreError: the snapshot is unknown or damaged.
        """
        return {snapshot} | {
            entry.content for entry in self.entries(snapshot).values() if entry.kind == "file"
        }

    def stored(self) -> dict[str, int]:
        """Everything that is kept, by hash, with the bytes it takes on disk."""
        return {
            file.parent.name + file.name: file.stat().st_size
            for file in self.root.glob("[0-9a-f][0-9a-f]/*")
            if not file.name.startswith(".")
        }

    def content(self, digest: str) -> bytes:
        """What is kept under a hash, checked against it.

        Raises:
            StoreError: it is missing or damaged.
        """
        return self._get(digest)

    def keep(self, content: bytes) -> str:
        """Keep some bytes that were in a snapshot elsewhere, and return their hash.

        Raises:
            StoreError: it cannot be written.
        """
        return self._put(content)

    def sweep(self, needed: set[str]) -> int:
        """Remove everything that is not needed, and return how many bytes that freed. Nobody may be taking a
        snapshot meanwhile: it would lose what it found here already.

        Raises:
            StoreError: a file cannot be removed.
        """
        freed = 0
        for digest, size in self.stored().items():
            if digest not in needed:
                try:
                    self.file(digest).unlink(missing_ok=True)
                except OSError as error:
                    raise StoreError(f"{self.file(digest)} cannot be removed: {error.strerror}") from None
                freed += size
        return freed

    def _walk(self, folder: Path, left_out: set[Identity]) -> list[tuple[str, str, os.stat_result]]:
        """Names, paths and status of all that is kept, over before any content is read when past the cap."""
        found: list[tuple[str, str, os.stat_result]] = []
        total = 0
        for name, path, status in _below(str(folder), "", left_out):
            total += status.st_size if stat.S_ISREG(status.st_mode) else 0
            found.append((name, path, status))
            if total > self.max_bytes or len(found) > self.max_files:
                raise TooLarge(name)
        return found

    def _entry(self, path: str, status: os.stat_result) -> Entry | None:
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISDIR(status.st_mode):
            return Entry("folder", "", mode)
        try:
            if stat.S_ISLNK(status.st_mode):
                return Entry("link", os.readlink(path))
            return Entry("file", self._content(path, status), mode)
        except FileNotFoundError:  # it went away since the walk
            return None
        except OSError:
            raise TooLarge(path) from None

    def _content(self, path: str, status: os.stat_result) -> str:
        """Keep a file's bytes, reading it only if it may have changed, and return their hash."""
        stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        with self._lock:
            known = self._known.get(path)
        if known is not None and known[0] == stamp and self._has(known[1]):
            return known[1]
        settled = time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > SETTLED
        with open(path, "rb") as handle:
            content = handle.read(self.max_bytes + 1)
        if len(content) > self.max_bytes:  # it grew since the walk
            raise TooLarge(path)
        digest = self._put(content)
        if settled:
            with self._lock:
                if len(self._known) >= REMEMBERED:
                    self._known.clear()
                self._known[path] = (stamp, digest)
        return digest

    def file(self, digest: str) -> Path:
        """Where the content with a hash is kept, if it is."""
        return self.root / digest[:2] / digest[2:]

    def _has(self, digest: str) -> bool:
        try:
            return self.file(digest).stat().st_size > 0  # a power cut can leave an empty one
        except OSError:
            return False

    def _put(self, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        if self._has(digest):
            return digest
        target = self.file(digest)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".new-")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(zlib.compress(content, 1))
                os.replace(temporary, target)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)  # Ctrl-C may strike when it has its place already
                raise
        except OSError as error:
            raise StoreError(f"no snapshot can be kept in {self.root}: {error.strerror}") from None
        return digest

    def _get(self, digest: str) -> bytes:
        try:
            content = zlib.decompress(self.file(digest).read_bytes())
        except FileNotFoundError:
            raise StoreError(f"there is no snapshot content {digest[:12]} in {self.root}") from None
        except OSError as error:
            raise StoreError(f"{self.file(digest)} cannot be read: {error.strerror}") from None
        except zlib.error:
            content = b""
        if hashlib.sha256(content).hexdigest() != digest:
            raise StoreError(f"{self.file(digest)} is damaged: its content does not match its name")
        return content


def belongs_to_program(name: str) -> bool:
    """Whether a file or folder of this name belongs to a program; some file systems know no case."""
    return name.casefold() in SKIPPED


def manifest_of(content: bytes, snapshot: str, *, foreign: bool = False) -> dict[str, Entry]:
    """What the content of a snapshot lists; it may come from elsewhere, so nothing in it is taken on trust.

    Args:
        content: Of the snapshot.
        snapshot: Its id.
        foreign: It comes from elsewhere. Of our own, older versions kept ``.git`` where it is a file.

    Raises:
        StoreError: it is no manifest, or one that names something outside its folder.
    """
    try:
        raw: dict[str, list[Any]] = json.loads(content)
        manifest = {name: Entry(*entry) for name, entry in sorted(raw.items())}
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise StoreError(f"snapshot {snapshot[:12]} is no list of files") from None
    links = {name for name, entry in manifest.items() if entry.kind == "link"}
    for name, entry in manifest.items():
        path = PurePosixPath(name)
        if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name:
            raise StoreError(f"snapshot {snapshot[:12]} names a path outside its folder: {name!r}")
        folders = path.parts if entry.kind == "folder" else path.parts[:-1]
        programs = any(map(belongs_to_program, path.parts)) if foreign else SKIPPED & {*folders}
        if programs:  # none that is taken here has any: it would change what others run
            raise StoreError(f"snapshot {snapshot[:12]} names a path that no snapshot may: {name!r}")
        if links and any(str(parent) in links for parent in path.parents):
            raise StoreError(f"snapshot {snapshot[:12]} names a path behind a link: {name}")
        if not _entry_is_sound(entry):
            raise StoreError(f"snapshot {snapshot[:12]} is damaged: {name!r} is no file, link or folder")
    return manifest


def _entry_is_sound(entry: Entry) -> bool:
    if not isinstance(entry.content, str) or "\0" in entry.content or type(entry.mode) is not int:
        return False
    return entry.kind in ("link", "folder") or (
        entry.kind == "file" and bool(_DIGEST.fullmatch(entry.content))
    )


def _identity(path: Path) -> Identity:
    status = path.stat()
    return status.st_dev, status.st_ino


def _below(folder: str, prefix: str, left_out: set[Identity]) -> Iterator[tuple[str, str, os.stat_result]]:
    """Files, links and folders under ``folder``, an outer folder before what is in it."""
    try:
        with os.scandir(folder) as listing:
            children = sorted(listing, key=lambda child: child.name)
    except FileNotFoundError:
        return
    except OSError:
        raise TooLarge(folder) from None
    for child in children:
        try:
            status = child.stat(follow_symlinks=False)
        except FileNotFoundError:  # it went away
            continue
        except OSError:
            raise TooLarge(child.path) from None
        name = prefix + child.name
        if stat.S_ISDIR(status.st_mode):
            if belongs_to_program(child.name) or (status.st_dev, status.st_ino) in left_out:
                continue
            yield name, child.path, status
            yield from _below(child.path, name + "/", left_out)
        elif belongs_to_program(child.name):  # .git may be a file, .venv a link
            continue
        elif stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
            yield name, child.path, status


def _leaves(manifest: dict[str, Entry]) -> dict[str, Entry]:
    """Without the folders that have something in them."""
    parents = {str(PurePosixPath(name).parent) for name in manifest}
    return {name: entry for name, entry in manifest.items() if entry.kind != "folder" or name not in parents}
