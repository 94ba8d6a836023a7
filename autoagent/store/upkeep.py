"""Keeping the record small and sound: runs go with all that only they need, and what is broken is found."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoagent.errors import StoreError, UsageError
from autoagent.store.database import Transaction
from autoagent.store.ids import resolved
from autoagent.store.locks import RunLock
from autoagent.store.runs import Store

_RUN_ID = re.compile(r"r[0-9a-z]{11}")
_DANGLING = {  # what refers to a run or step that is not there
    "messages": "SELECT DISTINCT run FROM messages WHERE run NOT IN (SELECT id FROM runs)",
    "steps": "SELECT DISTINCT run FROM steps WHERE run NOT IN (SELECT id FROM runs)",
    "observations": "SELECT DISTINCT o.run FROM observations AS o LEFT JOIN steps AS s "
    "ON s.run = o.run AND s.number = o.step WHERE s.run IS NULL",
    "snapshots": "SELECT DISTINCT run FROM snapshots WHERE run NOT IN (SELECT id FROM runs)",
    "verdicts": "SELECT DISTINCT run FROM verdicts WHERE run NOT IN (SELECT id FROM runs)",
}


@dataclass(frozen=True)
class Removed:
    """What a removal took away."""

    runs: tuple[str, ...]  # with the runs they delegated to
    freed: int  # bytes of snapshots
    swept: bool = True  # False: snapshots stay for now, because a run is being worked on


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with the record, and what to do about it."""

    what: str
    remedy: str
    run: str = ""  # whose record it is, if it is one run's


def with_children(store: Store, run_ids: Sequence[str]) -> list[str]:
    """The runs, and all runs they delegated to, each once.

    Raises:
        UsageError: no run or several runs fit one of the ids.
    """
    with store.database.reading() as read:
        found = list(dict.fromkeys(resolved(read, run) for run in run_ids))  # damaged ones can be named, too
        for run in found:  # grows meanwhile
            rows = read.rows("SELECT DISTINCT child FROM observations WHERE run = ? AND child != ''", (run,))
            known = {row["child"] for row in rows} - set(found)
            found += [
                child for child in sorted(known) if read.rows("SELECT 1 FROM runs WHERE id = ?", (child,))
            ]
    return found


def remove(store: Store, run_ids: Sequence[str]) -> Removed:
    """Remove runs for good: their records, what was put aside for them, and the snapshots only they need.

    Raises:
        UsageError: no run or several runs fit one of the ids, or a live process works on one.
        StoreError: the record cannot be written.
    """
    gone = with_children(store, run_ids)
    for run in gone:
        if RunLock(store.home, run).taken:
            raise UsageError(f"run {run} is being worked on: wait until it ends, or end it")
    with store.database.writing() as write:
        for run in gone:
            write.run("UPDATE runs SET parent = NULL WHERE parent = ?", (run,))
        for run in gone:
            write.run("DELETE FROM runs WHERE id = ?", (run,))
    for run in gone:
        shutil.rmtree(store.home / "observations" / run, ignore_errors=True)
    freed = sweep(store)
    return Removed(tuple(gone), freed or 0, swept=freed is not None)


def sweep(store: Store) -> int | None:
    """Remove the snapshots that no run needs; return the bytes freed, or None while a run is being worked on.

    Raises:
        StoreError: the record or a snapshot cannot be read, or a file cannot be removed.
    """
    with store.database.writing() as write:  # so that no run begins meanwhile
        if any(RunLock(store.home, path.name).taken for path in (store.home / "locks").glob("r*")):
            return None
        needed: set[str] = set()
        for snapshot in _referred_to(write):
            try:
                needed |= store.snapshots.contents(snapshot)
            except StoreError:  # a damaged one: what it needs cannot be told, so nothing is removed
                return 0
        return store.snapshots.sweep(needed)


def _referred_to(read: Transaction) -> list[str]:
    found = read.rows(
        "SELECT snapshot AS id FROM snapshots UNION SELECT before FROM undos "
        "UNION SELECT after FROM undos WHERE after IS NOT NULL"
    )
    return [str(row["id"]) for row in found]


def check(store: Store) -> Iterator[Problem]:
    """Everything that is wrong with the record, looked for from the file's pages up to the last snapshot.

    Raises:
        StoreError: the record cannot be read at all.
    """
    if not store.path.exists():
        return
    with store.database.reading() as read:
        damage = [str(row[0]) for row in read.rows("PRAGMA integrity_check(5)")]
        sound = damage == ["ok"]
        dangling = _dangling(read) if sound else []
        runs = [str(row["id"]) for row in read.rows("SELECT id FROM runs ORDER BY seq")]
        snapshots = read.rows("SELECT run, step, snapshot FROM snapshots ORDER BY run, step")
    if not sound:
        yield Problem(
            f"{store.path} is damaged: {' '.join(damage[0].split())[:200]}",
            f"stop all runs, `sqlite3 {store.path} .recover | sqlite3 new.db`, put new.db in its place",
        )
    yield from dangling
    for run in runs:
        try:
            store.find(run)
            store.messages(run, whole=True)
        except StoreError as problem:
            yield Problem(
                str(problem).split(":")[0], f"export what is left of it, then: autoagent runs rm {run}", run
            )
    yield from _missing_content(store, [(row["run"], row["step"], row["snapshot"]) for row in snapshots])
    yield from _left_over(store.home, runs)


def _dangling(read: Transaction) -> list[Problem]:
    return [
        Problem(
            f"{table} of run {row['run']} are left, but it is not on record any more",
            "they do no harm; restore a backup if the run was not removed on purpose",
            str(row["run"]),
        )
        for table, query in _DANGLING.items()
        for row in read.rows(query)
    ]


def _missing_content(store: Store, kept: Iterable[tuple[str, int, str]]) -> Iterator[Problem]:
    sound: set[str] = set()
    for run, step, snapshot in kept:
        try:
            for digest in sorted(store.snapshots.contents(snapshot) - sound):
                store.snapshots.content(digest)
                sound.add(digest)
        except (StoreError, ValueError) as problem:
            yield Problem(
                f"the copy of the workspace after step {step} of run {run} is broken: {problem}",
                "the run cannot be undone or compared there; its record is whole",
                run,
            )


def _left_over(home: Path, runs: Iterable[str]) -> Iterator[Problem]:
    known = set(runs)
    folder = home / "observations"
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if _RUN_ID.fullmatch(path.name) and path.name not in known:
            yield Problem(f"{path} belongs to a run that is not on record", "remove the folder", path.name)
