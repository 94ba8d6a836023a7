"""Taking back what a run did to its workspace, and taking that back again.

Only paths that the run changed are touched: what others made meanwhile stays as it is.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from autoagent.errors import UsageError
from autoagent.home import nearest_home
from autoagent.snapshots import Entry
from autoagent.store.changes import at_step, snapshots_of
from autoagent.store.locks import RunLock
from autoagent.store.runs import Store

Manifest = dict[str, Entry]


@dataclass(frozen=True)
class Reversal:
    """What an undo, or a redo, would do to a workspace; nothing is done before ``carry_out``."""

    store: Store
    run_id: str
    workspace: Path
    target: str  # snapshot with what the paths become
    restored: tuple[str, ...]  # paths that are written again
    removed: tuple[str, ...]  # paths that go away
    conflicts: tuple[str, ...]  # of these, the paths that somebody changed since: their content would be lost

    @property
    def nothing(self) -> bool:
        return not self.restored and not self.removed

    def carry_out(self, *, force: bool = False) -> str:
        """Do it, and return the snapshot of the workspace as it was before.

        Raises:
            UsageError: files were changed since and ``force`` is not given, a live process works on the run,
                or the workspace cannot be written.
            StoreError: the snapshot before cannot be kept.
        """
        if self.conflicts and not force:
            raise UsageError(f"{self._changed_since()}: --force overwrites them")
        lock = RunLock(self.store.home, self.run_id)  # also keeps the snapshot from being swept away
        if not lock.acquire():
            raise UsageError(f"run {self.run_id} is being worked on: wait until it ends, or end it")
        try:
            before = self._taken()
            with self.store.database.writing() as write:
                values = (self.run_id, before, time.time())
                write.run("INSERT INTO undos (run, before, at) VALUES (?, ?, ?)", values)
            self._write()
            with self.store.database.writing() as write:
                write.run(
                    "UPDATE undos SET after = ? WHERE seq = (SELECT MAX(seq) FROM undos WHERE run = ?)",
                    (self._taken(), self.run_id),
                )
        finally:
            lock.release()
        return before

    def _changed_since(self) -> str:
        shown = ", ".join(self.conflicts[:8])
        more = f" and {len(self.conflicts) - 8} more" if len(self.conflicts) > 8 else ""
        return f"changed since run {self.run_id}: {shown}{more}"

    def _taken(self) -> str:
        taken = self.store.snapshots.take(self.workspace, skip=[self.store.home])
        if taken is None:
            raise UsageError(
                f"{self.workspace} is too large to keep a copy of, or has a file that cannot be read: "
                "nothing is undone that could not be taken back"
            )
        return taken

    def _write(self) -> None:
        wanted = self.store.snapshots.entries(self.target)
        try:
            for path in sorted(self.removed, reverse=True):  # what is in a folder before the folder
                _remove(self.workspace / path)
            for path in self.restored:
                self._restore(path, wanted[path])
        except OSError as error:
            raise UsageError(
                f"{error.filename or self.workspace} cannot be written ({error.strerror}): "
                f"`autoagent runs redo {self.run_id}` takes back what was done so far"
            ) from None

    def _restore(self, path: str, entry: Entry) -> None:
        place = self.workspace / path
        if entry.kind == "folder":
            if not place.is_dir() or place.is_symlink():
                place.unlink(missing_ok=True)
            place.mkdir(parents=True, exist_ok=True)
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.is_dir() and not place.is_symlink():
            place.rmdir()  # what was in it is gone by now
        if entry.kind == "link":
            place.unlink(missing_ok=True)
            place.symlink_to(entry.content)
            return
        content = self.store.snapshots.content(entry.content)
        handle, temporary = tempfile.mkstemp(dir=place.parent, prefix=".undo-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.chmod(temporary, entry.mode & 0o777)
            os.replace(temporary, place)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def plan_undo(store: Store, run_id: str, *, to_step: int = 0) -> Reversal:
    """What it takes to bring the workspace back to before the run (step 0), or to after one of its steps.

    A conflict is a path whose content now is none that the run itself left there at some step.

    Raises:
        UsageError: there is no such run or step, it has no snapshots, its workspace is gone, or our record
            is a copy of that of the project it lies in.
        StoreError: a snapshot is missing or damaged.
    """
    run = store.find(run_id).run_id
    kept = snapshots_of(store, run)
    target = at_step(store, run, kept, to_step)
    at_step(store, run, kept, max([step.index for step in store.load(run).steps] + [max(kept)]))  # or raises
    past = {step: store.snapshots.entries(snapshot) for step, snapshot in kept.items()}
    wanted = store.snapshots.entries(target)
    again = _was_undone(store, run)  # then what was done before the step may be missing, too
    touched = _differing([wanted, *(past[step] for step in past if step > to_step or again)])
    return _reversal(
        store, run, target, touched, lambda path, now: any(now == each.get(path) for each in past.values())
    )


def _was_undone(store: Store, run: str) -> bool:
    with store.database.reading() as read:
        return bool(read.rows("SELECT 1 FROM undos WHERE run = ? LIMIT 1", (run,)))


def plan_redo(store: Store, run_id: str) -> Reversal:
    """What it takes to take the latest undo (or redo) of a run back.

    Raises:
        UsageError: there is no such run, nothing of it was undone, or, as above, its workspace.
        StoreError: a snapshot is missing or damaged.
    """
    run = store.find(run_id).run_id
    with store.database.reading() as read:
        found = read.rows("SELECT before, after FROM undos WHERE run = ? ORDER BY seq DESC LIMIT 1", (run,))
    if not found:
        raise UsageError(f"run {run} was not undone: there is nothing to take back")
    before = store.snapshots.entries(found[0]["before"])
    if found[0]["after"] is None:  # it was cut short: whatever differs from before is its work
        after = store.snapshots.entries(_now(store, run))
    else:
        after = store.snapshots.entries(found[0]["after"])
    touched = _differing([before, after])
    return _reversal(
        store, run, found[0]["before"], touched, lambda path, now: now in (before.get(path), after.get(path))
    )


def _now(store: Store, run: str) -> str:
    place = store.find(run).workspace
    workspace = Path(place)
    if not place:
        raise UsageError(f"run {run} was imported: its workspace is elsewhere")
    if not workspace.is_dir():
        raise UsageError(f"the workspace of run {run}, {workspace}, is gone")
    if owner := _other_record(store, workspace, run):
        raise UsageError(
            f"run {run} is on record in {owner}, too, the project that its workspace {workspace} belongs to: "
            f"take it back there, with --home {owner}"
        )
    taken = store.snapshots.take(workspace, skip=[store.home])
    if taken is None:
        raise UsageError(f"{workspace} is too large to compare, or has a file that cannot be read")
    return taken


def _other_record(store: Store, workspace: Path, run: str) -> Path | None:
    """The home of the project that the workspace lies in, where ours is a copy of it: brought back from a
    backup to another place, for instance. What is taken back there must be known there."""
    home = nearest_home(workspace)
    if home is None or home.resolve() == store.home.resolve():
        return None
    there = Store(home)
    try:
        return home if run in [each.run_id for each in there.matching(ids=[run])] else None
    finally:
        there.close()


def _reversal(
    store: Store, run: str, target: str, touched: Iterable[str], ours: Callable[[str, Entry | None], bool]
) -> Reversal:
    wanted, now = store.snapshots.entries(target), store.snapshots.entries(_now(store, run))
    workspace = Path(store.find(run).workspace)
    differing = [path for path in touched if _shape(now.get(path)) != _shape(wanted.get(path))]
    lost = [path for path in differing if not ours(path, now.get(path))]
    for path in differing:
        links = {parent for parent in _parents(path) if parent in now and now[parent].kind == "link"}
        if links - set(differing):  # it leads to another place: nothing is written through it
            raise UsageError(f"{workspace / path} lies behind a link now: remove the link and try again")
    return Reversal(
        store=store,
        run_id=run,
        workspace=workspace,
        target=target,
        restored=tuple(path for path in differing if path in wanted),
        removed=tuple(path for path in differing if path not in wanted),
        conflicts=tuple(lost),
    )


def _differing(manifests: list[Manifest]) -> list[str]:
    """Paths that are not the same in all; a folder's permissions do not count."""
    paths = sorted(set().union(*manifests))
    return [path for path in paths if len({_shape(manifest.get(path)) for manifest in manifests}) > 1]


def _shape(entry: Entry | None) -> Entry | None:
    return entry._replace(mode=0) if entry is not None and entry.kind == "folder" else entry


def _parents(path: str) -> list[str]:
    return [str(parent) for parent in PurePosixPath(path).parents]


def _remove(place: Path) -> None:
    """Remove a file or link, or a folder that is empty; a folder with something of others in it stays."""
    if place.is_dir() and not place.is_symlink():
        if not any(place.iterdir()):
            place.rmdir()
    else:
        place.unlink(missing_ok=True)
