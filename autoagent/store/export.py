"""Runs in the formats of others: ATIF for tools that read trajectories, chats in OpenAI's shape."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from autoagent.errors import UsageError
from autoagent.store import conversation
from autoagent.store.runs import Store
from autoagent.trajectory import LATEST, Message, Observation, Step, TokenTrace, Trajectory

ATIF = "ATIF-v1.7"
Schemas = Mapping[str, dict[str, Any]]  # of tools, by name, in the shape of OpenAI's function calling


def atif(store: Store, run_id: str, schemas: Schemas) -> dict[str, Any]:
    """A run in the Agent Trajectory Interchange Format, with the runs it delegated to inside.

    What ATIF has no place for (plan, verdict, permissions, what compaction left out) stands in ``extra``.

    Args:
        store: Where the run is.
        run_id: The run.
        schemas: Of the tools that are known; others are named without their arguments.

    Raises:
        UsageError: no run or several runs fit, or it has nothing in it yet.
        StoreError: what is recorded of it is damaged.
    """
    run = store.load(run_id)
    steps = list(_atif_steps(store, run))
    if not steps:
        raise UsageError(f"run {run.run_id} has nothing in it to export: it ended before it began")
    document = {
        "schema_version": ATIF,
        "session_id": run.run_id,
        "trajectory_id": run.run_id,
        "agent": {
            "name": "autoagent",
            "version": version("autoagent"),
            "model_name": run.model,
            "tool_definitions": tool_schemas(run, schemas),
        },
        "steps": steps,
        "final_metrics": {
            "total_prompt_tokens": run.counts.cached + run.counts.prefilled,
            "total_completion_tokens": run.counts.forced + run.counts.sampled,
            "total_cached_tokens": run.counts.cached,
            "total_steps": len(steps),
            "extra": {"seconds": run.seconds, "forced_tokens": run.counts.forced},
        },
        "extra": {
            "goal": run.goal,
            "plan": list(run.plan),
            "answer": run.answer,
            "ending": run.ending,
            "verdict": run.verdict.model_dump(),
            "seed": run.seed,
            "settings": run.settings,
        },
    }
    children = [seen.child for step in run.steps for seen in step.observations if seen.child]
    inside = [atif(store, child, schemas) for child in _on_record(store, children)]
    return document | ({"subagent_trajectories": inside} if inside else {})


def _on_record(store: Store, children: Sequence[str]) -> list[str]:
    known = {run.run_id for run in store.runs()} if children else set()
    return [child for child in dict.fromkeys(children) if child in known]


def _atif_steps(store: Store, run: Trajectory) -> Iterator[dict[str, Any]]:
    """System prompt, goal, replies with what their calls returned, and what the runtime said, in order."""
    contexts = _contexts(run.steps)
    at, children = run.started, set(_on_record(store, [c.child for s in run.steps for c in s.observations]))
    for number, item in enumerate(conversation.history(store.said(run.run_id), run.steps), start=1):
        shaped: dict[str, Any] = {"step_id": number, "timestamp": _timestamp(at)}
        if isinstance(item, Message):
            yield shaped | {
                "source": "system" if item.role == "system" else "user", "message": item.content
            }  # fmt: skip
        else:
            made = _agent_step(item, contexts.get(item.index), children)
            model = run.answered_by(item.index)
            yield shaped | made | ({} if model == run.model else {"model_name": model})
            at += item.seconds


def _agent_step(step: Step, context: tuple[int, ...] | None, children: set[str]) -> dict[str, Any]:
    reply = step.reply
    names = [f"call_{step.index}_{number}" for number in range(len(reply.calls))]
    shaped: dict[str, Any] = {"source": "agent", "message": reply.text}
    if reply.calls:
        shaped["tool_calls"] = [
            {"tool_call_id": name, "function_name": call.name, "arguments": call.arguments}
            for name, call in zip(names, reply.calls, strict=True)
        ]
    if step.observations:
        shaped["observation"] = {
            "results": [
                _result(seen, names[number] if number < len(names) else None, children)
                for number, seen in enumerate(step.observations)
            ]
        }
    extra = {"index": step.index, "kind": step.kind, "sub_goal": step.sub_goal, "seconds": step.seconds}
    shaped["extra"] = extra | {"recalled": list(step.recalled)}
    asked = reply.trace is not None or reply.counts.spent or step.kind != "compaction"
    shaped["llm_call_count"] = 1 if asked else 0
    if asked:
        shaped["metrics"] = _metrics(step, context)
        if reply.reasoning:
            shaped["reasoning_content"] = reply.reasoning
    return shaped


def _result(seen: Observation, call: str | None, children: set[str]) -> dict[str, Any]:
    extra = seen.model_dump(
        mode="json", include={"ok", "seconds", "mutated", "detail", "permission", "origin"}
    )
    result: dict[str, Any] = {"source_call_id": call, "content": seen.content, "extra": extra}
    if seen.child in children:
        result["subagent_trajectory_ref"] = [{"trajectory_id": seen.child, "session_id": seen.child}]
    return result


def _metrics(step: Step, context: tuple[int, ...] | None) -> dict[str, Any]:
    counts, trace = step.reply.counts, step.reply.trace
    metrics: dict[str, Any] = {
        "prompt_tokens": counts.cached + counts.prefilled,
        "completion_tokens": counts.forced + counts.sampled,
        "cached_tokens": counts.cached,
        "extra": {"forced_tokens": counts.forced, "reply_seconds": step.reply.seconds},
    }
    if trace is not None and context is not None:
        metrics["prompt_token_ids"] = list(context)
        metrics["completion_token_ids"] = list(trace.completion_ids)
        metrics["logprobs"] = list(trace.logprobs)
        metrics["extra"] |= {"origins": trace.origins, "masked_logprobs": list(trace.masked_logprobs)}
    return metrics


def _contexts(steps: Sequence[Step]) -> dict[int, tuple[int, ...]]:
    """The token ids that each reply saw, by step, put together from what each added.

    After a reply without ids, such as one that held a secret, they are unknown until all is read anew.
    """
    seen: dict[int, tuple[int, ...]] = {}
    before: tuple[int, ...] = ()
    known = True
    for step in steps:
        trace: TokenTrace | None = step.reply.trace
        if trace is None:
            known = known and not step.reply.counts.spent  # a template that sums up has no tokens
        elif known := known or not trace.kept:
            seen[step.index] = before[: trace.kept] + trace.prompt_ids
            before = seen[step.index] + trace.completion_ids
    return seen


def _timestamp(at: float) -> str:
    moment = at if 0 <= at <= LATEST else 0.0  # steps of a run from elsewhere may claim any length
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).isoformat(timespec="milliseconds")


def chats(store: Store, run_id: str, schemas: Schemas) -> list[dict[str, Any]]:
    """A run as ``{"messages": …, "tools": …}`` in OpenAI's shape; one more of them for each compaction, since
    the model saw another conversation from there on.

    Raises:
        UsageError: no run or several runs fit.
        StoreError: what is recorded of it is damaged.
    """
    run = store.load(run_id)
    tools = tool_schemas(run, schemas)
    said = conversation.stretches(store.said(run.run_id), run.steps)
    return [{"messages": _openai(messages), "tools": tools} for messages in said if messages]


def _openai(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """With arguments as JSON text, which no loader unifies wrongly, and ids that tie answers to calls."""
    shaped = []
    open_calls: list[str] = []
    for number, message in enumerate(messages):
        each: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.calls:
            open_calls = [f"call_{number}_{place}" for place in range(len(message.calls))]
            each["tool_calls"] = [
                {
                    "id": name,
                    "type": "function",
                    "function": {"name": call.name, "arguments": _text(call.arguments)},
                }
                for name, call in zip(open_calls, message.calls, strict=True)
            ]
        if message.role == "tool":
            each["tool_call_id"] = open_calls.pop(0) if open_calls else f"call_{number}"
            each["name"] = message.name
        shaped.append(each)
    return shaped


def _text(arguments: Mapping[str, Any]) -> str:
    return json.dumps(arguments, ensure_ascii=False)


def tool_schemas(run: Trajectory, schemas: Schemas) -> list[dict[str, Any]]:
    """Of the tools the run showed; one that is not known here is named, with arguments left open."""
    unknown = {"type": "object", "additionalProperties": True}
    return [
        schemas.get(name) or {"type": "function", "function": {"name": name, "parameters": unknown}}
        for name in run.tools
    ]
