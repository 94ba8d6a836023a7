"""What a run is guarded by: made when it begins, shared with its helpers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autoagent.config import Safety
from autoagent.errors import StoreError, UsageError
from autoagent.goal import Goal
from autoagent.memory import Memory, Recalled
from autoagent.security import Guard, Secrets, known_secrets
from autoagent.trajectory import Message, Trajectory


@dataclass(frozen=True)
class Shield:
    """The guard of a run, and the secrets it hides; None: it hides none."""

    guard: Guard
    secrets: Secrets | None = None

    @classmethod
    def of(cls, safety: Safety, workspace: Path) -> Shield:
        """For a new run in a workspace."""
        guard = Guard(safety.taint, safety.untrusted, workspace)
        if not safety.secrets:
            return cls(guard)
        return cls(guard, secrets_of(safety, workspace))

    def hidden(self, text: str) -> str:
        """The text without the secrets in it."""
        return text if self.secrets is None else self.secrets.redacted(text)

    def goal(self, goal: Goal, *, own: bool, tainted: bool) -> Goal:
        """The goal without secrets. It is the user's word where it is the user's ``own``, not a helper's."""
        goal = replace(goal, text=self.hidden(goal.text))
        if own:
            self.guard.user_says(goal.text)
            if self.secrets is not None:
                self.secrets.fresh.clear()  # these are the user's
        if tainted:
            self.guard.taint("conversation")
        return goal

    def recalled(self, found: Sequence[Recalled]) -> list[Recalled]:
        """Memories that are about to be put before the model."""
        if any(each.outside for each in found):
            self.guard.taint("memory")
        return [replace(each, text=self.hidden(each.text)) for each in found]

    def earlier(self, past: Sequence[Message]) -> list[Message]:
        """What was said before in the same conversation; what the user said counts as said."""
        shown = [each.model_copy(update={"content": self.hidden(each.content)}) for each in past]
        for each in shown:
            if each.role == "user":
                self.guard.user_says(each.content)
        return shown

    def take_up(self, past: Trajectory, memory: Memory | None) -> None:
        """Know again what a run knew when it broke off, apart from its steps.

        A memory that is no longer there may have been from outside, and counts as such.
        """
        if past.parent is None or "branched_at" in past.settings:  # else a model has worded the goal
            self.guard.user_says(past.goal)
        told = {each for step in past.steps for each in step.recalled}
        try:
            own = {each.id for each in memory.entries() if not each.outside} if told and memory else set()
        except StoreError:
            own = set()
        if told - own or past.settings.get("outside"):
            self.guard.taint("memory")

    def about(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What is recorded when the run begins: its settings without secrets, and where it is tainted."""
        told = dict(settings) if self.secrets is None else self.secrets.redacted_all(settings)
        return told | ({"outside": list(self.guard.sources)} if self.guard.tainted else {})


def secrets_of(safety: Safety, workspace: Path | None) -> Secrets:
    """What is a secret in a workspace now."""
    return known_secrets(
        os.environ,
        workspace,
        names=safety.secret_names,
        patterns=safety.secret_patterns,
        files=safety.secret_files,
    )


def as_given(text: str, safety: Safety, workspace: Path | None) -> str:
    """A check as the user gave it, from the record, which has ``[secret: NAME]`` in the place of secrets.

    Raises:
        UsageError: one of them is not known any more.
    """
    if "[secret: " not in text:
        return text
    secrets = secrets_of(safety, workspace)
    if lost := secrets.lost_in(text):
        raise UsageError(
            f"the check on record holds the secret {lost[0]}, which is not known any more: "
            "give the check again"
        )
    return str(secrets.filled_in(text))
