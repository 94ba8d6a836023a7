"""All runs of a project: begin one, list them, read them back, rate them, pick those to learn from."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

from autoagent.errors import StoreError, UsageError
from autoagent.snapshots import Snapshots
from autoagent.store import conversation, rows
from autoagent.store.conversation import Said
from autoagent.store.database import Database, Row, Transaction
from autoagent.store.ids import insert_run, resolved
from autoagent.store.locks import RunLock
from autoagent.store.record import RunRecord, put_verdict
from autoagent.store.rows import RunSummary, Verdicts, as_json
from autoagent.trajectory import Ending, Message, Step, Trajectory, Verdict

RESUMABLE: tuple[Ending, ...] = (
    "interrupted", "error", "max_steps", "max_tokens", "timeout", "stuck", "format_errors",
)  # fmt: skip
_FINAL = {
    "finished": "has finished",
    "declined": "was declined by the model",
    "denied": "ended with an effect that was refused",
}
_FITTING = """
    FROM runs LEFT JOIN verdicts AS v ON v.seq = (SELECT MAX(seq) FROM verdicts WHERE run = runs.id)
    WHERE (:ids IS NULL OR runs.id IN (SELECT value FROM json_each(:ids)))
        AND (:ending IS NULL OR COALESCE(runs.ending, 'unfinished') = :ending)
        AND (:verdict IS NULL OR COALESCE(v.status, 'unverified') = :verdict)
        AND (:suite IS NULL OR runs.suite = :suite) AND (:model IS NULL OR runs.model = :model)
        AND (:models IS NULL OR runs.model IN (SELECT value FROM json_each(CAST(:models AS TEXT))))
        AND (:tags IS NULL OR EXISTS (
            SELECT 1 FROM json_each(CAST(runs.tags AS TEXT))
            WHERE value IN (SELECT value FROM json_each(CAST(:tags AS TEXT)))))
        AND (:since IS NULL OR runs.started >= :since) AND (:until IS NULL OR runs.started < :until)"""
_SUMMARY = f"""
    SELECT runs.*, v.status, v.score, v.reason, v.given_by,
        (SELECT COUNT(*) FROM steps WHERE steps.run = runs.id) AS steps,
        EXISTS (SELECT 1 FROM forgotten WHERE forgotten.run = runs.id) AS forgotten
    {_FITTING}
    ORDER BY runs.seq DESC LIMIT :limit"""
_LISTS = ("ids", "models", "tags")
_FILTERS = (*_LISTS, "ending", "verdict", "suite", "model", "since", "until")


class Store:
    """The runs of one project, in ``home/runs.db``, with the snapshots of their workspaces beside it.

    Threads may share a Store and processes a home. Nothing is created before the first run begins. Wherever a
    run id is asked for, a prefix that fits one run only and ``last`` will do.

    Args:
        home: The project's folder of records (see ``autoagent.home.project_home``).
        wait: How long to wait for another program that writes, in seconds.
        durable: Whether a power cut may cost nothing that was written; it makes every step wait for the disk.
    """

    def __init__(self, home: Path, *, wait: float = 30.0, durable: bool = True) -> None:
        self.home = home
        self.path = home / "runs.db"
        self.snapshots = Snapshots(home / "snapshots")
        self.database = Database(self.path, wait=wait, durable=durable)

    def close(self) -> None:
        """Let go of the file; the store may be used again afterwards."""
        self.database.close()

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
        settings: Mapping[str, Any] = {},
        opening: Sequence[Message] = (),
        tools: Sequence[str] = (),
    ) -> RunRecord:
        """Open the record of a new run. With its opening it can be resumed from this moment on.

        Args:
            goal: What is wanted, in the user's words.
            model: Version hash of the model.
            seed: Of everything that draws.
            check: The check as the user gave it, "" for none.
            workspace: The folder the run works in.
            suite: Name of the suite it belongs to, "" for none.
            tags: Words to find it by.
            parent: The run it was delegated by, or branched from.
            settings: What it runs with, enough to resume it; values that JSON can hold.
            opening: The conversation before the first model call; where it is not known yet, it follows with
                ``RunRecord.opened``.
            tools: Names of the tools shown, in the order shown.

        Raises:
            StoreError: the record cannot be written.
            UsageError: there is no run ``parent``.
        """
        with self.database.writing() as write:
            parent = None if parent is None else resolved(write, parent)
            place, words, chosen = str(workspace.absolute()), as_json(list(tags)), as_json(dict(settings))
            values = (parent, goal, model, seed, check, place, suite, words, chosen, os.getpid())
            run_id = insert_run(write, values)
            lock = RunLock(self.home, run_id)
            lock.acquire()  # nobody else knows the id yet
            record = self._record(run_id, workspace, lock)
            record.put_opening(write, opening, tools)
        return record

    def _record(self, run_id: str, workspace: Path, lock: RunLock) -> RunRecord:
        return RunRecord(run_id, workspace, database=self.database, snapshots=self.snapshots, lock=lock)

    def reopen(self, run_id: str) -> RunRecord:
        """Go on with the record of a run that was cut short or gave up: its ending is taken back, and steps
        and messages are numbered on. The plan, the conversation and the verdicts so far stay.

        Raises:
            UsageError: no run or several runs fit, it cannot be resumed, or a live process works on it.
            StoreError: the record cannot be written.
        """
        run = self.find(run_id)
        lock = RunLock(self.home, run.run_id)
        if not lock.acquire():
            raise UsageError(
                f"run {run.run_id} is being worked on by process {self._process_of(run.run_id)}: "
                "wait until it ends, or end it"
            )
        try:
            return self._reopened(run.run_id, lock)
        except BaseException:
            lock.release()
            raise

    def _reopened(self, run_id: str, lock: RunLock) -> RunRecord:
        with self.database.writing() as write:
            found = write.rows("SELECT ending, workspace FROM runs WHERE id = ?", (run_id,))
            if not found:
                raise UsageError(f"run {run_id} was removed meanwhile: there is nothing to resume in it")
            row = found[0]
            place = rows.text(row["workspace"])
            workspace = Path(place)
            if row["ending"] is not None and row["ending"] not in RESUMABLE:
                raise UsageError(f"run {run_id} {_FINAL[row['ending']]}: there is nothing to resume in it")
            if not place:
                raise UsageError(
                    f"run {run_id} cannot be resumed: it was imported, its workspace is elsewhere"
                )
            if not workspace.is_dir():
                raise UsageError(f"run {run_id} cannot be resumed: its workspace {workspace} is gone")
            (last,) = write.rows("SELECT MAX(number) AS step FROM steps WHERE run = ?", (run_id,))
            (times,) = write.rows("SELECT MAX(compaction) AS n FROM messages WHERE run = ?", (run_id,))
            if times["n"] is None:
                raise UsageError(f"run {run_id} was cut short before it began: give its goal to a new run")
            write.run(
                "UPDATE runs SET ending = NULL, answer = NULL, error = '', process = ? WHERE id = ?",
                (os.getpid(), run_id),
            )
        record = self._record(run_id, workspace, lock)
        record.continue_after(last["step"], times["n"])
        return record

    def _process_of(self, run_id: str) -> int:
        with self.database.reading() as read:
            (row,) = read.rows("SELECT process FROM runs WHERE id = ?", (run_id,))
        return int(row["process"])

    def latest_unfinished(self) -> str | None:
        """The newest run that can be resumed, of those that a person started and nobody works on now."""
        for run in self.runs(suite=""):
            ours = run.parent is None and run.workspace  # neither delegated nor imported
            open_ = not run.running and (run.ending is None or run.ending in RESUMABLE)
            if ours and open_ and self.said(run.run_id):  # nothing said: it was cut short before it began
                return run.run_id
        return None

    def runs(
        self,
        *,
        limit: int | None = None,
        ending: str | None = None,
        verdict: str | None = None,
        suite: str | None = None,
        model: str | None = None,
        tags: Collection[str] | None = None,
    ) -> list[RunSummary]:
        """The runs that fit every filter given, newest first. ``ending`` may also be ``unfinished``;
        ``suite=""`` finds the runs outside any suite; of ``tags``, one is enough."""
        return self._found(
            limit=limit, ending=ending, verdict=verdict, suite=suite, model=model, tags=tags or None
        )

    def matching(
        self,
        *,
        ids: Collection[str] | None = None,
        verdict: str | None = None,
        suite: str | None = None,
        models: Collection[str] | None = None,
        tags: Collection[str] | None = None,
        since: float | None = None,
        until: float | None = None,
    ) -> list[RunSummary]:
        """The runs that fit every filter given, newest first.

        Args:
            ids: Full ids.
            verdict: The latest on them.
            suite: Its name; ``""`` finds the runs outside any.
            models: They are of one of these version hashes.
            tags: They have one of these or more.
            since: They began then or later, in seconds since the epoch.
            until: They began before, in seconds since the epoch.
        """
        return self._found(
            ids=ids, verdict=verdict, suite=suite, models=models, tags=tags, since=since, until=until
        )

    def _found(self, *, limit: int | None = None, **filters: Any) -> list[RunSummary]:
        with self.database.reading() as read:
            found = _summaries(read, self.path, limit=-1 if limit is None else limit, **_wanted(**filters))
        return [self._seen_alive(run) for run in found]

    def count(
        self,
        *,
        verdict: str | None = None,
        suite: str | None = None,
        models: Collection[str] | None = None,
        tags: Collection[str] | None = None,
        since: float | None = None,
        until: float | None = None,
    ) -> int:
        """How many runs fit every filter given (see :meth:`matching`)."""
        wanted = _wanted(verdict=verdict, suite=suite, models=models, tags=tags, since=since, until=until)
        with self.database.reading() as read:
            return int(read.rows(f"SELECT COUNT(*) AS n {_FITTING}", wanted)[0]["n"])

    def models(self) -> dict[str, int]:
        """How many runs each model made, by version hash."""
        with self.database.reading() as read:
            found = read.rows("SELECT model, COUNT(*) AS n FROM runs GROUP BY model ORDER BY MIN(seq)")
        return {rows.text(row["model"]): int(row["n"]) for row in found}

    def find(self, run_id: str) -> RunSummary:
        """One run, by its id, a prefix of it, or ``last``.

        Raises:
            UsageError: no run or several runs fit.
        """
        with self.database.reading() as read:
            (found,) = _summaries(read, self.path, limit=1, **_wanted(ids=[resolved(read, run_id)]))
        return self._seen_alive(found)

    def _seen_alive(self, run: RunSummary) -> RunSummary:
        if run.ending is None and RunLock(self.home, run.run_id).taken:
            return run.model_copy(update={"running": True})
        return run

    def load(self, run_id: str) -> Trajectory:
        """The whole run as it was recorded. Logprobs come back as 32-bit floats; a run whose process died
        comes back with every step it wrote and no ending.

        Raises:
            UsageError: no run or several runs fit.
            StoreError: what is recorded of it is damaged.
        """
        with self.database.reading() as read:
            run = resolved(read, run_id)
            (row,) = read.rows("SELECT * FROM runs WHERE id = ?", (run,))
            with _told_of_damage(run, self.path):
                return rows.trajectory(row, _steps(read, run), _verdicts(read, run).latest)

    def messages(self, run_id: str, *, whole: bool = False) -> list[Message]:
        """The conversation as the model has it now: what the run opened with, or its last compaction left,
        then each reply and what was appended after it. ``whole=True`` gives all that was ever said, for
        people.

        Raises:
            UsageError: no run or several runs fit.
            StoreError: what is recorded of it is damaged.
        """
        said, steps = self.said(run_id), self.load(run_id).steps
        return conversation.whole(said, steps) if whole else conversation.current(said, steps)

    def said(self, run_id: str) -> list[Said]:
        """What the runtime itself put into the conversation, and where: the opening, nudges, summaries.

        Raises:
            UsageError: no run or several runs fit.
            StoreError: what is recorded of it is damaged.
        """
        with self.database.reading() as read:
            run = resolved(read, run_id)
            kept = read.rows("SELECT * FROM messages WHERE run = ? ORDER BY number", (run,))
            with _told_of_damage(run, self.path):
                return [Said(rows.message(row), row["after_step"], row["compaction"]) for row in kept]

    def tools(self, run_id: str) -> tuple[str, ...]:
        """Names of the tools that were shown, in the order shown.

        Raises:
            UsageError: no run or several runs fit.
        """
        with self.database.reading() as read:
            (row,) = read.rows("SELECT tools FROM runs WHERE id = ?", (resolved(read, run_id),))
        return tuple(json.loads(row["tools"]))

    def snapshots_of(self, run_id: str) -> dict[int, str]:
        """Snapshot ids of the run by step; 0 is the workspace as the run found it.

        Raises:
            UsageError: no run or several runs fit.
        """
        with self.database.reading() as read:
            run = resolved(read, run_id)
            found = read.rows("SELECT step, snapshot FROM snapshots WHERE run = ? ORDER BY step", (run,))
        return {row["step"]: row["snapshot"] for row in found}

    def rate(self, run_id: str, good: bool, note: str = "") -> Verdict:
        """Keep the user's verdict on a run; those given before stay on record.

        Raises:
            UsageError: no run or several runs fit.
            StoreError: the record cannot be written.
        """
        verdict = Verdict(status="verified" if good else "refuted", reason=note, by="user")
        with self.database.writing() as write:
            put_verdict(write, resolved(write, run_id), verdict)
        return verdict

    def verdicts(self, run_id: str) -> Verdicts:
        """Everything said about the outcome: the latest, the check's, the user's, and the one that may gate.

        Raises:
            UsageError: no run or several runs fit.
        """
        with self.database.reading() as read:
            return _verdicts(read, resolved(read, run_id))

    def verified(self, *, suite: str | None = None, model: str | None = None) -> Iterator[Trajectory]:
        """Runs to learn from, oldest first: those whose latest verdict (check or user) is verified."""
        return self._judged("verified", suite, model)

    def refuted(self, *, suite: str | None = None, model: str | None = None) -> Iterator[Trajectory]:
        """Runs to learn from as negatives, oldest first: those whose latest verdict is refuted."""
        return self._judged("refuted", suite, model)

    def forgotten(self) -> frozenset[str]:
        """The ids of the runs that are not learned from any more, removed ones among them."""
        with self.database.reading() as read:
            return frozenset(str(row["run"]) for row in read.rows("SELECT run FROM forgotten"))

    def _judged(self, status: str, suite: str | None, model: str | None) -> Iterator[Trajectory]:
        for run in reversed(self.runs(verdict=status, suite=suite, model=model)):
            if run.verdict.by is not None and not run.forgotten:
                yield self.load(run.run_id)


def _wanted(**filters: Any) -> dict[str, Any]:
    """All filters by name: None is one that is not set, a list is JSON."""
    listed = {name: filters[name] for name in _LISTS if filters.get(name) is not None}
    return dict.fromkeys(_FILTERS) | filters | {name: as_json(sorted(each)) for name, each in listed.items()}


def _summaries(read: Transaction, path: Path, **wanted: object) -> list[RunSummary]:
    found = []
    for row in read.rows(_SUMMARY, wanted):
        with _told_of_damage(row["id"], path):
            found.append(rows.summary(row))
    return found


@contextmanager
def _told_of_damage(run: str, path: Path) -> Iterator[None]:
    try:
        yield
    except (zlib.error, ValueError, TypeError, KeyError) as error:
        why = " ".join(str(error).split())[:80]
        raise StoreError(
            f"the record of run {run} in {path} is damaged ({why}): "
            f"restore a backup; `autoagent runs rate {run} bad` keeps it from being learned from"
        ) from error


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
