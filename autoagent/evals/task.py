"""A task of a suite: a goal, the world it starts in, and what must be true afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from autoagent.tools import Tool
from autoagent.trajectory import Data
from autoagent.workspace import Workspace


class ToolSpec(Data):
    """A custom tool with one argument, answered from a table: enough to test tools a model has never seen."""

    name: str
    description: str
    argument: str
    replies: Mapping[str, str] = Field(default_factory=dict, description="Reply by value, case ignored.")
    otherwise: str = Field(default="Nothing found.", description="Reply to any other value.")

    def build(self) -> Tool:
        table = {key.casefold().strip(): value for key, value in self.replies.items()}

        def look_up(**arguments: str) -> str:
            return table.get(arguments[self.argument].casefold().strip(), self.otherwise)

        arguments = {self.argument: str}
        return Tool.from_parts(look_up, name=self.name, description=self.description, arguments=arguments)


class Expected(Data):
    """What must be true after the run; everything named must hold."""

    answer: str | None = Field(default=None, description="Whole words in the answer; /regex/ is searched.")
    files: Mapping[str, str | None] = Field(
        default_factory=dict, description="Content by file, end white space ignored; none: must not exist."
    )
    remembers: str | None = Field(default=None, description="A text that must be in memory.")
    declines: bool = Field(default=False, description="The right ending is to decline.")
    calls: tuple[str, ...] = Field(default=(), description="Tools that must have been called with success.")
    command: str | None = Field(
        default=None, description="Shell command, run in the workspace with $ANSWER; must exit with 0."
    )


class Task(Data):
    """One goal of a suite."""

    id: str
    family: str
    goal: str
    files: Mapping[str, str] = Field(default_factory=dict, description="Content by workspace-relative name.")
    memory: tuple[str, ...] = Field(default=(), description="Texts in memory before the run.")
    tools: tuple[ToolSpec, ...] = ()
    expected: Expected = Expected()

    def lay_out(self, folder: Path) -> Workspace:
        """Write the task's files into ``folder``."""
        workspace = Workspace.at(folder)
        for name, content in self.files.items():
            path = workspace.path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        return workspace
