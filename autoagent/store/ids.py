"""Run ids: drawn anew, and found again by their beginning."""

from __future__ import annotations

import re
import secrets
import sqlite3
import time

from autoagent.errors import UsageError
from autoagent.store.database import Transaction

DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: sorts as text, no letter reads as a digit
_ID = re.compile(f"r[{DIGITS}]{{11}}")


def insert_run(write: Transaction, values: tuple[object, ...]) -> str:
    """Insert the run under a new id; one that was just taken in the same tick is drawn again."""
    for _ in range(100):
        started = time.time()
        run_id = _new_id(started)
        try:
            write.run(
                "INSERT INTO runs (id, parent, goal, model, seed, check_text, workspace, suite, tags, "
                "settings, process, started) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (run_id, *values, started),
            )
        except sqlite3.IntegrityError:
            continue
        return run_id
    raise AssertionError("100 run ids in a row were taken")


def _new_id(now: float) -> str:
    """``r``, 8 digits of time in hundredths of a second (until 2318), 3 random ones; sorts by time."""
    number = int(now * 100) << 15 | secrets.randbelow(1 << 15)
    return "r" + "".join(DIGITS[number >> shift & 31] for shift in range(50, -1, -5))


def resolved(read: Transaction, name: str) -> str:
    """The full id behind an id, a prefix or ``last``."""
    wanted = name.strip().lower()
    if wanted == "last":
        found = read.rows("SELECT id FROM runs ORDER BY seq DESC LIMIT 1")
    else:
        range_ = (wanted, wanted + "~")
        found = read.rows("SELECT id FROM runs WHERE id >= ? AND id < ? ORDER BY seq DESC", range_)
    ids = [str(row["id"]) for row in found] if wanted else []
    if wanted in ids:
        return wanted
    if not ids:
        nothing = "there are no runs yet" if wanted == "last" else f"there is no run {name!r}"
        raise UsageError(f"{nothing}: see `autoagent runs list`")
    if len(ids) > 1:
        shown = ", ".join(ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
        raise UsageError(f"{name!r} fits {len(ids)} runs, give more of its letters: {shown}")
    return ids[0]


def free_id(read: Transaction, wanted: str) -> str:
    """The wanted id if it is one and nobody has it, else a new one."""
    while not _ID.fullmatch(wanted) or read.rows("SELECT 1 FROM runs WHERE id = ?", (wanted,)):
        wanted = _new_id(time.time())
    return wanted
