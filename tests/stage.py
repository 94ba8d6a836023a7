"""A stage for runs that follow a script: what the tests of the loop share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from autoagent import Agent, events, tool
from autoagent.agent import Result
from autoagent.errors import ToolError
from autoagent.models.protocol import Expect
from autoagent.models.scripted import Author, Line, ScriptedModel
from autoagent.store import Store
from autoagent.trajectory import Message, ToolCall


def call(name: str, /, **arguments: Any) -> ToolCall:
    return ToolCall(name=name, arguments=arguments)


FINISH = call("finish", answer="done")
PLAN: Line = ["do it"]


@tool
def look(place: str) -> str:
    """Look at a place."""
    return f"nothing in {place}"


@tool
def fail(place: str) -> str:
    """Fail as tools fail."""
    raise ToolError(f"no {place} here")


@tool(effects=("write",))
def paint(colour: str) -> str:
    """Paint the house."""
    Path("painted").write_text(colour, encoding="utf-8")
    return f"painted {colour}"


class Stage:
    """Runs scripts in one folder and keeps the events and what the model was told before each reply."""

    def __init__(self, folder: Path) -> None:
        self.home, self.work = folder / "home", folder / "work"
        self.seen: list[events.Event] = []
        self.told: list[Sequence[Message]] = []
        self.expected: list[Expect] = []

    def agent(self, script: Sequence[Line] | Author, **options: Any) -> Agent:
        lines = script if callable(script) else iter(script)

        def author(messages: Sequence[Message], expect: Expect) -> Line:
            self.told.append(messages)
            self.expected.append(expect)
            return lines(messages, expect) if callable(lines) else next(lines)

        fixed: dict[str, Any] = {
            "tools": [look, fail, paint],
            "workspace": self.work,
            "home": self.home,
            "memory": False,
        }
        return Agent(model=ScriptedModel(author), **fixed | options)

    def play(self, script: Sequence[Line] | Author, goal: str = "Look around", **options: Any) -> Result:
        check = options.pop("check", None)
        return self.watch(self.agent(script, **options).events(goal, check=check))

    def watch(self, stream: Iterator[events.Event]) -> Result:
        self.seen = list(stream)
        closed = self.seen[-1]
        assert isinstance(closed, events.Closed)
        run = closed.trajectory
        assert run.ending is not None
        assert run == Store(self.home).load(run.run_id)
        return Result(run.answer, run.verdict, run.ending, run)

    @property
    def remedies(self) -> list[str]:
        return [event.remedy for event in self.seen if isinstance(event, events.Nudged)]

    @property
    def heard(self) -> str:
        """Everything the model was told before its last reply."""
        return "\n".join(message.content for message in self.told[-1])


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return Stage(tmp_path)
