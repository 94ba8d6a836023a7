"""Writing one run down while it happens: every call returns when it is on disk."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from autoagent.snapshots import Snapshots
from autoagent.store.conversation import Said
from autoagent.store.database import Database, Transaction
from autoagent.store.locks import RunLock
from autoagent.store.rows import (
    OBSERVATION_COLUMNS,
    REPLY_COLUMNS,
    as_json,
    message_columns,
    observation_columns,
    reply_columns,
)
from autoagent.trajectory import MODELS, Ending, Message, Observation, Reply, Step, StepKind, Verdict

_PUT_REPLY = (
    f"INSERT INTO steps (run, number, kind, {', '.join(REPLY_COLUMNS)}) "
    f"VALUES (?, ?, ?{', ?' * len(REPLY_COLUMNS)}) ON CONFLICT (run, number) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in ("kind", *REPLY_COLUMNS))
)
_PUT_OBSERVATION = (
    f"INSERT OR REPLACE INTO observations (run, step, number, {', '.join(OBSERVATION_COLUMNS)}) "
    f"VALUES (?, ?, ?{', ?' * len(OBSERVATION_COLUMNS)})"
)


class RunRecord:
    """The record of one run, given out by ``Store.begin`` and ``Store.reopen``: a ``trajectory.Record``.

    While it is open the run counts as running, and nobody else may work on it: until ``ended`` or ``close``,
    or until the process is gone. Every method raises StoreError when it cannot write.
    """

    def __init__(
        self, run_id: str, workspace: Path, *, database: Database, snapshots: Snapshots, lock: RunLock
    ) -> None:
        self.run_id = run_id
        self.workspace = workspace
        self._database = database
        self._snapshots = snapshots
        self._lock = lock
        self._compactions = 0  # so far
        self._replies: dict[int, Reply] = {}  # of steps not whole yet, as written
        self._observations: dict[tuple[int, int], Observation] = {}
        self._latest: int | None = None  # step of the latest reply

    def opened(self, messages: Sequence[Message], tools: Sequence[str]) -> None:
        """The conversation as it stands before the first model call, and the names of the tools shown."""
        with self._database.writing() as write:
            write.run("DELETE FROM messages WHERE run = ?", (self.run_id,))
            self._compactions = 0
            self.put_opening(write, messages, tools)

    def put_opening(self, write: Transaction, messages: Sequence[Message], tools: Sequence[str]) -> None:
        """The opening as part of a transaction, so that no run is on record without its own."""
        for message in messages:
            self._add(write, message)
        write.run("UPDATE runs SET tools = ? WHERE id = ?", (as_json(list(tools)), self.run_id))

    def replied(self, index: int, reply: Reply, kind: StepKind = "act") -> None:
        """What the model said in step ``index``; call it before any of the reply's actions runs."""
        with self._database.writing() as write:
            put_reply(write, self.run_id, index, reply, kind)
        self._replies[index] = reply
        self._latest = index

    def observed(self, index: int, number: int, observation: Observation) -> None:
        """What action ``number`` (from 0) of step ``index`` returned; call it right after the action."""
        with self._database.writing() as write:
            put_observation(write, self.run_id, index, number, observation)
        self._observations[index, number] = observation

    def said(self, message: Message) -> None:
        """A message appended to the conversation after the latest reply and its observations (which are read
        back as tool messages by themselves), word for word: a nudge, feedback, a word about skipped calls."""
        with self._database.writing() as write:
            self._add(write, message)

    def planned(self, plan: Sequence[str]) -> None:
        """The plan as it is now; a new one takes the place of the old."""
        with self._database.writing() as write:
            write.run("UPDATE runs SET plan = ? WHERE id = ?", (as_json(list(plan)), self.run_id))

    def answered_by(self, model: str, step: int) -> None:
        """Another model version answers from ``step`` on."""
        self._note(lambda settings: {MODELS: {**settings.get(MODELS, {}), str(step): model}})

    def tainted(self, sources: Sequence[str]) -> None:
        """The run has read what came from outside, from these places."""
        self._note(lambda settings: {"outside": list(sources)})

    def _note(self, more: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Add to the settings what ``more`` makes of them."""
        with self._database.writing() as write:
            (row,) = write.rows("SELECT settings FROM runs WHERE id = ?", (self.run_id,))
            settings = json.loads(row["settings"])
            write.run(
                "UPDATE runs SET settings = ? WHERE id = ?",
                (as_json(settings | more(settings)), self.run_id),
            )

    def compacted(self, messages: Sequence[Message]) -> None:
        """From here on the conversation is these messages, all of them, and what is said and replied next."""
        with self._database.writing() as write:
            self._compactions += 1
            for message in messages:
                self._add(write, message)

    def stepped(self, step: Step) -> None:
        """The whole step. What ``replied`` and ``observed`` have written already is not written again."""
        with self._database.writing() as write:
            if self._replies.get(step.index) != step.reply:
                put_reply(write, self.run_id, step.index, step.reply, step.kind)
            for number, seen in enumerate(step.observations):
                if self._observations.get((step.index, number)) != seen:
                    put_observation(write, self.run_id, step.index, number, seen)
            put_end_of_step(write, self.run_id, step)
        self._replies.pop(step.index, None)
        self._observations = {key: seen for key, seen in self._observations.items() if key[0] != step.index}
        self._latest = step.index

    def snapshot(self, step_index: int) -> str | None:
        """Keep the workspace as it is after step ``step_index`` (0: as the run found it); return its id.

        Returns:
            None when it is too large to keep: the run is then marked as not replayable.
        """
        taken = self._snapshots.take(self.workspace, skip=[self._database.path.parent])
        with self._database.writing() as write:
            if taken is None:
                write.run("UPDATE runs SET replayable = 0 WHERE id = ?", (self.run_id,))
            else:
                values = (self.run_id, step_index, taken)
                write.run("INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?)", values)
        return taken

    def ended(self, ending: Ending, answer: str | None, seconds: float, error: str = "") -> None:
        """How the run ended, its answer, its wall-clock time in seconds, a traceback if there is one."""
        try:
            with self._database.writing() as write:
                write.run(
                    "UPDATE runs SET ending = ?, answer = ?, seconds = ?, error = ? WHERE id = ?",
                    (ending, answer, seconds, error, self.run_id),
                )
        finally:
            self.close()  # also on a full disk: the run can be resumed when there is room again

    def close(self) -> None:
        """Let others work on the run. What is written afterwards is recorded all the same."""
        self._lock.release()

    def judged(self, verdict: Verdict) -> None:
        """What is known about the outcome now; verdicts given before are kept too."""
        with self._database.writing() as write:
            put_verdict(write, self.run_id, verdict)

    def _add(self, write: Transaction, message: Message) -> None:
        put_message(write, self.run_id, Said(message, self._latest, self._compactions))

    def continue_after(self, step: int | None, compactions: int) -> None:
        """Go on where the record stands: after which step, and after how many compactions."""
        self._latest, self._compactions = step, compactions


def put_message(write: Transaction, run_id: str, said: Said) -> None:
    write.run(
        "INSERT INTO messages (run, number, after_step, compaction, role, content, calls, name) "
        "SELECT ?, COALESCE(MAX(number) + 1, 0), ?, ?, ?, ?, ?, ? FROM messages WHERE run = ?",
        (run_id, said.after, said.compaction, *message_columns(said.message), run_id),
    )


def put_reply(write: Transaction, run_id: str, index: int, reply: Reply, kind: StepKind) -> None:
    write.run(_PUT_REPLY, (run_id, index, kind, *reply_columns(reply)))


def put_observation(write: Transaction, run_id: str, index: int, number: int, seen: Observation) -> None:
    write.run(_PUT_OBSERVATION, (run_id, index, number, *observation_columns(seen)))


def put_end_of_step(write: Transaction, run_id: str, step: Step) -> None:
    write.run(
        "UPDATE steps SET kind = ?, sub_goal = ?, recalled = ?, ending = ?, seconds = ? "
        "WHERE run = ? AND number = ?",
        (
            step.kind, step.sub_goal, as_json(list(step.recalled)), step.ending, step.seconds,
            run_id, step.index,
        ),
    )  # fmt: skip


def put_verdict(write: Transaction, run_id: str, verdict: Verdict) -> None:
    write.run(
        "INSERT INTO verdicts (run, status, score, reason, given_by, at) VALUES (?, ?, ?, ?, ?, ?)",
        (run_id, verdict.status, verdict.score, verdict.reason, verdict.by, time.time()),
    )
