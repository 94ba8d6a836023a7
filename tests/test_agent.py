"""The Agent, embedded as a user embeds it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autoagent import Agent, events, tool
from autoagent.config import Sampling
from autoagent.errors import UsageError
from autoagent.goal import Check, Goal
from autoagent.memory.volatile import VolatileMemory
from autoagent.models import ScriptedModel
from autoagent.models.scripted import Line
from autoagent.store import Store
from autoagent.trajectory import ToolCall, Verdict
from autoagent.workspace import Workspace


@tool
def phone_number(person: str) -> str:
    """Look up the phone number of a person."""
    return {"anna": "555-0142"}[person.lower()]


def call(name: str, /, **arguments: Any) -> ToolCall:
    return ToolCall(name=name, arguments=arguments)


GOAL = "What is the phone number of Anna?"
SCRIPT: list[Line] = [
    ["Look up the phone number"],
    ("1. Look up the phone number of a person: phone_number", call("phone_number", person="Anna")),
    call("finish", answer="555-0142"),
]
New = Callable[..., Agent]


@pytest.fixture
def new(tmp_path: Path) -> New:
    def make(*script: Line, **options: Any) -> Agent:
        fixed = {
            "model": ScriptedModel(script or SCRIPT),
            "workspace": tmp_path / "w",
            "home": tmp_path / "h",
        }
        return Agent([phone_number], **{"memory": False, **fixed, **options})

    return make


def test_five_lines_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    agent = Agent(tools=[phone_number], model=ScriptedModel(SCRIPT))
    result = agent.run(GOAL, check=lambda workspace, answer: answer == "555-0142")
    assert (result.answer, result.verdict.status, result.ending) == ("555-0142", "verified", "finished")
    assert result.trajectory.tools[0] == "phone_number"
    assert Store(tmp_path / ".autoagent").load("last") == result.trajectory


def test_steps_are_the_whole_steps_as_they_happen(new: New) -> None:
    said = [(step.index, [seen.content for seen in step.observations]) for step in new().steps(GOAL)]
    assert said == [(0, []), (1, ["555-0142"]), (2, ["555-0142"])]


def test_events_tell_the_run_from_its_start_to_the_whole_trajectory(new: New) -> None:
    seen = list(new().events(GOAL, check=lambda workspace, answer: True))
    assert [event.type for event in seen] == [
        "started",
        *("token", "plan", "step"),
        *("token", "plan", "call", "observation", "step"),
        *("call", "observation", "step"),
        *("ending", "verdict", "closed"),
    ]
    closed = seen[-1]
    assert isinstance(closed, events.Closed)
    assert closed.trajectory.steps == tuple(event.step for event in seen if isinstance(event, events.Stepped))


@pytest.mark.parametrize(
    ("outcome", "status", "score"),
    [
        (True, "verified", 1.0),
        (False, "refuted", 0.0),
        (1, "verified", 1.0),
        (0.5, "refuted", 0.5),
        (Verdict(status="verified", score=0.9, by="check"), "verified", 0.9),
    ],
)
def test_a_check_may_answer_yes_no_a_score_or_a_verdict(
    new: New, outcome: Any, status: str, score: float
) -> None:
    result = new().run(GOAL, check=lambda workspace, answer: outcome)
    assert (result.verdict.status, result.verdict.score, result.verdict.by) == (status, score, "check")


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        (lambda workspace, answer: 1 / 0, "ZeroDivisionError"),
        (lambda workspace, answer: 7, "must return True, False, 0..1 or a Verdict"),
        (lambda workspace, answer: None, "TypeError"),
        (lambda workspace, answer: float("nan"), "must return"),
    ],
)
def test_a_check_that_fails_itself_loses_no_run_and_verifies_nothing(
    new: New, check: Check, reason: str
) -> None:
    result = new().run(GOAL, check=check)
    assert (result.ending, result.answer) == ("finished", "555-0142")
    assert (result.verdict.status, result.verdict.by) == ("unverified", None)
    assert reason in result.verdict.reason


def test_without_a_check_nothing_is_verified(new: New) -> None:
    assert new().run(GOAL).verdict == Verdict(reason="no check was given")


def test_the_check_sees_what_the_run_left_behind(new: New, tmp_path: Path) -> None:
    def check(workspace: Workspace, answer: str) -> bool:
        assert workspace.root == (tmp_path / "w").resolve()
        return workspace.path("a.txt").read_text(encoding="utf-8") == "hello\n" and answer == "done"

    script = (["write"], call("write_file", path="a.txt", content="hello"), call("finish", answer="done"))
    agent = new(*script)
    goal = Goal("Write hello to a.txt", check)
    result = agent.run(goal)
    assert result.verdict.status == "verified"
    assert "check" in Store(tmp_path / "h").find("last").check


def test_a_check_is_not_run_on_what_broke(new: New) -> None:
    agent = new(["look"], call("phone_number", person="Nobody"))
    result = agent.run(GOAL, check=lambda workspace, answer: pytest.fail("was run"))
    assert (result.ending, result.verdict.status) == ("error", "unverified")
    assert "KeyError" in result.trajectory.error


SAVE = (["save"], call("save_memory", text="The key is blue."), call("finish", answer="ok"))


def test_memory_is_a_choice(new: New) -> None:
    kept = VolatileMemory()
    assert new(*SAVE, memory=kept).run("Remember it").trajectory.steps[1].observations[0].content == "Saved."
    assert [each.text for each in kept.recall("key", 3)] == ["The key is blue."]
    without = new(*SAVE, memory=False).run("Remember it").trajectory.steps[1].observations[0]
    assert without.content == "Error: Memory is not available in this run."


def test_what_was_learned_outlives_the_agent(new: New) -> None:
    with new(*SAVE, memory=True) as agent:
        agent.run("Remember it")
    script = (["look"], call("recall_memory", query="key"), call("finish", answer="blue"))
    with new(*script, memory=True) as agent:
        run = agent.run("What do you remember about the key?").trajectory
    assert run.steps[1].observations[0].content == "The key is blue."


def test_an_agent_works_on_goal_after_goal_also_after_closing(new: New, tmp_path: Path) -> None:
    agent = new(*SCRIPT, *SCRIPT, model=None)
    agent.model = ScriptedModel(lambda messages, expect: SCRIPT[_turn(messages)])
    first = agent.run(GOAL)
    agent.close()
    second = agent.run(GOAL)
    assert first.answer == second.answer == "555-0142"
    assert len(Store(tmp_path / "h").runs()) == 2


def _turn(messages: Any) -> int:
    return sum(message.role == "assistant" for message in messages)


def test_only_ones_own_tools_and_how_to_end(new: New) -> None:
    run = new(builtins=False).run(GOAL).trajectory
    assert run.tools == ("phone_number", "finish", "decline")


def test_services_reach_the_tools_that_name_them(new: New) -> None:
    script = (["train"], call("finetune", note="now"), call("finish", answer="ok"))
    options = {
        "services": {"finetune": lambda method, runs, note: f"trained: {note}"},
        "approve": lambda request: True,
    }
    run = new(*script, **options).run("Retrain your own model").trajectory
    assert run.steps[1].observations[0].content == "trained: now"


def test_a_tool_whose_service_is_missing_is_not_shown(new: New) -> None:
    run = new(call("finish", answer="ok")).run("Retrain your own model").trajectory
    assert "finetune" not in run.tools


@tool
def misuse() -> str:
    """Raise what is meant for a user."""
    raise UsageError("bad setting")


def test_a_tool_that_raises_an_error_meant_for_users_is_a_fault_with_a_whole_record(tmp_path: Path) -> None:
    model = ScriptedModel([["try"], call("misuse")])
    run = Agent([misuse], model=model, workspace=tmp_path, home=tmp_path / "h").run("Misuse it").trajectory
    assert run.ending == "error"
    assert "misuse raised UsageError: bad setting" in run.error


def test_a_declined_goal_is_not_judged_unless_the_goal_asks_for_it(new: New) -> None:
    script = (["no"], call("decline", reason="cannot"))
    yes = lambda workspace, answer: True  # noqa: E731
    declined = new(*script).run(GOAL, check=yes)
    assert (declined.ending, declined.verdict.status) == ("declined", "unverified")
    asked = new(*script).run(Goal(GOAL, yes, any_ending=True))
    assert (asked.ending, asked.verdict.status) == ("declined", "verified")


def test_the_seed_is_on_record(new: New) -> None:
    assert new(sampling=Sampling(seed=7)).run(GOAL).trajectory.seed == 7


@pytest.mark.parametrize("goal", ["", "  \n"])
def test_an_empty_goal_is_the_users_to_fix_and_leaves_no_run(new: New, tmp_path: Path, goal: str) -> None:
    with pytest.raises(UsageError, match="the goal is empty"):
        new().run(goal)
    assert Store(tmp_path / "h").runs() == []


def test_a_workspace_that_cannot_be_one_is_the_users_to_fix(new: New, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match="is a file"):
        new(workspace=tmp_path / "file")
    with pytest.raises(UsageError, match="cannot be created"):
        new(workspace=tmp_path / "file" / "below")


def test_two_tools_of_one_name_are_refused(new: New) -> None:
    @tool
    def read_file(path: str) -> str:
        """Read it my way."""
        return path

    with pytest.raises(UsageError, match="two tools are named read_file"):
        Agent([read_file])


def test_a_function_that_is_no_tool_is_refused() -> None:
    with pytest.raises(UsageError, match="len is not a tool: put @tool above"):
        Agent([len])  # type: ignore[list-item]


@pytest.mark.parametrize("home", ["..", "."])
def test_a_home_around_the_workspace_does_not_put_the_work_out_of_bounds(tmp_path: Path, home: str) -> None:
    folder = tmp_path / "work"
    script = (["note"], call("write_file", path="a.txt", content="x"), call("finish", answer="ok"))
    agent = Agent(model=ScriptedModel(script), workspace=folder, home=folder / home, memory=False)
    assert agent.run("Write x to a.txt").ending == "finished"
    assert (folder / "a.txt").read_text(encoding="utf-8") == "x\n"


def test_a_home_inside_the_workspace_is_out_of_bounds(tmp_path: Path) -> None:
    script = (
        ["note"],
        call("write_file", path="state/config.toml", content="x"),
        call("finish", answer="ok"),
    )
    agent = Agent(model=ScriptedModel(script), workspace=tmp_path, home=tmp_path / "state", memory=False)
    run = agent.run("Write x to state/config.toml").trajectory
    assert "out of bounds" in run.steps[1].observations[0].content
