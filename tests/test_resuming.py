"""Helpers and their runs, and runs that go on after they broke off."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from autoagent import Agent, events, tool
from autoagent.config import Conduct, Limits, Sampling
from autoagent.errors import UsageError
from autoagent.models.protocol import Expect, Json
from autoagent.models.scripted import Author, Line
from autoagent.models.tiny import write_tiny_model
from autoagent.store import Store
from autoagent.store.undo import plan_undo
from autoagent.trajectory import Message

from .stage import FINISH, PLAN, Stage, call, look, stage

__all__ = ["stage"]  # the fixture


# --- helpers ---------------------------------------------------------------------------------------------


def test_a_helper_works_under_its_own_run_which_is_linked(stage: Stage) -> None:
    script = [PLAN, call("delegate", goal="Look into the attic", tools=["look"]), FINISH]

    def author(messages: Sequence[Message], expect: Expect) -> Line:
        if "Look into the attic" in messages[1].content:
            return PLAN if isinstance(expect, Json) else call("finish", answer="it is empty")
        return script.pop(0)

    result = stage.play(author, goal="Delegate it to a helper")
    seen = result.trajectory.acts[0].observations[0]
    child = Store(stage.home).load(seen.child)
    assert seen.content == "it is empty"
    assert child.parent == result.trajectory.run_id
    assert set(child.tools) == {"look", "finish", "decline"}


def test_a_helper_that_gives_up_is_an_error_for_the_one_who_asked(stage: Stage) -> None:
    script = [PLAN, call("delegate", goal="Fly to the moon"), FINISH]

    def author(messages: Sequence[Message], expect: Expect) -> Line:
        if "Fly to the moon" in messages[1].content:
            return PLAN if isinstance(expect, Json) else call("decline", reason="no rocket")
        return script.pop(0)

    seen = stage.play(author, goal="Delegate it to a helper").trajectory.acts[0].observations[0]
    assert not seen.ok
    assert "no rocket" in seen.content


def delegating(script: list[Line]) -> Author:
    """The one who asks follows the script; the helper paints and is done."""

    def author(messages: Sequence[Message], expect: Expect) -> Line:
        if "Paint the house" not in messages[1].content:
            return script.pop(0)
        if isinstance(expect, Json):
            return PLAN
        painted = any(message.role == "tool" for message in messages)
        return FINISH if painted else call("paint", colour="red")

    return author


def test_what_a_helper_changed_is_undone_with_the_run_that_asked_for_it(stage: Stage) -> None:
    script: list[Line] = [PLAN, call("delegate", goal="Paint the house"), FINISH]
    run = stage.play(delegating(script), goal="Delegate it to a helper").trajectory.run_id
    assert (stage.work / "painted").read_text(encoding="utf-8") == "red"
    store = Store(stage.home)
    assert list(store.snapshots_of(run)) == [0, 1]
    plan_undo(store, run).carry_out()
    assert not (stage.work / "painted").exists()


def test_a_helper_is_not_asked_again_when_the_run_goes_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    script: list[Line] = [PLAN, call("delegate", goal="Paint the house")]
    seen = stage.agent(delegating(script)).events("Delegate it to a helper")
    for event in seen:
        if isinstance(event, events.Called):
            break  # as if the process died while the helper works
    stage_store = Store(stage.home)
    run = stage_store.load("last").run_id
    seen.close()  # type: ignore[attr-defined]
    result = stage.watch(stage.agent([FINISH]).resume(run))
    assert result.trajectory.acts[0].observations[0].detail == "outcome unknown"
    assert not (stage.work / "painted").exists()


# --- resuming --------------------------------------------------------------------------------------------


@tool
def read_slowly() -> str:
    """Read for a while."""
    raise KeyboardInterrupt


@tool(effects=("write",))
def write_slowly() -> str:
    """Write for a while."""
    raise KeyboardInterrupt


@pytest.mark.parametrize(("name", "content"), [("read_slowly", "read"), ("write_slowly", "Look before")])
def test_only_what_reads_is_repeated_when_a_run_goes_on(stage: Stage, name: str, content: str) -> None:
    cut = stage.play(
        [["look", "tell"], call("look", place="attic"), call(name)], tools=[look, read_slowly, write_slowly]
    )
    assert cut.ending == "interrupted"
    calm = {"read_slowly": _calm("read_slowly", ("read",)), "write_slowly": _calm("write_slowly", ("write",))}
    agent = stage.agent([FINISH], tools=[look, *calm.values()])
    result = stage.watch(agent.resume())
    assert result.ending == "finished"
    assert result.trajectory.run_id == cut.trajectory.run_id
    assert [step.index for step in result.trajectory.steps] == [0, 1, 2, 3]
    assert content in result.trajectory.steps[2].observations[0].content
    assert "nothing in attic" in stage.heard
    assert content in stage.heard


def _calm(name: str, effects: tuple[Any, ...]) -> Any:
    def calm() -> str:
        """Do it in peace."""
        return "read"

    calm.__name__ = name
    return tool(effects=effects)(calm)


def test_a_run_out_of_steps_gets_new_ones_when_it_is_resumed(stage: Stage) -> None:
    looks = [call("look", place=str(number)) for number in range(2)]
    assert stage.play([PLAN, *looks], limits=Limits(max_steps=2)).ending == "max_steps"
    agent = stage.agent([call("look", place="2"), FINISH], limits=Limits(max_steps=2))
    result = stage.watch(agent.resume())
    assert result.ending == "finished"
    assert len(result.trajectory.acts) == 4


def test_a_tool_that_was_found_can_be_called_after_a_resume(stage: Stage) -> None:
    found = [PLAN, call("find_tools", query="weekday of a date")]
    assert stage.play(found, conduct=Conduct(shown_tools=6), limits=Limits(max_steps=1)).ending == "max_steps"
    agent = stage.agent([call("weekday_of", date="2026-03-01"), FINISH], conduct=Conduct(shown_tools=6))
    result = stage.watch(agent.resume())
    assert result.trajectory.acts[1].observations[0].content == "Sunday"


def test_a_dry_run_stays_dry_and_a_seed_stays_the_same_when_resumed(stage: Stage) -> None:
    conduct, sampling = Conduct(dry_run=True), Sampling(seed=7, temperature=0.5)
    stage.play(
        [PLAN, call("look", place="attic")], conduct=conduct, sampling=sampling, limits=Limits(max_steps=1)
    )
    drawn: list[Sampling] = []
    agent = stage.agent([call("paint", colour="red"), FINISH])
    opened = agent.loaded_model().open

    def open(messages: Sequence[Message], tools: Any) -> Any:
        session = opened(messages, tools)
        generate = session.generate

        def noting(expect: Expect, *, sampling: Sampling, max_tokens: int) -> Any:
            drawn.append(sampling)
            return (yield from generate(expect, sampling=sampling, max_tokens=max_tokens))

        session.generate = noting  # type: ignore[method-assign]
        return session

    agent.loaded_model().open = open  # type: ignore[method-assign]
    result = stage.watch(agent.resume())
    assert result.trajectory.acts[1].observations[0].detail == "dry run"
    assert not (stage.work / "painted").exists()
    assert set(drawn) == {sampling}


def test_the_time_a_person_takes_to_answer_is_not_the_runs(stage: Stage) -> None:
    def slowly(question: str) -> str:
        time.sleep(0.6)
        return "blue"

    script = [PLAN, call("ask_user", question="Which colour?"), call("look", place="attic"), FINISH]
    result = stage.play(script, ask_user=slowly, limits=Limits(timeout=0.5))
    assert result.ending == "finished"


def test_a_run_that_has_finished_cannot_be_resumed(stage: Stage) -> None:
    stage.play([PLAN, FINISH])
    with pytest.raises(UsageError, match="finished"):
        list(stage.agent([]).resume())


def test_a_real_model_goes_on_after_a_resume_and_a_compaction(stage: Stage, tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "tiny")
    agent = Agent(
        model=folder, workspace=stage.work, home=stage.home, limits=Limits(max_steps=6, compact_at=0.35)
    )
    with agent:
        first = stage.watch(agent.events("Look around"))
        if first.ending in ("finished", "declined"):
            pytest.skip("the random model ended its run by chance")
        again = stage.watch(agent.resume())
    assert len(again.trajectory.steps) > len(first.trajectory.steps)
    assert all(step.reply.trace is not None for step in again.trajectory.steps if step.kind != "compaction")


DIES_AT_ONCE = """
import os, sys
from pathlib import Path
from autoagent import Agent
from autoagent.models import ScriptedModel
home, work = map(Path, sys.argv[1:])
for event in Agent(model=ScriptedModel([]), home=home, workspace=work, memory=False).events("Paint it"):
    os._exit(9)
"""


def test_a_run_killed_the_moment_it_is_on_record_goes_on(stage: Stage) -> None:
    stage.work.mkdir(exist_ok=True)
    done = subprocess.run([sys.executable, "-c", DIES_AT_ONCE, stage.home, stage.work], check=False)
    assert done.returncode == 9
    store = Store(stage.home)
    run = store.load("last")
    assert (run.ending, run.steps) == (None, ())
    assert store.latest_unfinished() == run.run_id
    assert "finish" in run.tools
    result = stage.watch(stage.agent([PLAN, FINISH]).resume(run.run_id))
    assert (result.ending, result.trajectory.goal) == ("finished", "Paint it")
    assert [message.content for message in stage.told[0]] == [
        message.content for message in store.messages(run.run_id)[:2]
    ]
    assert store.snapshots_of(run.run_id).keys() == {0}
