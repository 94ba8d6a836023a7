"""A recorded run up to one of its steps, and a new run that goes on from there."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from autoagent.errors import UsageError
from autoagent.plan import parsed
from autoagent.store.changes import at_step, snapshots_of
from autoagent.store.conversation import Said, before
from autoagent.store.rows import RunSummary
from autoagent.store.runs import Store
from autoagent.trajectory import MODELS, Message, Step, Trajectory


@dataclass(frozen=True)
class Branch:
    """A run without step ``step`` and all that followed it.

    Attributes:
        snapshot: The workspace as it was then.
    """

    store: Store
    run: Trajectory
    summary: RunSummary
    said: tuple[Said, ...]
    step: int
    snapshot: str

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps that are kept."""
        return self.run.steps[: self.step]

    @cached_property
    def opening(self) -> tuple[Message, ...]:
        """What stood in the conversation before the first reply."""
        return tuple(each.message for each in self.said if each.after is None)

    @cached_property
    def messages(self) -> list[Message]:
        """The conversation as the model had it when it replied in the step that is left out."""
        return before(self.said, self.run.steps, self.step)

    def after(self, step: Step) -> list[Said]:
        """What the runtime said after a step that is kept."""
        return [each for each in self.said if each.after == step.index]

    @property
    def plan(self) -> tuple[str, ...]:
        """The plan as it was."""
        plans = [(step.index, found) for step in self.run.steps if (found := _planned(step)) is not None]
        made = [plan for index, plan in plans if index < self.step]
        return self.run.plan if len(made) == len(plans) else made[-1] if made else ()

    def begin(
        self,
        workspace: Path,
        *,
        model: str,
        seed: int,
        tags: Sequence[str],
        settings: Mapping[str, Any],
    ) -> str:
        """Write a new run down to the step that is left out, and return its id; ``Agent.resume`` goes on.

        Args:
            workspace: The folder it works in: empty or missing, it becomes what the workspace was.
            model: Version hash of the model that goes on.
            seed: Of everything that draws.
            tags: Words to find it by.
            settings: What differs from the settings of the run it branches from.

        Raises:
            UsageError: the folder has something in it, or cannot be written.
            StoreError: the record cannot be written, or the snapshot is missing or damaged.
        """
        self.store.snapshots.restore(self.snapshot, workspace)
        record = self.store.begin(
            self.run.goal,
            model=model,
            seed=seed,
            check=self.summary.check,
            workspace=workspace,
            suite=self.summary.suite,
            tags=tags,
            parent=self.run.run_id,
            settings={**self._settings, **settings, "branched_at": self.step},
        )
        try:
            record.opened(self.opening, self.run.tools)
            self._share_snapshots(record.run_id)
            for step in self.steps:
                record.replied(step.index, step.reply, step.kind)
                for number, seen in enumerate(step.observations):
                    record.observed(step.index, number, seen)
                record.stepped(step)
                following = [each.message for each in self.after(step)]
                if step.kind == "compaction":
                    record.compacted(following)
                else:
                    for message in following:
                        record.said(message)
            record.planned(self.plan)
            kept = self.store.home / "observations"
            if (kept / self.run.run_id).is_dir():
                shutil.copytree(kept / self.run.run_id, kept / record.run_id, dirs_exist_ok=True)
        finally:
            record.close()
        return record.run_id

    @property
    def _settings(self) -> dict[str, Any]:
        """What the run ran with; which versions answered later in it says nothing about the branch."""
        return {name: value for name, value in self.run.settings.items() if name != MODELS}

    def _share_snapshots(self, run_id: str) -> None:
        """The new run has the copies of the workspace that the old one had so far."""
        with self.store.database.writing() as write:
            write.run(
                "INSERT INTO snapshots (run, step, snapshot) "
                "SELECT ?, step, snapshot FROM snapshots WHERE run = ? AND step < ?",
                (run_id, self.run.run_id, max(1, self.step)),
            )


def branch(store: Store, run_id: str, step: int) -> Branch:
    """A recorded run up to one of its steps.

    Raises:
        UsageError: there is no such run or step, or no copy of its workspace as it was before that step.
        StoreError: what is recorded of it is damaged.
    """
    run, summary = store.load(run_id), store.find(run_id)
    if not 0 <= step < len(run.steps):
        last = f"its last is step {len(run.steps) - 1}" if run.steps else "it has none"
        raise UsageError(f"run {run.run_id} has no step {step}: {last}")
    if step == 0 and run.steps[0].mutated:  # the copy after it took the place of the one before it
        raise UsageError(f"run {run.run_id} has no copy of its workspace before step 0")
    kept = snapshots_of(store, run.run_id)
    snapshot = at_step(store, run.run_id, kept, max(0, step - 1))
    return Branch(store, run, summary, tuple(store.said(run.run_id)), step, snapshot)


def _planned(step: Step) -> tuple[str, ...] | None:
    """The plan that a step made, if it made one."""
    if step.kind == "plan":
        return parsed(step.reply.value)
    for seen in reversed(step.observations):
        if seen.ok and seen.call.name == "plan":
            wanted = seen.call.arguments.get("sub_goals", ())
            return tuple(str(each).strip() for each in wanted if str(each).strip())
    return None
