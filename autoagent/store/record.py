"""Writing one run down while it happens: every call returns when it is on disk."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from autoagent.snapshots import Snapshots
from autoagent.store.database import Database, Transaction
from autoagent.store.rows import REPLY_COLUMNS, as_json, message_columns, observation_columns, reply_columns
from autoagent.trajectory import Ending, Message, Observation, Reply, Step, Verdict

_PUT_REPLY = (
    f"INSERT INTO steps (run, number, {', '.join(REPLY_COLUMNS)}) VALUES (?, ?{', ?' * len(REPLY_COLUMNS)}) "
    "ON CONFLICT (run, number) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in REPLY_COLUMNS)
)


class RunRecord:
    """The record of one run, given out by ``Store.begin``. Implements ``trajectory.Record``.

    Every method raises StoreError when it cannot write.
    """

    def __init__(self, run_id: str, workspace: Path, database: Database, snapshots: Snapshots) -> None:
        self.run_id = run_id
        self.workspace = workspace
        self._database = database
        self._snapshots = snapshots
        self._replies: dict[int, Reply] = {}  # of steps not whole yet, as written
        self._observations: dict[tuple[int, int], Observation] = {}
        self._latest: int | None = None  # step of the latest reply

    def opened(self, messages: Sequence[Message], tools: Sequence[str]) -> None:
        """The conversation as it stands before the first model call, and the names of the tools shown."""
        with self._database.writing() as write:
            write.run("DELETE FROM messages WHERE run = ?", (self.run_id,))
            for message in messages:
                self._add(write, message)
            write.run("UPDATE runs SET tools = ? WHERE id = ?", (as_json(list(tools)), self.run_id))

    def replied(self, index: int, reply: Reply) -> None:
        """What the model said in step ``index``; call it before any of the reply's actions runs."""
        with self._database.writing() as write:
            self._put_reply(write, index, reply)
        self._replies[index] = reply
        self._latest = index

    def observed(self, index: int, number: int, observation: Observation) -> None:
        """What action ``number`` (from 0) of step ``index`` returned; call it right after the action."""
        with self._database.writing() as write:
            self._put_observation(write, index, number, observation)
        self._observations[index, number] = observation

    def said(self, message: Message) -> None:
        """A message appended to the conversation after the latest reply, word for word: a nudge, feedback,
        an observation as it was rendered. Without it, observations are read back as plain tool messages."""
        with self._database.writing() as write:
            self._add(write, message)

    def planned(self, plan: Sequence[str]) -> None:
        """The plan as it is now; a new one takes the place of the old."""
        with self._database.writing() as write:
            write.run("UPDATE runs SET plan = ? WHERE id = ?", (as_json(list(plan)), self.run_id))

    def stepped(self, step: Step) -> None:
        """The whole step. What ``replied`` and ``observed`` have written already is not written again."""
        with self._database.writing() as write:
            if self._replies.get(step.index) != step.reply:
                self._put_reply(write, step.index, step.reply)
            for number, seen in enumerate(step.observations):
                if self._observations.get((step.index, number)) != seen:
                    self._put_observation(write, step.index, number, seen)
            write.run(
                "UPDATE steps SET sub_goal = ?, ending = ?, seconds = ? WHERE run = ? AND number = ?",
                (step.sub_goal, step.ending, step.seconds, self.run_id, step.index),
            )
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
        with self._database.writing() as write:
            write.run(
                "UPDATE runs SET ending = ?, answer = ?, seconds = ?, error = ? WHERE id = ?",
                (ending, answer, seconds, error, self.run_id),
            )

    def judged(self, verdict: Verdict) -> None:
        """What is known about the outcome now; verdicts given before are kept too."""
        with self._database.writing() as write:
            put_verdict(write, self.run_id, verdict)

    def _add(self, write: Transaction, message: Message) -> None:
        write.run(
            "INSERT INTO messages "
            "SELECT ?, COALESCE(MAX(number) + 1, 0), ?, ?, ?, ?, ? FROM messages WHERE run = ?",
            (self.run_id, self._latest, *message_columns(message), self.run_id),
        )

    def _put_reply(self, write: Transaction, index: int, reply: Reply) -> None:
        write.run(_PUT_REPLY, (self.run_id, index, *reply_columns(reply)))

    def _put_observation(self, write: Transaction, index: int, number: int, seen: Observation) -> None:
        write.run(
            "INSERT OR REPLACE INTO observations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (self.run_id, index, number, *observation_columns(seen)),
        )


def put_verdict(write: Transaction, run_id: str, verdict: Verdict) -> None:
    write.run(
        "INSERT INTO verdicts (run, status, score, reason, given_by, at) VALUES (?, ?, ?, ?, ?, ?)",
        (run_id, verdict.status, verdict.score, verdict.reason, verdict.by, time.time()),
    )
