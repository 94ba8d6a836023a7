"""All runs of a project: begin one, list them, read them back, rate them, pick those to learn from."""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

from autoagent.errors import StoreError, UsageError
from autoagent.snapshots import Snapshots
from autoagent.store import rows
from autoagent.store.database import Database, Row, Transaction
from autoagent.store.record import RunRecord, put_verdict
from autoagent.store.rows import RunSummary, Verdicts, as_json
from autoagent.trajectory import Message, Step, Trajectory, Verdict

DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: sorts as text, no letter reads as a digit
_SUMMARY = """
    SELECT runs.*, v.status, v.score, v.reason, v.given_by,
        (SELECT COUNT(*) FROM steps WHERE steps.run = runs.id) AS steps
    FROM runs LEFT JOIN verdicts AS v ON v.seq = (SELECT MAX(seq) FROM verdicts WHERE run = runs.id)
    WHERE (:id IS NULL OR runs.id = :id)
        AND (:ending IS NULL OR COALESCE(runs.ending, 'unfinished') = :ending)
        AND (:verdict IS NULL OR COALESCE(v.status, 'unverified') = :verdict)
        AND (:suite IS NULL OR runs.suite = :suite) AND (:model IS NULL OR runs.model = :model)
    ORDER BY runs.seq DESC LIMIT :limit"""


class Store:
    """The runs of one project, in ``home/runs.db``, with the snapshots of their workspaces beside it.

    Threads may share a Store and processes a home. Nothing is created before the first run begins. Wherever a
    run id is asked for, a prefix that fits one run only and ``last`` will do.

    Args:
        home: The project's folder of records (see ``autoagent.home.project_home``).
        wait: How long to wait for another program that writes, in seconds.
    """

    def __init__(self, home: Path, *, wait: float = 30.0) -> None:
        self.home = home
        self.path = home / "runs.db"
        self.snapshots = Snapshots(home / "snapshots")
        self._database = Database(self.path, wait=wait)

    def close(self) -> None:
        """Let go of the file; the store may be used again afterwards."""
        self._database.close()

    def begin(
        self,
        goal: str,
        *,
        model: str,
        seed: int,
        check: str,
        workspace: Path,
        suite: str = "",
        tags: Sequence[str] = (),
        parent: str | None = None,
    ) -> RunRecord:
        """Open the record of a new run.

        Args:
            goal: What is wanted, in the user's words.
            model: Version hash of the model.
            seed: Of everything that draws.
            check: The check as the user gave it, "" for none.
            workspace: The folder the run works in.
            suite: Name of the suite it belongs to, "" for none.
            tags: Words to find it by.
            parent: The run it was branched from.

        Raises:
            StoreError: the record cannot be written.
            UsageError: there is no run ``parent``.
        """
        with self._database.writing() as write:
            parent = None if parent is None else _resolved(write, parent)
            values = (parent, goal, model, seed, check, str(workspace.absolute()), suite, as_json(list(tags)))
            run_id = _insert(write, values)
        return RunRecord(run_id, workspace, self._database, self.snapshots)

    def runs(
        self,
        *,
        limit: int | None = None,
        ending: str | None = None,
        verdict: str | None = None,
        suite: str | None = None,
        model: str | None = None,
    ) -> list[RunSummary]:
        """The runs that fit every filter given, newest first. ``ending`` may also be ``unfinished``;
        ``suite=""`` finds the runs outside any suite."""
        wanted = {"ending": ending, "verdict": verdict, "suite": suite, "model": model}
        with self._database.reading() as read:
            return _summaries(read, id=None, limit=-1 if limit is None else limit, **wanted)

    def find(self, run_id: str) -> RunSummary:
        """One run, by its id, a prefix of it, or ``last``.

        Raises:
            UsageError: no run or several runs fit.
        """
        with self._database.reading() as read:
            nothing = dict.fromkeys(("ending", "verdict", "suite", "model"))
            return _summaries(read, id=_resolved(read, run_id), limit=1, **nothing)[0]

    def load(self, run_id: str) -> Trajectory:
        """The whole run as it was recorded. Logprobs come back as 32-bit floats; a run whose process died
        comes back with every step it wrote and no ending.

        Raises:
            UsageError: no run or several runs fit.
            StoreError: what is recorded of it is damaged.
        """
        with self._database.reading() as read:
            run = _resolved(read, run_id)
            (row,) = read.rows("SELECT * FROM runs WHERE id = ?", (run,))
            with self._told_of_damage(run):
                return rows.trajectory(row, _steps(read, run), _verdicts(read, run).latest)

    def messages(self, run_id: str) -> list[Message]:
        """The conversation: what the run opened with, then each reply and what was appended after it.

        Raises:
            UsageError: no run or several runs fit.
            StoreError: what is recorded of it is damaged.
        """
        with self._database.reading() as read:
            run = _resolved(read, run_id)
            kept = read.rows("SELECT * FROM messages WHERE run = ? ORDER BY number", (run,))
            with self._told_of_damage(run):
                steps = _steps(read, run)
        said = [(row["after_step"], rows.message(row)) for row in kept]
        conversation = [message for after, message in said if after is None]
        for step in steps:
            appended = [message for after, message in said if after == step.index]
            if not any(message.role == "tool" for message in appended):
                answers = [(seen.content, seen.call.name) for seen in step.observations]
                appended[:0] = [Message(role="tool", content=content, name=name) for content, name in answers]
            conversation += [step.reply.as_message(), *appended]
        return conversation

    def tools(self, run_id: str) -> tuple[str, ...]:
        """Names of the tools that were shown, in the order shown.

        Raises:
            UsageError: no run or several runs fit.
        """
        with self._database.reading() as read:
            (row,) = read.rows("SELECT tools FROM runs WHERE id = ?", (_resolved(read, run_id),))
        return tuple(json.loads(row["tools"]))

    def snapshots_of(self, run_id: str) -> dict[int, str]:
        """Snapshot ids of the run by step; 0 is the workspace as the run found it.

        Raises:
            UsageError: no run or several runs fit.
        """
        with self._database.reading() as read:
            run = _resolved(read, run_id)
            found = read.rows("SELECT step, snapshot FROM snapshots WHERE run = ? ORDER BY step", (run,))
        return {row["step"]: row["snapshot"] for row in found}

    def rate(self, run_id: str, good: bool, note: str = "") -> Verdict:
        """Keep the user's verdict on a run; those given before stay on record.

        Raises:
            UsageError: no run or several runs fit.
            StoreError: the record cannot be written.
        """
        verdict = Verdict(status="verified" if good else "refuted", reason=note, by="user")
        with self._database.writing() as write:
            put_verdict(write, _resolved(write, run_id), verdict)
        return verdict

    def verdicts(self, run_id: str) -> Verdicts:
        """Everything said about the outcome: the latest, the check's, the user's, and the one that may gate.

        Raises:
            UsageError: no run or several runs fit.
        """
        with self._database.reading() as read:
            return _verdicts(read, _resolved(read, run_id))

    def verified(self, *, suite: str | None = None, model: str | None = None) -> Iterator[Trajectory]:
        """Runs to learn from, oldest first: those whose latest verdict (check or user) is verified."""
        return self._judged("verified", suite, model)

    def refuted(self, *, suite: str | None = None, model: str | None = None) -> Iterator[Trajectory]:
        """Runs to learn from as negatives, oldest first: those whose latest verdict is refuted."""
        return self._judged("refuted", suite, model)

    @contextmanager
    def _told_of_damage(self, run: str) -> Iterator[None]:
        try:
            yield
        except (zlib.error, ValueError, TypeError, KeyError) as error:
            why = " ".join(str(error).split())[:80]
            raise StoreError(
                f"the record of run {run} in {self.path} is damaged ({why}): "
                f"restore a backup; `autoagent runs rate {run} bad` keeps it from being learned from"
            ) from error

    def _judged(self, status: str, suite: str | None, model: str | None) -> Iterator[Trajectory]:
        for run in reversed(self.runs(verdict=status, suite=suite, model=model)):
            if run.verdict.by is not None:
                yield self.load(run.run_id)


def _insert(write: Transaction, values: tuple[object, ...]) -> str:
    """Insert the run under a new id; one that was just taken in the same tick is drawn again."""
    for _ in range(100):
        started = time.time()
        run_id = _new_id(started)
        try:
            write.run(
                "INSERT INTO runs "
                "(id, parent, goal, model, seed, check_text, workspace, suite, tags, started) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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


def _resolved(read: Transaction, name: str) -> str:
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


def _summaries(read: Transaction, **wanted: object) -> list[RunSummary]:
    return [rows.summary(row) for row in read.rows(_SUMMARY, wanted)]


def _steps(read: Transaction, run: str) -> list[Step]:
    observed = read.rows("SELECT * FROM observations WHERE run = ? ORDER BY step, number", (run,))
    seen = {step: [rows.observation(row) for row in group] for step, group in groupby(observed, _step_of)}
    found = read.rows("SELECT * FROM steps WHERE run = ? ORDER BY number", (run,))
    return [rows.step(row, seen.get(row["number"], ())) for row in found]


def _step_of(row: Row) -> int:
    return int(row["step"])


def _verdicts(read: Transaction, run: str) -> Verdicts:
    found = read.rows("SELECT * FROM verdicts WHERE run = ? ORDER BY seq", (run,))
    return Verdicts(given=tuple(rows.verdict(row) for row in found))
