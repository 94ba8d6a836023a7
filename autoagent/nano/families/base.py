"""What a goal family makes: a task with its check, and the script of the expert that reaches it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from autoagent.evals.task import Expected, Task, ToolSpec
from autoagent.nano.language import loosen, say
from autoagent.nano.words import Words

Seen = Sequence[str]  # observations so far, in order
DECLINE = "No tool here can do this. A larger model may help, see --model."


@dataclass(frozen=True)
class Action:
    """One tool call of the expert; arguments may depend on what was observed before."""

    tool: str
    arguments: dict[str, Any] | Callable[[Seen], dict[str, Any]]

    def resolve(self, seen: Seen) -> dict[str, Any]:
        return self.arguments(seen) if callable(self.arguments) else self.arguments


@dataclass(frozen=True)
class Episode:
    """A task and how the expert does it. No actions: the expert declines."""

    task: Task
    actions: tuple[Action, ...]
    answer: Callable[[Seen], str]


Family = Callable[["Maker"], Episode]


@dataclass
class Maker:
    """Helps a family put an episode together."""

    rng: random.Random
    words: Words
    files: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, rng: random.Random, *, held_out: bool) -> Maker:
        return cls(rng, Words(rng, held_out))

    def say(self, *patterns: str, **values: object) -> str:
        return say(self.rng, *patterns, **values)

    def clutter(self, most: int = 3) -> None:
        """Some other files, so that the right one has to be named."""
        for _ in range(self.rng.randint(0, most)):
            self.put(self.words.file(), self.words.phrase())

    def put(self, name: str, content: str) -> None:
        """Add a file, unless the name is taken or stands in the way of a folder."""
        taken = name in self.files or any(
            other.startswith(f"{name}/") or name.startswith(f"{other}/") for other in self.files
        )
        if not taken:
            self.files[name] = content + "\n"

    def episode(
        self,
        goal: str,
        *actions: Action,
        expected: Expected,
        answer: Callable[[Seen], str] = lambda seen: seen[-1],
        memory: Sequence[str] = (),
        tools: Sequence[ToolSpec] = (),
    ) -> Episode:
        task = Task(
            id="",
            family="",
            goal=loosen(self.rng, goal),
            files=self.files,
            memory=tuple(memory),
            tools=tuple(tools),
            expected=expected,
        )
        return Episode(task, actions, answer)
