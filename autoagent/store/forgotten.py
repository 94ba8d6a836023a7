"""Runs that are not learned from any more, with those that came of them; they stay on record."""

from __future__ import annotations

import time
from collections.abc import Sequence

from autoagent.errors import UsageError
from autoagent.store.database import Transaction
from autoagent.store.ids import resolved
from autoagent.store.runs import Store

_OFFSPRING = """
    WITH RECURSIVE family (id) AS (
        SELECT id FROM runs WHERE id = :run
        UNION SELECT runs.id FROM runs JOIN family ON runs.parent = family.id)
    SELECT runs.id FROM family JOIN runs ON runs.id = family.id ORDER BY runs.seq"""


def forget(store: Store, run_ids: Sequence[str]) -> tuple[str, ...]:
    """Mark runs, and all that were delegated by, branched from or corrected from them: they repeat its words.

    The mark outlives its run: it stays when that is removed, and holds when it is imported again.

    Returns:
        All that are marked by it, those named first.

    Raises:
        UsageError: no run or several runs fit one of the ids.
        StoreError: the record cannot be written.
    """
    _look_up(store, run_ids)
    with store.database.writing() as write:
        named = [_known(write, run) for run in run_ids]
        found = _family(write, named)
        for run in found:
            write.run("INSERT OR IGNORE INTO forgotten VALUES (?, ?)", (run, time.time()))
    return found


def take_back(store: Store, run_ids: Sequence[str]) -> tuple[str, ...]:
    """Undo :func:`forget`; returns the runs that may be learned from again.

    Raises:
        UsageError: one of them was not forgotten, or no run or several runs fit.
        StoreError: the record cannot be written.
    """
    _look_up(store, run_ids)
    with store.database.writing() as write:
        named = [_known(write, run) for run in run_ids]
        for run in named:
            if not _marked(write, run):
                raise UsageError(f"run {run} was not forgotten: there is nothing to take back")
        back = tuple(run for run in _family(write, named) if _marked(write, run))
        for run in back:
            write.run("DELETE FROM forgotten WHERE run = ?", (run,))
    return back


def _look_up(store: Store, run_ids: Sequence[str]) -> None:
    """Raise UsageError for a run that is not there, before a record is begun for it."""
    with store.database.reading() as read:
        for run in run_ids:
            _known(read, run)


def _known(read: Transaction, name: str) -> str:
    """The full id; a forgotten run may have been removed since."""
    return name if _marked(read, name) else resolved(read, name)


def _marked(read: Transaction, run: str) -> bool:
    return bool(read.rows("SELECT 1 FROM forgotten WHERE run = ?", (run,)))


def _family(read: Transaction, named: Sequence[str]) -> tuple[str, ...]:
    came = [str(row["id"]) for run in named for row in read.rows(_OFFSPRING, {"run": run})]
    return tuple(dict.fromkeys([*named, *came]))
