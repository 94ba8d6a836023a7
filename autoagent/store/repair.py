"""Making a damaged record sound again: what can be read stays, what cannot is moved aside, never deleted."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

from autoagent.errors import StoreError, UsageError
from autoagent.home import put_aside
from autoagent.models import disk
from autoagent.snapshots import Snapshots
from autoagent.store.database import Database
from autoagent.store.locks import at_work
from autoagent.store.runs import Store
from autoagent.store.upkeep import (
    DANGLING,
    broken_snapshots,
    integrity,
    left_over,
    missing_observations,
    sweep,
)

_TABLES = ("runs", "messages", "steps", "observations", "snapshots", "verdicts", "undos", "forgotten")
_BESIDE = ("-wal", "-shm")


def repair(store: Store) -> list[str]:
    """Mend what can be mended, and say in a line each what was done.

    What is taken away lies in ``aside/damaged-…`` in the home afterwards. A run with rows that cannot be
    read stays as it is: ``upkeep.check`` still names it.

    Raises:
        UsageError: a run is being worked on.
        StoreError: nothing of the record can be read, or it cannot be written.
    """
    if not store.path.exists():
        return []
    if at_work(store.home):
        raise UsageError("a run is being worked on: wait until it ends, or end it")
    aside = _Aside(store.home)
    done: list[str] = []
    try:
        if rebuilt := _unsound(store):
            done.append(_rebuilt(store, aside))
        done += _without_dangling(store)
        done += _without_broken_snapshots(store, aside)
        done += _without_missing_observations(store)
        for path in left_over(store):
            aside.take(path)
            done.append(f"{path} was moved to {aside.folder}: its run is not on record")
        if not rebuilt and store.runs():  # else what was lost may have named the files that seem unneeded
            done += _swept(store)
    except OSError as error:
        raise StoreError(f"{store.home} cannot be repaired: {disk.reason(error)}") from None
    return done


class _Aside:
    """A folder for what is damaged, made when it is needed."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._made: Path | None = None

    @property
    def folder(self) -> Path:
        if self._made is None:
            self._made = put_aside(self._home, "damaged")
        return self._made

    def take(self, path: Path) -> None:
        """Move a file or folder there, under the name it has below the home."""
        place = self.folder / path.relative_to(self._home)
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)


def _unsound(store: Store) -> bool:
    try:
        return integrity(store) != ["ok"]
    except StoreError as problem:
        cause = getattr(problem.__cause__, "sqlite_errorname", "")
        if not cause.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            raise
        return True


def _rebuilt(store: Store, aside: _Aside) -> str:
    """Put all rows that can be read into a new file, and that in the place of the damaged one."""
    store.close()
    fresh = store.path.with_name("runs.new.db")
    for path in (fresh, *(fresh.with_name(fresh.name + end) for end in _BESIDE)):
        path.unlink(missing_ok=True)
    new = Database(fresh, wait=store.database.wait)
    counts = _copied(store.path, new)
    new.close()
    if not any(counts.values()):
        fresh.unlink(missing_ok=True)
        raise StoreError(
            f"{store.path} is damaged, and nothing in it can be read: restore a backup, or move it away"
        )
    for path in (store.path, *(store.path.with_name(store.path.name + end) for end in _BESIDE)):
        if path.exists():
            aside.take(path)
    fresh.rename(store.path)
    disk.sync(store.home)
    told = ", ".join(f"{counts[table]} {table}" for table in _TABLES[:6])
    return f"runs.db was damaged: what could be read is in a new one ({told}), the old one in {aside.folder}"


def _copied(damaged: Path, new: Database) -> dict[str, int]:
    """How many rows of each table could be read, from both ends where the middle is damaged."""
    with new.writing() as write:
        write.run("PRAGMA defer_foreign_keys = ON")
        with closing(sqlite3.connect(f"{damaged.absolute().as_uri()}?mode=ro", uri=True)) as old:
            old.execute("PRAGMA writable_schema = ON")  # a file that was cut off is read as far as it goes
            counts = {}
            for table in _TABLES:
                columns, keys = _columns(old, table)
                sql = (
                    f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) "
                    f"VALUES ({', '.join('?' * len(columns))})"
                )
                counts[table] = sum(write.run(sql, row) for row in _readable(old, table, columns, keys))
            for table, query in DANGLING.items():
                write.run(f"DELETE FROM {table} WHERE run IN ({query})")
            write.run("UPDATE runs SET parent = NULL WHERE parent NOT IN (SELECT id FROM runs)")
            write.run("DELETE FROM undos WHERE run NOT IN (SELECT id FROM runs)")
    return counts


def _columns(old: sqlite3.Connection, table: str) -> tuple[list[str], list[str]]:
    """The columns it has (an older file has fewer than ours), and those of its key."""
    try:
        there = old.execute(f"PRAGMA table_info({table})").fetchall()
    except sqlite3.Error:
        there = []
    names = [str(row[1]) for row in there]
    keys = [str(row[1]) for row in sorted((row for row in there if row[5]), key=lambda row: int(row[5]))]
    return names, keys


def _readable(
    old: sqlite3.Connection, table: str, columns: Sequence[str], keys: Sequence[str]
) -> Iterator[tuple[object, ...]]:
    if not columns:
        return
    for way in ("ASC", "DESC"):
        order = ", ".join(f"{key} {way}" for key in keys)
        try:
            rows = old.execute(f"SELECT {', '.join(columns)} FROM {table} NOT INDEXED ORDER BY {order}")
        except sqlite3.Error:
            continue
        with suppress(sqlite3.Error):  # up to the damage; the other way round comes next
            yield from rows
            return


def _without_dangling(store: Store) -> list[str]:
    done = []
    with store.database.writing() as write:
        for table, query in DANGLING.items():
            if count := write.run(f"DELETE FROM {table} WHERE run IN ({query})"):
                done.append(f"{count} rows of {table} were removed: their run is not on record")
    return done


def _without_broken_snapshots(store: Store, aside: _Aside) -> list[str]:
    """Forget the copies of workspaces that are not whole; damaged files make room for sound ones."""
    broken, damaged = broken_snapshots(store)
    for digest in sorted(damaged):
        if (path := store.snapshots.file(digest)).exists():
            aside.take(path)
    done = [f"{len(damaged)} damaged files of snapshots were moved to {aside.folder}"] if damaged else []
    with store.database.writing() as write:
        for snapshot in sorted(broken):
            for row in write.rows("SELECT run, step FROM snapshots WHERE snapshot = ?", (snapshot,)):
                done.append(f"run {row['run']} cannot be undone or compared at step {row['step']} any more")
            write.run("DELETE FROM snapshots WHERE snapshot = ?", (snapshot,))
            write.run("DELETE FROM undos WHERE before = ? OR after = ?", (snapshot, snapshot))
    return done


def _without_missing_observations(store: Store) -> list[str]:
    done = []
    with store.database.writing() as write:
        for run, step, number, name in missing_observations(store, write):
            values = (run, step, number)
            write.run("UPDATE observations SET kept = '' WHERE run = ? AND step = ? AND number = ?", values)
            done.append(f"{name} of run {run} is gone: what was shown of it is still on record")
    return done


def _swept(store: Store) -> list[str]:
    """Remove what killed processes left behind: files of snapshots that no run needs."""
    drafts = list(_drafts(store.snapshots))
    for path in drafts:
        path.unlink(missing_ok=True)
    before = len(store.snapshots.stored())
    freed = sweep(store)
    gone = before - len(store.snapshots.stored())
    if not gone and not drafts:
        return []
    count, size = gone + len(drafts), (freed or 0) / 1e6
    return [f"{count} files of snapshots that no run needs were removed ({size:.1f} MB)"]


def _drafts(snapshots: Snapshots) -> Iterator[Path]:
    return snapshots.root.glob("[0-9a-f][0-9a-f]/.new-*")
