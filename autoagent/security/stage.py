"""A second face of a workspace, for a sandbox that can only allow whole folders: without what is ours in it.

Landlock cannot take a folder out of one it allows. So where a workspace holds something to protect, programs
work in a folder beside it (``.autoagent/stage/…``, on the same disk) that has the same files under the same
names: hard links, so reading costs nothing and what is written into a file is written. Folders that may only
be read (``.git``, ``.venv``, ``node_modules``) are symbolic links to the real ones there; what is hidden is
not there at all. Afterwards what was made, replaced, moved or removed is done to the workspace, too. Where
both were changed meanwhile, the program's side wins for files it made or replaced; what it left alone stays.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from autoagent.errors import ToolError
from autoagent.home import FOLDER as HOME
from autoagent.security.landlock import cleared

_PLACE = f"{HOME}/stage"
_turn = threading.Lock()  # one program's changes after the other's

Kind = tuple[str, int | str]  # "folder" or "file" with its inode, "link" with its target


@dataclass
class Stage:
    """The workspace's other face: ``folder``."""

    root: Path
    folder: Path
    kept: frozenset[str]  # names below the root, shown as links
    hidden: frozenset[str]
    before: dict[str, Kind] = field(default_factory=dict)

    def build(self) -> None:
        """Make the second face. Raises ToolError where the disk cannot have one."""
        try:
            self._show("")
        except OSError as problem:
            raise ToolError(
                f"programs cannot be run: the second sandbox (Landlock) cannot link {self.root} into "
                f"{self.folder} ({problem.strerror}): install bubblewrap, or set AUTOAGENT_HOME to a folder "
                "outside the workspace"
            ) from None

    def _show(self, below: str) -> None:
        with os.scandir(self.root / below) as entries:
            for entry in entries:
                name = os.path.join(below, entry.name)
                there = self.folder / name
                if name in self.hidden:
                    continue
                if name in self.kept:
                    os.symlink(entry.path, there)
                elif entry.is_symlink():
                    os.symlink(os.readlink(entry.path), there)
                elif entry.is_dir(follow_symlinks=False):
                    os.mkdir(there, 0o700)
                    self._show(name)
                    os.chmod(there, stat.S_IMODE(entry.stat().st_mode) | 0o700)
                elif entry.is_file(follow_symlinks=False):
                    os.link(entry.path, there, follow_symlinks=False)
                else:
                    continue  # pipes and the like are nobody's work
                self.before[name] = _kind(there)

    def settle(self) -> None:
        """Do to the workspace what was done here; nothing runs here any more. Links are not followed."""
        after = dict(self._found(""))
        ours = self.kept | self.hidden
        with _turn, _locked(self.folder.parent):
            for name in sorted(self.before.keys() - ours, reverse=True):
                if _gone(self.before[name], after.get(name)) and self._is_here(name):
                    self._remove(name)
            for name in sorted(after.keys() - ours):
                if self.before.get(name) != after[name] and self._is_here(name):
                    self._place(name)

    def _is_here(self, name: str) -> bool:
        """Whether its folder is still one of the workspace: another program may have put a link there."""
        folder = (self.root / name).parent
        return folder.resolve() == folder

    def _found(self, below: str) -> Iterator[tuple[str, Kind]]:
        """What is here now; of a folder that is new, not what is in it: it is moved as a whole."""
        with os.scandir(self.folder / below) as entries:
            names = [os.path.join(below, entry.name) for entry in entries]
        for name in names:
            kind = _kind(self.folder / name)
            yield name, kind
            if kind[0] == "folder" and self.before.get(name) == kind:
                yield from self._found(name)

    def _remove(self, name: str) -> None:
        """Remove what the program removed or replaced, unless it has become something else meanwhile."""
        here, was = self.root / name, self.before[name]
        with contextlib.suppress(OSError):
            if was[0] == "folder":
                here.rmdir()  # only when nothing is left in it
            elif _kind(here) == was:
                here.unlink()

    def _place(self, name: str) -> None:
        made, here = self.folder / name, self.root / name
        kind = stat.S_IFMT(made.lstat().st_mode)
        if kind == stat.S_IFDIR and here.is_dir() and not here.is_symlink():
            self._merge(name)
        elif kind in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
            with contextlib.suppress(OSError):
                os.rename(made, here)

    def _merge(self, name: str) -> None:
        """A folder made on both sides: what is in the program's goes into the other."""
        try:
            names = [os.path.join(name, each) for each in os.listdir(self.folder / name)]
        except OSError:
            return  # a folder that nobody may look into
        for each in names:
            if each not in self.kept | self.hidden:
                self._place(each)


def _gone(before: Kind, after: Kind | None) -> bool:
    """Whether it has to make room: for nothing, or for what cannot replace it in one go."""
    return after is None or (before != after and "folder" in (before[0], after[0]))


def _kind(path: Path) -> Kind:
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        return "link", os.readlink(path)
    return ("folder" if stat.S_ISDIR(found.st_mode) else "file"), found.st_ino


@contextmanager
def staged(root: Path, kept: Sequence[str], hidden: Sequence[Path]) -> Iterator[Path]:
    """The folder to run a program in; what it does there is done to the workspace afterwards."""
    parent = root / _PLACE
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _clear_away(parent)
        folder = parent / f"{os.getpid()}-{secrets.token_hex(4)}"
        folder.mkdir(mode=0o700, parents=True)
    except OSError as problem:
        raise ToolError(f"the program cannot be started: {problem}") from None
    secret = [*hidden, root / HOME]
    readable, unseen = (frozenset(os.path.relpath(path, root) for path in paths) for paths in (kept, secret))
    stage = Stage(root, folder, readable, unseen)
    try:
        stage.build()
        try:
            yield folder
        finally:
            stage.settle()
    finally:
        cleared(folder)
        _leave_no_trace(parent)


def is_stage(home: Path) -> bool:
    """Whether a home holds nothing but stages: another program is at work in a workspace that has none."""
    return home.is_dir() and not home.is_symlink() and os.listdir(home) == [Path(_PLACE).name]


def _leave_no_trace(parent: Path) -> None:
    """Remove the place of the stages once none is left, and a home that was made for it only."""
    with contextlib.suppress(OSError), _locked(parent):
        if [each.name for each in parent.iterdir()] == [".lock"]:
            (parent / ".lock").unlink()
            parent.rmdir()
            parent.parent.rmdir()  # only when nothing else is in it


def _clear_away(parent: Path) -> None:
    """Remove stages of processes that are gone: they were killed, and what they ran has ended with them."""
    for each in parent.iterdir():
        number = each.name.partition("-")[0]
        if number.isdigit() and not os.path.exists(f"/proc/{number}"):
            cleared(each)


@contextmanager
def _locked(parent: Path) -> Iterator[None]:
    import fcntl  # not on every system that the rest is read on

    with (parent / ".lock").open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
