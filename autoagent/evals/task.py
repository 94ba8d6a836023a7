"""A task of a suite: a goal, the world it starts in, and what must be true afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, model_validator

from autoagent.errors import ToolError, UsageError
from autoagent.security import Rules
from autoagent.tools import Tool
from autoagent.trajectory import Data
from autoagent.workspace import SKIPPED, Workspace

Policy = Literal["allow", "ask", "deny"]  # in the order that Rules takes them


class Argument(Data):
    """One argument of a custom tool."""

    type: Literal["text", "number", "choice"] = "text"
    choices: tuple[str, ...] = Field(default=(), description="The values there are, for a choice.")
    optional: bool = Field(default=False, description="It may be left out.")
    description: str = ""

    @model_validator(mode="after")
    def _choices_fit(self) -> Argument:
        if (self.type == "choice") != bool(self.choices):
            raise ValueError('choices belong to type = "choice", and only there')
        return self

    def part(self) -> tuple[Any, Any, str | None]:
        """Type, default and help, as a hand-written tool would declare them."""
        kind: Any = {"text": str, "number": float}.get(self.type) or Literal[self.choices]
        return (
            kind | None if self.optional else kind,
            None if self.optional else ...,
            self.description or None,
        )


class ToolSpec(Data):
    """A custom tool that answers from a table: enough to test tools a model has never seen.

    ``argument`` is the short form, one text; ``arguments`` the long one. A tool may have neither.
    """

    name: str
    description: str
    argument: str = Field(default="", description="Name of its one argument, a text.")
    arguments: Mapping[str, Argument] = Field(default_factory=dict, description="By name, in order.")
    replies: Mapping[str, str] = Field(
        default_factory=dict, description="Reply by value of the first argument, case ignored."
    )
    otherwise: str = Field(default="Nothing found.", description="Reply to any other value.")

    @model_validator(mode="after")
    def _fits(self) -> ToolSpec:
        if self.argument and self.arguments:
            raise ValueError("give argument or arguments, not both")
        if self.replies and not self.all_arguments:
            raise ValueError("replies go by the first argument, and there is none: use otherwise")
        keys = [_key(value) for value in self.replies]
        if twice := [value for value in self.replies if keys.count(_key(value)) > 1]:
            raise ValueError(f"two replies to {twice[-1]!r}: upper and lower case make no difference")
        for name, each in list(self.all_arguments.items())[:1]:
            for value in self.replies:
                if each.type == "choice" and _key(value) not in map(_key, each.choices):
                    raise ValueError(f"the reply to {value!r} is never given: it is no choice of {name}")
                if each.type == "number" and not isinstance(_number(value), float):
                    raise ValueError(f"the reply to {value!r} is never given: {name} is a number")
        return self

    @property
    def all_arguments(self) -> Mapping[str, Argument]:
        """Those of either form."""
        return {self.argument: Argument()} if self.argument else self.arguments

    def build(self) -> Tool:
        """The same tool as a function with this signature would make."""
        first, of_numbers = next(
            ((name, each.type == "number") for name, each in self.all_arguments.items()), ("", False)
        )
        table = {
            _key(_number(value) if of_numbers else value): reply for value, reply in self.replies.items()
        }

        def look_up(**arguments: Any) -> str:
            value = arguments.get(first)
            return self.otherwise if value is None else table.get(_key(value), self.otherwise)

        parts = {name: each.part() for name, each in self.all_arguments.items()}
        line = self.description.rstrip(".").replace("\n", " ")  # as of a docstring
        return Tool.from_parts(look_up, name=self.name, description=line, arguments=parts)


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _key(value: str | float) -> str:
    """A value as replies are looked up by: 3 and 3.0 are one number, and case makes no other text."""
    return repr(value) if isinstance(value, float) else value.casefold().strip()


class Expected(Data):
    """What must be true after the run; everything named must hold."""

    answer: str | None = Field(default=None, description="Whole words in the answer; /regex/ is searched.")
    files: Mapping[str, str | None] = Field(
        default_factory=dict, description="Content by file, end white space ignored; none: must not exist."
    )
    remembers: str | None = Field(default=None, description="A text that must be in memory.")
    declines: bool = Field(default=False, description="The right ending is to decline.")
    asks: bool = Field(default=False, description="The user must have been asked.")
    calls: tuple[str, ...] = Field(default=(), description="Tools that must have been called with success.")
    order: bool = Field(default=False, description="The calls must have been made in that order.")
    arguments: Mapping[str, Mapping[str, Any]] = Field(
        default_factory=dict, description="By tool: some successful call had exactly these arguments."
    )
    reference: tuple[str, ...] = Field(
        default=(),
        description="Tools of one right way, call by call: never checked, it only tells why a run was lost.",
    )
    command: str | None = Field(
        default=None, description="Shell command, run in the workspace with $ANSWER; must exit with 0."
    )


class FollowUp(Data):
    """A later goal in the same workspace, with the same memory."""

    goal: str
    expected: Expected = Expected()
    answers: tuple[str, ...] = Field(default=(), description="What the user says when asked, in order.")


class Task(Data):
    """One goal of a suite, and perhaps later ones in the same world; it succeeds when all of them do."""

    id: str
    family: str
    goal: str
    folder: str = Field(
        default="",
        description="One whose files are in the workspace, too; of a suite file, relative to that.",
    )
    files: Mapping[str, str] = Field(default_factory=dict, description="Content by workspace-relative name.")
    memory: tuple[str, ...] = Field(default=(), description="Texts in memory before the run.")
    tools: tuple[ToolSpec, ...] = ()
    only: tuple[str, ...] | None = Field(
        default=None,
        description="The built-in tools that are there, if not all; finish and decline always are.",
    )
    policy: Mapping[Policy, tuple[str, ...]] = Field(
        default_factory=dict, description="Rules like those of the settings; what asks is refused."
    )
    ask: bool = Field(default=True, description="Whether there is a user who can be asked.")
    answers: tuple[str, ...] = Field(default=(), description="What the user says when asked, in order.")
    expected: Expected = Expected()
    follow_ups: tuple[FollowUp, ...] = Field(default=(), description="Later goals, in order.")
    tags: tuple[str, ...] = ()
    split: str = Field(default="", description="Which part of a benchmark it belongs to.")

    @property
    def goals(self) -> tuple[FollowUp, ...]:
        """All goals in order, the task's own first."""
        own = FollowUp(goal=self.goal, expected=self.expected, answers=self.answers)
        return (own, *self.follow_ups)

    @property
    def rules(self) -> Rules:
        """The policy as rules.

        Raises:
            ConfigError: one of them is malformed.
        """
        return Rules(*(self.policy.get(key, ()) for key in get_args(Policy)))

    def has_builtin(self, name: str) -> bool:
        """Whether a built-in tool is there, as ``only`` says."""
        return self.only is None or name in (*self.only, "finish", "decline")

    def lay_out(self, folder: Path) -> Workspace:
        """Write the task's files into ``folder``; one of ``files`` takes the place of one in its own folder.

        Links stay links, and what belongs to programs (``.git`` and the like) is not copied.

        Raises:
            UsageError: they cannot be written.
        """
        workspace = Workspace.at(folder)
        try:
            if self.folder:
                skipped = shutil.ignore_patterns(*SKIPPED)
                shutil.copytree(self.folder, folder, symlinks=True, ignore=skipped, dirs_exist_ok=True)
            for name, content in self.files.items():
                path = workspace.path(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content, encoding="utf-8")
        except (OSError, ValueError, ToolError) as problem:  # also names and texts that no file can have
            reason = getattr(problem, "strerror", None) or problem
            raise UsageError(f"task {self.id}: its files cannot be written: {reason}") from None
        return workspace
