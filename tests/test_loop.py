"""The loop: how runs end, what the model is told, and what is on record when."""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from autoagent import Agent, events, tool
from autoagent.agent import Result
from autoagent.config import Limits
from autoagent.conversation import opening_messages
from autoagent.errors import ContextFull, ToolError
from autoagent.models.protocol import Expect
from autoagent.models.scripted import Line, ScriptedModel
from autoagent.security import Request
from autoagent.store import Store
from autoagent.tools import Tool
from autoagent.trajectory import Counts, Message, Reply, ToolCall


def call(name: str, /, **arguments: Any) -> ToolCall:
    return ToolCall(name=name, arguments=arguments)


def finish(answer: str = "done") -> ToolCall:
    return call("finish", answer=answer)


@tool
def echo(text: str) -> str:
    """Say a text back."""
    return text


@tool
def stumble(text: str) -> str:
    """Fail as tools fail."""
    raise ToolError(f"no {text} here")


@tool
def crash() -> str:
    """Divide by nothing."""
    return str(1 // 0)


@tool
def interrupt() -> str:
    """Press Ctrl-C."""
    raise KeyboardInterrupt


@tool
def doze() -> str:
    """Sleep for a moment."""
    time.sleep(0.3)
    return "awake"


@tool(effects=("network",))
def ring(who: str, loudly: bool = False) -> str:
    """Ring a bell far away."""
    return f"rang {who}"


TOOLS: list[Tool] = [echo, stumble, crash, interrupt, doze, ring]


class Runs:
    """Runs scripts in one folder; ``told`` is what the model was told before each reply."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        self.told: list[Sequence[Message]] = []
        self.seen: list[events.Event] = []

    @property
    def heard(self) -> Sequence[Message]:
        """The conversation before the last reply."""
        return self.told[-1]

    def agent(self, script: Sequence[Line | Exception], **options: Any) -> Agent:
        lines = iter(script)

        def author(messages: Sequence[Message], expect: Expect) -> Line:
            self.told.append(messages)
            line = next(lines)
            if isinstance(line, Exception):
                raise line
            return line

        fixed = {"tools": TOOLS, "workspace": self.folder / "work", "home": self.home, "builtins": False}
        return Agent(model=ScriptedModel(author), memory=False, **fixed | options)

    def __call__(self, *lines: Line | Exception, **options: Any) -> Result:
        script = [["do it"], *lines]
        for event in self.agent(script, **options).events("Try the tools"):
            self.seen.append(event)
        assert isinstance(event, events.Closed)
        run = event.trajectory
        assert run.ending is not None
        assert run == Store(self.home).load("last")
        return Result(run.answer, run.verdict, run.ending, run)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


# --- endings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "options", "ending", "answer"),
    [
        ([finish("42")], {}, "finished", "42"),
        ([call("decline", reason="no tool can")], {}, "declined", "no tool can"),
        ([call("echo", text=str(number)) for number in range(4)], {"limits": 3}, "max_steps", None),
        ([ContextFull("full")], {}, "max_tokens", None),
        ([call("doze"), finish()], {"timeout": 0.25}, "timeout", None),
        ([call("ring", who="Tom")] * 2, {}, "denied", None),
        ([call("ring", who="Tom"), call("decline", reason="not allowed")], {}, "denied", "not allowed"),
        (['<tool_call>{"name": 1}', "hm", "<tool_call>well"], {}, "format_errors", None),
        ([call("interrupt")], {}, "interrupted", None),
        ([call("crash")], {}, "error", None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_ending_is_reached_and_on_record(
    runs: Runs, lines: list[Any], options: dict[str, Any], ending: str, answer: str | None
) -> None:
    limits = Limits(max_steps=options.get("limits", 16), timeout=options.get("timeout", 600))
    result = runs(*lines, limits=limits)
    assert (result.ending, result.answer) == (ending, answer)


def test_the_token_budget_counts_every_reply_and_the_plan(runs: Runs) -> None:
    costly = Reply(text="", calls=(call("echo", text="x"),), counts=Counts(prefilled=40, forced=5, sampled=5))
    result = runs(*[costly] * 5, limits=Limits(max_tokens=101))
    assert result.ending == "max_tokens"
    assert len(result.trajectory.steps) == 1 + 2  # the plan costs one token of the scripted model
    assert result.trajectory.counts.spent == 101


def test_the_plan_is_no_step_of_the_budget(runs: Runs) -> None:
    assert runs(finish(), limits=Limits(max_steps=1)).ending == "finished"


def test_a_valid_call_forgives_the_mistakes_before(runs: Runs) -> None:
    result = runs("hm", "hm", call("echo", text="x"), "hm", "hm", finish())
    assert result.ending == "finished"


def test_a_reply_without_a_call_is_told_so(runs: Runs) -> None:
    runs("let me see", finish())
    assert runs.heard[-1].role == "user"
    assert "no call in the reply" in runs.heard[-1].content
    runs(Reply(text="so lo", complete=False), finish(), limits=Limits(reply_tokens=16))
    assert "cut at 16 tokens" in runs.heard[-1].content


def test_a_fault_of_a_tool_leaves_its_traceback_and_all_before_on_record(runs: Runs) -> None:
    result = runs(call("echo", text="one"), call("crash"))
    run = result.trajectory
    assert "ZeroDivisionError" in run.error
    assert "return str(1 // 0)" in run.error
    assert [step.reply.calls for step in run.steps][1:] == [(call("echo", text="one"),), (call("crash"),)]
    assert run.steps[1].observations[0].content == "one"
    assert run.steps[2].observations == ()
    assert result.verdict.status == "unverified"


def test_a_fault_of_the_model_ends_the_run_too(runs: Runs) -> None:
    result = runs(RuntimeError("out of memory"))
    assert result.ending == "error"
    assert "out of memory" in result.trajectory.error


def test_an_interrupted_action_is_on_record_as_one_whose_outcome_is_unknown(runs: Runs) -> None:
    run = runs(call("interrupt")).trajectory
    assert run.steps[-1].reply.calls == (call("interrupt"),)
    assert run.steps[-1].observations == ()


def test_closing_the_events_early_counts_as_interrupted(runs: Runs) -> None:
    stream = runs.agent([["do it"], call("echo", text="x"), finish()]).events("Try the tools")
    while not isinstance(next(stream), events.Observed):
        pass
    stream.close()  # type: ignore[attr-defined]
    run = Store(runs.home).load("last")
    assert run.ending == "interrupted"
    assert run.steps[1].observations[0].content == "x"


# --- what is on record when ------------------------------------------------------------------------------


def test_a_reply_is_on_record_before_its_action_runs_and_an_observation_right_after(runs: Runs) -> None:
    found: list[tuple[Any, ...]] = []

    @tool
    def look() -> str:
        """Look into the record."""
        steps = Store(runs.home).load("last").steps
        found.append(tuple((step.index, step.reply.calls, len(step.observations)) for step in steps))
        return "seen"

    both = Reply(text="", calls=(call("look"), call("look")))
    runs(both, finish(), tools=[look], limits=Limits(calls_per_turn=2))
    assert found == [
        ((0, (), 0), (1, both.calls, 0)),
        ((0, (), 0), (1, both.calls, 1)),
    ]


def test_the_plan_is_on_record_before_the_first_action(runs: Runs) -> None:
    @tool
    def plan_on_record() -> str:
        """Read the plan in the record."""
        return "|".join(Store(runs.home).load("last").plan)

    run = runs(call("plan_on_record"), finish(), tools=[plan_on_record]).trajectory
    assert run.steps[1].observations[0].content == "do it"


# --- plan ------------------------------------------------------------------------------------------------


def test_going_on_to_a_sub_goal_ticks_those_before_it(runs: Runs) -> None:
    script: list[Line | Exception] = [
        ["look", "think", "answer"],
        ("1. look", call("echo", text="a")),
        ("no number", call("echo", text="b")),
        ("2. think", call("echo", text="c")),
        ("9. beyond the plan", call("echo", text="d")),
        ("3) answer", finish()),
    ]
    seen = list(runs.agent(script).events("Try the tools"))
    ticks = [event.done for event in seen if isinstance(event, events.Planned)]
    assert ticks == [(), (), (1,), (1, 2)]
    run = Store(runs.home).load("last")
    assert run.plan == ("look", "think", "answer")
    assert [step.sub_goal for step in run.steps] == [None, 1, None, 2, None, 3]


def test_a_plan_that_was_cut_is_none_and_the_run_goes_on(runs: Runs) -> None:
    cut = Reply(text='{"plan": ["lo', complete=False)
    seen = list(runs.agent([cut, finish()]).events("Try the tools"))
    assert next(event for event in seen if isinstance(event, events.Planned)).sub_goals == ()
    assert Store(runs.home).load("last").ending == "finished"


# --- observations ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (call("stumble", text="bread"), "Error: no bread here"),
        (call("fly"), "Error: there is no tool fly; the tools are "),
        (call("echo"), "Error: echo: text: Field required"),
        (call("echo", text=1), "Error: echo: text: Input should be a valid string"),
        (call("echo", text="a", loud=True), "Error: echo: loud: Extra inputs are not permitted"),
        (call("ring", who="Tom"), "Error: permission for ring was refused (network): nobody is there to ask"),
    ],
)
def test_what_the_model_can_correct_is_its_next_observation(runs: Runs, wrong: ToolCall, told: str) -> None:
    run = runs(wrong, call("echo", text="going on"), finish()).trajectory
    assert run.ending == "finished"
    first = next(message for message in runs.heard if message.role == "tool")
    assert first.content.startswith(told)
    assert not run.steps[1].observations[0].ok


@pytest.mark.parametrize("last", ["finish", "decline"])
def test_a_run_that_ends_right_after_a_refusal_was_denied(runs: Runs, last: str) -> None:
    goodbye = finish() if last == "finish" else call("decline", reason="not allowed")
    assert runs(call("ring", who="Tom"), goodbye).trajectory.ending == "denied"


def test_the_rest_of_a_turn_is_skipped_at_the_first_failure(runs: Runs) -> None:
    turn = Reply(text="", calls=(call("echo", text="a"), call("stumble", text="b"), call("echo", text="c")))
    run = runs(turn, finish(), limits=Limits(calls_per_turn=3)).trajectory
    assert [(seen.call.name, seen.ok) for seen in run.steps[1].observations] == [
        ("echo", True),
        ("stumble", False),
        ("echo", False),
    ]
    told = [message.content for message in runs.heard if message.role == "tool"]
    assert told[:2] == ["a", "Error: no b here"]
    assert told[2].startswith("Error: Skipped")


@pytest.mark.parametrize("length", [79, 80, 81, 1_000, 1_000_000])
def test_a_long_observation_keeps_head_and_tail_within_the_limit(runs: Runs, length: int) -> None:
    text = "head " + "-" * (length - 10) + " tail"
    run = runs(call("echo", text=text), finish(), limits=Limits(observation_chars=80)).trajectory
    seen = run.steps[1].observations[0]
    assert len(seen.content) <= 80
    assert seen.content.startswith("head ")
    assert seen.content.endswith(" tail")
    if length > 80:
        left_out = length - len(seen.content.partition("\n")[0]) - len(seen.content.rpartition("\n")[2])
        assert f"{left_out} characters left out" in seen.content
        assert seen.detail == f"{left_out} characters left out"


def test_an_empty_observation_is_one(runs: Runs) -> None:
    assert runs(call("echo", text=""), finish()).ending == "finished"
    assert runs.heard[-1] == Message(role="tool", content="", name="echo")


# --- permission ------------------------------------------------------------------------------------------


def test_the_approver_sees_what_the_tool_will_get_and_can_grant_it(runs: Runs) -> None:
    asked: list[Request] = []

    def approve(request: Request) -> bool:
        asked.append(request)
        return True

    run = runs(call("ring", who="Tom"), finish(), approve=approve).trajectory
    assert asked == [Request("ring", {"who": "Tom", "loudly": False}, ("network",))]
    assert "\nrang Tom\n" in run.steps[1].observations[0].content  # and around it, that it is from outside
    (event,) = (event for event in runs.seen if isinstance(event, events.ApprovalWanted))
    assert event.granted


def test_one_refusal_is_an_observation_and_leaves_room_for_another_way(runs: Runs) -> None:
    result = runs(call("ring", who="Tom"), call("echo", text="x"), finish("without"))
    assert (result.ending, result.answer) == ("finished", "without")
    assert result.trajectory.steps[1].observations[0].detail == "denied"


def test_nobody_is_asked_about_a_call_that_is_not_valid(runs: Runs) -> None:
    run = runs(call("ring", whom="Tom"), finish(), approve=lambda request: pytest.fail("was asked"))
    assert "Field required" in run.trajectory.steps[1].observations[0].content


# --- the conversation ------------------------------------------------------------------------------------


def test_the_conversation_only_grows_at_its_end_and_is_on_record(runs: Runs) -> None:
    runs(("1. a", call("echo", text="a")), ("2. b", call("stumble", text="b")), "hm", finish())
    for shorter, longer in pairwise(runs.told):
        assert longer[: len(shorter)] == shorter
    assert [message.role for message in runs.heard] == [
        "system", "user", "assistant", "user", "assistant", "tool", "assistant", "tool", "assistant", "user",
    ]  # fmt: skip
    assert tuple(Store(runs.home).messages("last"))[: len(runs.heard)] == runs.heard


def test_the_opening_names_the_day_once_and_the_goal_without_its_margins() -> None:
    system, goal = opening_messages("  Count the files\n", today=datetime.date(2026, 3, 1))
    assert "2026-03-01" in system.content
    assert goal.role == "user"
    assert goal.content.startswith("Goal: Count the files\n\n")
