"""Helpers that fail, and windows that are too narrow: the runs end as documented, and the record is whole."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from autoagent import Agent, events
from autoagent.config import Conduct, Limits
from autoagent.errors import ContextFull
from autoagent.models.protocol import Expect, Json
from autoagent.models.scripted import Line, ScriptedModel
from autoagent.security import Rules
from autoagent.store import Store
from autoagent.trajectory import Message

from .test_faults import FINISH, Scene, bad, call, together


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


# --- helpers -----------------------------------------------------------------------------------------------


def test_helpers_have_no_helpers_and_only_known_tools(scene: Scene) -> None:
    script = together(
        ["delegate"],
        call("delegate", goal="look", tools=["teleport"]),
        call("delegate", goal="look", tools=["delegate"]),
        call("delegate", goal="   "),
        call("delegate", goal="look"),
        ["inner plan"],
        call("delegate", goal="look again"),
        call("finish", answer="inner"),
        FINISH,
    )
    agent = scene.agent(script, limits=Limits(replans=0))
    run = scene.watch(agent.events("delegate the looking to a helper"))
    assert run.ending == "finished"
    seen = [step.observations[0].content for step in run.trajectory.steps[1:5]]
    assert seen[0].startswith("Error: there is no tool teleport; the tools are ")
    assert seen[1].startswith("Error: there is no tool delegate; the tools are ")
    assert seen[2] == "Error: the goal is empty: say what the helper is to reach"
    assert seen[3] == "inner"
    child = Store(scene.home).load(run.trajectory.steps[4].observations[0].child)
    assert child.steps[1].observations[0].content.startswith("Error: there is no tool delegate")


def test_a_refused_delegation_starts_nothing(scene: Scene) -> None:
    rules = Rules(deny=("delegate(*)",))
    script = [["delegate"], call("delegate", goal="look"), call("decline", reason="not allowed")]
    run = scene.watch(scene.agent(script, rules=rules).events("delegate the looking to a helper"))
    assert run.ending == "denied"
    assert len(Store(scene.home).runs()) == 1


def test_time_that_is_up_in_a_helper_ends_both_runs_on_record(scene: Scene) -> None:
    inner = (["x"], call("bad", what="sleeps"), FINISH)
    script = together(["delegate"], call("delegate", goal="misbehave"), *inner, FINISH)
    agent = scene.agent(script, limits=Limits(timeout=0.5))
    run = scene.watch(agent.events("delegate the misbehaving to a helper"))
    assert [each.ending for each in Store(scene.home).runs()] == ["timeout", "timeout"]
    assert run.ending == "timeout"


def test_time_that_is_up_while_a_helpers_model_thinks_ends_both_runs_on_record(scene: Scene) -> None:
    script = iter([["delegate"], call("delegate", goal="misbehave"), ["x"]])

    def author(messages: Sequence[Message], expect: Expect) -> Line:
        line: Line | None = next(script, None)
        if line is None:
            time.sleep(30)
        return line or FINISH

    run = scene.watch(scene.agent(author, limits=Limits(timeout=0.5)).events("delegate it to a helper"))
    assert [each.ending for each in Store(scene.home).runs()] == ["timeout", "timeout"]
    assert run.ending == "timeout"


def test_a_resumed_run_that_delegates_has_a_budget_to_give(scene: Scene) -> None:
    limits = Limits(max_steps=2)
    first = scene.agent([["x"], *[call("bad", what="nothing")] * 2], limits=limits)
    assert scene.watch(first.events("delegate the looking to a helper")).ending == "max_steps"
    script = together(call("delegate", goal="look"), ["inner"], call("finish", answer="inner"), FINISH)
    assert scene.watch(scene.agent(script, limits=limits).resume()).ending == "finished"


# --- the window --------------------------------------------------------------------------------------------


class Narrow(ScriptedModel):
    """A model whose window is counted in words and really ends."""

    def open(self, messages: Sequence[Message], tools: Any) -> Any:
        session = super().open(messages, tools)
        author = session.author

        def limited(said: Sequence[Message], expect: Expect) -> Line:
            session.used = sum(self.count(message.content) + 8 for message in said)
            if session.used > self.window:
                raise ContextFull(f"{session.used} tokens are more than the window of {self.window}")
            line: Line = author(said, expect)
            return line

        session.author = limited
        return session


@pytest.mark.parametrize("summary", ["template", "model"])
def test_where_even_the_opening_does_not_fit_the_run_ends_and_says_so(scene: Scene, summary: Any) -> None:
    model = Narrow([["x"], FINISH], window=40)
    agent = Agent(
        [bad], model, scene.work, scene.home, memory=False, conduct=Conduct(summary=summary), builtins=False
    )
    run = scene.watch(agent.events("word " * 200))
    assert (run.ending, run.trajectory.steps) == ("max_tokens", ())
    assert "more than the window of 40" in next(e.text for e in scene.seen if isinstance(e, events.Note))


@pytest.mark.parametrize("summary", ["template", "model"])
def test_an_opening_that_nearly_fills_the_window_leaves_the_record_as_the_model_saw_it(
    scene: Scene, summary: Any
) -> None:
    told: list[Sequence[Message]] = []

    def author(messages: Sequence[Message], expect: Expect) -> Line:
        told.append(messages)
        if isinstance(expect, Json):
            return ["look"]
        return "words " * 30 if type(expect).__name__ == "Text" else call("bad", what="object")

    model = Narrow(author, window=400)
    limits = Limits(max_steps=12, max_tokens=10**6, reply_tokens=16)
    conduct = Conduct(summary=summary, plan="off")
    agent = Agent(
        [bad], model, scene.work, scene.home, limits=limits, memory=False, conduct=conduct, builtins=False
    )
    run = scene.watch(agent.events("word " * 150))
    assert run.ending in ("max_steps", "stuck")
    assert any(step.kind == "compaction" for step in run.trajectory.steps)
    recorded = Store(scene.home).messages("last")
    assert [each.content for each in recorded][: len(told[-1])] == [each.content for each in told[-1]]
