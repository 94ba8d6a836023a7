"""Why a task was lost, told from its trajectory: the same trajectory always gets the same kind."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, get_args

from autoagent.evals.check import Part
from autoagent.evals.task import Expected
from autoagent.trajectory import Observation, Trajectory

FailureKind = Literal[
    "wrong tool",  # the first tool called is none of those the task takes
    "argument error",  # a call was refused or failed, and never succeeded, or had other arguments
    "wrong order",  # the right tools, one before the other
    "did not ask",
    "wrong answer",
    "wrong effect",  # files, memory, or what the check command looks at
    "early finish",  # without any action, or before a tool that the task takes was tried
    "declined wrongly",
    "did not decline",
    "budget",  # steps, tokens or time ran out
    "stuck",  # the same call with the same observation, again and again
    "format",  # replies without a valid call
    "denied",
    "error",  # a fault of the program or of a custom tool
]
KINDS: tuple[FailureKind, ...] = get_args(FailureKind)

_ENDINGS = {"finish", "decline"}
_STEERING = {"plan", "find_tools"}  # no step towards the goal, nor one away from it
_SAME_IN_A_ROW = 3  # calls with the same observation that make a run one that was stuck


def failure_kind(expected: Expected, run: Trajectory, missed: Collection[Part]) -> FailureKind:
    """The kind of a run that was refuted, the cause before its consequences.

    Args:
        expected: What the task wanted.
        run: What happened.
        missed: The parts that did not hold, from ``TaskCheck.missed``.
    """
    match run.ending:
        case "error" | "interrupted" | None:
            return "error"
        case "format_errors":
            return "format"
        case "denied":
            return "denied"
        case _ if expected.declines and run.ending != "declined":
            return "did not decline"
        case "declined" if not expected.declines:
            return "declined wrongly"
        case "stuck":
            return "stuck" if _actions(run) else "format"  # it only talked
        case "max_steps" | "max_tokens" | "timeout":
            return "stuck" if _went_round(_actions(run)) else "budget"
    return _finished_wrong(expected, run, missed)


def first_tool(run: Trajectory) -> str | None:
    """The first tool it called to get on with the goal; none if it called none."""
    names = (seen.call.name for step in run.steps for seen in step.observations)
    return next((name for name in names if name not in _ENDINGS | _STEERING), None)


def _finished_wrong(expected: Expected, run: Trajectory, missed: Collection[Part]) -> FailureKind:
    """The run ended as it should, but not where it should."""
    actions = [seen for seen in _actions(run) if seen.call.name not in _STEERING]
    if "asks" in missed:
        return "did not ask"
    if not actions and not expected.declines:
        return "early finish"
    called = [seen.call.name for seen in actions]
    wanted = {*expected.reference, *expected.calls, *expected.arguments}
    helpful = {"ask_user"} if expected.asks else set()
    if actions and wanted and called[0] not in wanted | helpful:
        return "wrong tool"
    if any(seen.detail == "denied" for seen in actions):
        return "denied"
    succeeded = {seen.call.name for seen in actions if seen.ok}
    if set(called) - succeeded or (actions and not actions[-1].ok):
        return "argument error"
    if "calls" in missed or (len(called) < len(expected.reference) and set(expected.reference) - set(called)):
        return "early finish"
    if "order" in missed:
        return "wrong order"
    if "arguments" in missed:
        return "argument error"
    if sorted(called) == sorted(expected.reference) and called != list(expected.reference):
        return "wrong order"
    return "wrong effect" if {"files", "memory", "command"} & set(missed) else "wrong answer"


def _actions(run: Trajectory) -> list[Observation]:
    """What it called but the two tools that end a run."""
    return [seen for step in run.steps for seen in step.observations if seen.call.name not in _ENDINGS]


def _went_round(actions: list[Observation]) -> bool:
    last = [(seen.call, seen.content) for seen in actions[-_SAME_IN_A_ROW:]]
    return len(last) == _SAME_IN_A_ROW and all(each == last[0] for each in last)
