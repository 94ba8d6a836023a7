"""Trajectories of other agents (ATIF, any version) as runs that can be read, compared and exported here."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import ValidationError

from autoagent.errors import UsageError
from autoagent.store.portable import Portable, Spoken
from autoagent.trajectory import (
    LATEST,
    Counts,
    Ending,
    Message,
    Observation,
    Reply,
    Step,
    StepKind,
    ToolCall,
    Trajectory,
)


def from_atif(document: Mapping[str, Any]) -> Portable:
    """An ATIF document as a run. Verdicts, token ids, pictures and the runs inside it are left behind.

    Raises:
        UsageError: it is no ATIF document.
    """
    try:
        return _portable(document)
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        if isinstance(problem, ValidationError):
            why = problem.errors()[0]["msg"].lower()
        else:
            why = f"{type(problem).__name__}: {problem}"
        raise UsageError(f"this is no ATIF trajectory that can be read ({why})") from None


def _portable(document: Mapping[str, Any]) -> Portable:
    steps: list[Step] = []
    said: list[Spoken] = []
    for each in document["steps"]:
        if each["source"] == "agent":
            steps.append(_step(len(steps), each))
        else:
            message = Message(role=each["source"], content=_text(each["message"]))
            said.append(Spoken(message=message, after=steps[-1].index if steps else None))
    extra = document.get("extra") or {}
    goals = [each.message.content for each in said if each.message.role == "user"]
    agent = document["agent"]
    times = [_time(each.get("timestamp")) for each in document["steps"]]
    run = Trajectory(
        run_id=str(document.get("trajectory_id") or document.get("session_id") or ""),
        goal=str(extra.get("goal") or (goals[0] if goals else "")),
        model=str(agent.get("model_name") or agent["name"]),
        plan=tuple(extra.get("plan") or ()),
        steps=tuple(steps),
        answer=extra.get("answer", steps[-1].reply.text if steps else None),
        ending=_one_of(Ending, extra.get("ending"), "finished"),
        started=times[0] if times else 0.0,
        seconds=max(times, default=0.0) - (times[0] if times else 0.0),
        tools=tuple(each["function"]["name"] for each in agent.get("tool_definitions") or ()),
    )
    return Portable(trajectory=run, said=tuple(said), tags=(f"agent:{agent['name']}",))


def _step(index: int, each: Mapping[str, Any]) -> Step:
    calls = {
        str(call["tool_call_id"]): ToolCall(name=call["function_name"], arguments=call["arguments"])
        for call in each.get("tool_calls") or ()
    }
    extra, metrics = each.get("extra") or {}, each.get("metrics") or {}
    cached = metrics.get("cached_tokens") or 0
    reply = Reply(
        text=_text(each["message"]),
        reasoning=each.get("reasoning_content") or "",
        calls=tuple(calls.values()),
        counts=Counts(
            cached=cached,
            prefilled=max(0, (metrics.get("prompt_tokens") or 0) - cached),
            sampled=metrics.get("completion_tokens") or 0,
        ),
    )
    results = (each.get("observation") or {}).get("results") or ()
    return Step(
        index=index,
        kind=_one_of(StepKind, extra.get("kind"), "act"),
        reply=reply,
        observations=tuple(_observation(result, calls) for result in results),
        seconds=float(extra.get("seconds") or 0.0),
    )


def _observation(result: Mapping[str, Any], calls: Mapping[str, ToolCall]) -> Observation:
    call = calls.get(str(result.get("source_call_id")), ToolCall(name="environment"))
    ok = (result.get("extra") or {}).get("ok", True)
    return Observation(call=call, content=_text(result.get("content") or ""), ok=bool(ok))


def _text(content: Any) -> str:
    """Of several parts, those that are text; others are named."""
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text") or f"[{part['type']}]") for part in content)


def _time(stamp: str | None) -> float:
    moment = datetime.datetime.fromisoformat(stamp).timestamp() if stamp else 0.0
    return min(max(moment, 0.0), LATEST)


def _one_of(choices: Any, value: Any, default: str) -> Any:
    return value if value in get_args(choices) else default
