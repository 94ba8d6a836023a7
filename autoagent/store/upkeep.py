"""Keeping the record small and sound: runs go with all that only they need, and what is broken is found."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoagent.errors import StoreError, UsageError
from autoagent.store.database import Transaction
from autoagent.store.ids import resolved
from autoagent.store.locks import RunLock, at_work
from autoagent.store.rows import text
from autoagent.store.runs import Store
from autoagent.workspace import ATTACHED

_RUN_ID = re.compile(r"r[0-9a-z]{11}")
_REPAIR = "autoagent runs check --repair"
DANGLING = {  # what refers to a run or step that is not there
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
    with store.database.writing() as write:  # whoever takes one up waits for it, and finds it gone
        for run in gone:
            if RunLock(store.home, run).taken:
                raise UsageError(f"run {run} is being worked on: wait until it ends, or end it")
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
        if at_work(store.home):
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
        if any((store.home / "snapshots").glob("*/*")):
            yield Problem(
                f"{store.path} is gone, but copies of workspaces are there",
                "restore a backup: autoagent restore FILE --force",
            )
        return
    damage = integrity(store)
    if damage != ["ok"]:
        yield Problem(f"{store.path} is damaged: {' '.join(damage[0].split())[:200]}", _REPAIR)
        return
    with store.database.reading() as read:
        dangling = _dangling(read)
        missing = list(missing_observations(store, read))
    yield from dangling
    yield from _unreadable(store)
    yield from _missing_content(store)
    for run, step, _, name in missing:
        yield Problem(f"{name}, which step {step} of run {run} has put aside, is gone", _REPAIR, run)
    for path in left_over(store):
        yield Problem(f"{path} belongs to a run that is not on record", _REPAIR, path.name)


def integrity(store: Store) -> list[str]:
    """What SQLite finds in the pages and indexes of the file; ``["ok"]`` for nothing.

    Raises:
        StoreError: it cannot even look, for another reason than damage; or the file is no database.
    """
    try:
        with store.database.reading() as read:
            return [str(row[0]) for row in read.rows("PRAGMA integrity_check(5)")]
    except StoreError as problem:
        if not getattr(problem.__cause__, "sqlite_errorname", "").startswith("SQLITE_CORRUPT"):
            raise
        return [str(problem.__cause__)]


def _unreadable(store: Store) -> Iterator[Problem]:
    """Runs that cannot be read, or with steps missing in their midst: only the last may be cut short."""
    with store.database.reading() as read:
        runs = [str(row["id"]) for row in read.rows("SELECT id FROM runs ORDER BY seq")]
    for run in runs:
        try:
            store.find(run)
            store.messages(run, whole=True)
            steps = store.load(run).steps
        except StoreError as problem:
            remedy = f"export what is left of it, then: autoagent runs rm {run}"
            yield Problem(str(problem).split(":")[0], remedy, run)
            continue
        gaps = [place for place, step in enumerate(steps) if step.index != place]
        cut = [step.index for step in steps[:-1] if not step.whole]
        if gaps or cut:
            what = (
                f"step {gaps[0]} of run {run} is missing"
                if gaps
                else f"step {cut[0]} of run {run} is not whole"
            )
            yield Problem(
                what, f"restore a backup; `autoagent runs rate {run} bad` keeps it from being learned", run
            )


def _dangling(read: Transaction) -> list[Problem]:
    return [
        Problem(
            f"{table} of run {row['run']} are left, but it is not on record any more",
            _REPAIR,
            str(row["run"]),
        )
        for table, query in DANGLING.items()
        for row in read.rows(query)
    ]


def _missing_content(store: Store) -> Iterator[Problem]:
    broken, _ = broken_snapshots(store)
    with store.database.reading() as read:
        kept = read.rows("SELECT run, step, snapshot FROM snapshots ORDER BY run, step")
        undone = read.rows("SELECT DISTINCT run, before, after FROM undos")
    for row in kept:
        if why := broken.get(row["snapshot"]):
            what = f"the copy of the workspace after step {row['step']} of run {row['run']} is broken: {why}"
            yield Problem(what, f"its record is whole; to forget the copy: {_REPAIR}", row["run"])
    for row in undone:
        if why := broken.get(row["before"]) or broken.get(row["after"]):
            what = f"what the workspace was when run {row['run']} was undone is broken: {why}"
            yield Problem(what, f"its record is whole; to forget the copy: {_REPAIR}", row["run"])


def broken_snapshots(store: Store) -> tuple[dict[str, str], set[str]]:
    """The snapshots that are not whole, each with the reason, and the contents that are the cause."""
    with store.database.reading() as read:
        wanted = _referred_to(read)
    sound: set[str] = set()
    broken: dict[str, str] = {}
    damaged: dict[str, str] = {}
    for snapshot in wanted:
        digest = snapshot
        try:
            for digest in [snapshot, *sorted(store.snapshots.contents(snapshot) - {snapshot})]:
                if digest in damaged:
                    raise StoreError(damaged[digest])
                if digest not in sound:
                    store.snapshots.content(digest)
                    sound.add(digest)
        except StoreError as problem:
            broken[snapshot] = damaged[digest] = str(problem)
    return broken, set(damaged)


def missing_observations(store: Store, read: Transaction) -> Iterator[tuple[str, int, int, str]]:
    """Run, step, number and name of texts put aside that are gone; imported runs bring none along."""
    found = read.rows(
        "SELECT run, step, number, kept FROM observations JOIN runs ON runs.id = run "
        "WHERE kept != '' AND workspace != '' ORDER BY run, step, number"
    )
    for row in found:
        name = text(row["kept"])
        if not (store.home / "observations" / row["run"] / name.removeprefix(ATTACHED)).is_file():
            yield str(row["run"]), int(row["step"]), int(row["number"]), name


def left_over(store: Store) -> list[Path]:
    """Folders of texts that were put aside for runs that are not on record."""
    with store.database.reading() as read:
        known = {str(row["id"]) for row in read.rows("SELECT id FROM runs")}
    folder = store.home / "observations"
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in found if _RUN_ID.fullmatch(path.name) and path.name not in known]


def unneeded(store: Store) -> tuple[int, int]:
    """How many files of snapshots no run needs, and their bytes: killed processes leave some.

    Raises:
        StoreError: a snapshot cannot be read.
    """
    if not store.path.exists():
        return 0, 0
    with store.database.reading() as read:
        wanted = _referred_to(read)
    needed = set().union(*(store.snapshots.contents(snapshot) for snapshot in wanted))
    sizes = [size for digest, size in store.snapshots.stored().items() if digest not in needed]
    return len(sizes), sum(sizes)
