"""What a goal family makes: a task with its check, and the script of the expert that reaches it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from autoagent.evals.task import Expected, Task, ToolSpec
from autoagent.nano.language import Around, loosen, on_side, phrase, say
from autoagent.nano.words import Words, is_kept

Seen = Sequence[str]  # observations so far, in order
Split = Literal["training", "seen", "values", "wordings", "combinations", "tools"]
SPLITS: tuple[Split, ...] = ("seen", "values", "wordings", "combinations", "tools")  # that are measured
DECLINE = "No tool here can do this. A larger model may help, see --model."
_CLEAR = re.compile(r"\S*\.\w{2,4}|[\d.,:/-]+")  # a file, a number, a date: they end where they end
_HELD_OUT_COMBINATIONS = 5  # every fifth combination of steps, by hash


def _nothing(seen: Seen) -> str:
    return ""


def _is_text(value: str) -> bool:
    """Whether a value is words, so that more words after it would seem to belong to it."""
    return bool(value) and value[-1].isalnum() and _CLEAR.fullmatch(value) is None


def _last(seen: Seen) -> str:
    return seen[-1] if seen else ""


@dataclass(frozen=True)
class Action:
    """One tool call of the expert; arguments may depend on what was observed before.

    Attributes:
        because: Put before the call, after the words that quote the tool: what is read off the goal and the
            observations, so that the values of the call stand next to it.
        found: Put before all of that: what the part of the goal before this one came to.
        planned: Whether the plan has a sub-goal for it; not so for what a failure made necessary.
        part: Which part of a goal of several it serves, in the goal's words; empty where it has one part.
    """

    tool: str
    arguments: dict[str, Any] | Callable[[Seen], dict[str, Any]]
    because: Callable[[Seen], str] = _nothing
    planned: bool = True
    part: str = ""
    found: Callable[[Seen], str] = _nothing

    def resolve(self, seen: Seen) -> dict[str, Any]:
        return self.arguments(seen) if callable(self.arguments) else self.arguments


def in_order(goal: str, given: Mapping[str, object]) -> str:
    """Arguments and their values, in the order in which the values stand in the goal."""

    def place(value: object) -> int:
        found = re.search(rf"(?<!\w){re.escape(str(value))}(?!\w)", goal)
        return found.start() if found else len(goal)

    return "; ".join(
        f"{name}: {value}" for name, value in sorted(given.items(), key=lambda each: place(each[1]))
    )


@dataclass(frozen=True)
class Episode:
    """A task and how the expert does it.

    Attributes:
        answer: What it finishes with, or the reason it declines with.
        because: Thought before it finishes: the evidence, such as the line that holds the answer.
        declines: It ends with ``decline``; without actions the plan says so, too.
        helpers: What the helpers do that its ``delegate`` calls set to work, in order.
        later: What is asked in later runs of the same project (``Task.follow_ups``).
    """

    task: Task
    actions: tuple[Action, ...]
    answer: Callable[[Seen], str] = _last
    because: Callable[[Seen], str] = _nothing
    declines: bool = False
    helpers: tuple[Episode, ...] = ()
    later: tuple[Episode, ...] = ()


@dataclass(frozen=True)
class Clause:
    """A goal of its own, or a part of one: how it is worded, and what reaches it.

    Attributes:
        words: Without a full stop; a question keeps its question mark.
        actions: Their functions see only the observations of this clause.
        answer: What the user wants to be told, from the observations of this clause.
        because: Evidence for it, thought before finishing.
        expected: What must be true afterwards, when this is the whole goal.
        tells: Whether the answer is what was asked for; else it is an effect, and any answer will do.
        value: What ``answer`` comes to, known beforehand; empty where nothing is told.
    """

    words: str
    actions: tuple[Action, ...]
    expected: Expected
    answer: Callable[[Seen], str] = _last
    because: Callable[[Seen], str] = _nothing
    tells: bool = True
    value: str = ""
    memory: tuple[str, ...] = ()
    tools: tuple[ToolSpec, ...] = ()
    answers: tuple[str, ...] = ()


Family = Callable[["Maker"], Episode]
Part = Callable[["Maker"], Clause]


@dataclass(frozen=True)
class Kind:
    """A family as it is registered.

    Attributes:
        make: Makes an episode.
        share: Of the training data, relative to the others.
        group: Of families, for tables: files, text, tables, figures, memory, plan, recovery, ask, refusal,
            delegate, custom.
        splits: In which it is measured, besides training.
        part: Makes the same as a clause, for goals of several steps; None where it cannot be one.
    """

    make: Family
    share: float
    group: str
    splits: tuple[Split, ...] = ("seen", "values", "wordings")
    part: Part | None = None


def is_held_out_combination(steps: Sequence[str]) -> bool:
    """Whether this order of kinds of steps is kept for measuring."""
    return is_kept(" ".join(("combination", *steps)), _HELD_OUT_COMBINATIONS)


class NoWording(Exception):
    """A part of a goal has no wording on this side of the split."""


@dataclass
class Maker:
    """Helps a family put an episode together, on one side of the splits.

    ``training`` and ``seen`` use training's words, wordings, tools and combinations. All other splits use
    held-out words, and ``wordings``, ``tools`` and ``combinations`` hold out what they are called by, too.
    """

    rng: random.Random
    words: Words
    split: Split = "training"
    strict: bool = False  # whether to give up where all wordings are on the other side
    files: dict[str, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)  # what was said that begins with a value
    ends: list[str] = field(default_factory=list)  # what was said that ends with a text without quotes
    promised: list[str] = field(default_factory=list)  # file names in use that need not be there yet

    @classmethod
    def of(cls, rng: random.Random, split: Split = "training", more: tuple[str, ...] = ()) -> Maker:
        """One for a new world; ``more`` are words from outside data (see ``Words``)."""
        return cls(rng, Words(rng, split not in ("training", "seen"), more), split)

    def say(self, *patterns: str, **values: object) -> str:
        """Words of a user: one of the patterns on this side of the split, with its choices resolved.

        Raises:
            NoWording: none of them is, and a strict maker takes no other.
        """
        if self.strict and not self.on_side(patterns):
            raise NoWording
        said = say(self.rng, *patterns, held_out=self.split == "wordings", **values)
        if any(str(value) and said.startswith(str(value)) for value in values.values()):
            self.names.append(said)
        if any(_is_text(str(value)) and said.endswith(str(value)) for value in values.values()):
            self.ends.append(said)
        return said

    def on_side(self, patterns: Sequence[str]) -> list[str]:
        """Those of the patterns a user may use on this side of the split; perhaps none."""
        return on_side(patterns, self.split == "wordings")

    def phrase(self, *patterns: str, **values: object) -> str:
        """Words that are no user's: contents of files, descriptions of tools. All patterns serve."""
        return phrase(self.rng, *patterns, **values)

    def may_combine(self, steps: Sequence[str]) -> bool:
        """Whether these kinds of steps, in this order, belong to this side of the split."""
        return is_held_out_combination(steps) == (self.split == "combinations")

    def clutter(self, most: int = 3) -> None:
        """Some other files, so that the right one has to be named."""
        for _ in range(self.rng.randint(0, most)):
            self.put(self.new_file(), self.words.phrase())

    def put(self, name: str, content: str) -> None:
        """Add a file, unless the name is taken or stands in the way of a folder."""
        taken = name in self.files or any(
            other.startswith(f"{name}/") or name.startswith(f"{other}/") for other in self.files
        )
        if not taken:
            self.files[name] = content + "\n"

    def new_file(self, ending: str = "") -> str:
        """A file name that is not taken, nor in the way of one that is; it is given to nobody else."""
        taken = [*self.files, *self.promised]
        while True:
            name = self.words.file(ending)
            if name not in taken and not any(
                other.startswith(f"{name}/") or name.startswith(f"{other}/") for other in taken
            ):
                self.promised.append(name)
                return name

    def whole(self, clause: Clause) -> Episode:
        """A clause as a goal of its own."""
        made = self.episode(
            clause.words,
            *clause.actions,
            answer=clause.answer,
            expected=clause.expected,
            memory=clause.memory,
            tools=clause.tools,
        )
        task = made.task.model_copy(update={"answers": clause.answers})
        return replace(made, task=task, because=clause.because)

    def episode(
        self,
        goal: str,
        *actions: Action,
        expected: Expected,
        answer: Callable[[Seen], str] = _last,
        memory: Sequence[str] = (),
        tools: Sequence[ToolSpec] = (),
    ) -> Episode:
        task = Task(
            id="",
            family="",
            goal=loosen(
                self.rng,
                goal,
                self.words,
                held_out=self.split == "wordings",
                around=Around(
                    names_first=any(goal.startswith(said) for said in self.names),
                    open_end=any(goal.endswith(said) for said in self.ends),
                    plain=bool(tools),
                ),
            ),
            files=self.files,
            memory=tuple(memory),
            tools=tuple(tools),
            expected=expected,
        )
        return Episode(task, actions, answer)
