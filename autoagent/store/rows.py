"""Between the record's values and the columns they are kept in. Nothing here touches the database."""

from __future__ import annotations

import json
import sys
import zlib
from array import array
from collections.abc import Sequence
from typing import Any

from autoagent.store.database import Row
from autoagent.trajectory import (
    Counts,
    Data,
    Ending,
    Message,
    Observation,
    Origin,
    Permission,
    Reply,
    Step,
    TokenTrace,
    ToolCall,
    Trajectory,
    Verdict,
)

FAMILY = "family:"  # a tag that begins with it says which family of goals a run is of
NO_TRACE = (None,) * 6
REPLY_COLUMNS = (  # of the table of steps, in the order of reply_columns()
    "text", "reasoning", "calls", "value", "complete",
    "cached", "prefilled", "forced", "sampled", "reply_seconds",
    "kept", "prompt_ids", "completion_ids", "origins", "logprobs", "masked_logprobs",
)  # fmt: skip
OBSERVATION_COLUMNS = (  # in the order of observation_columns()
    "tool", "arguments", "content", "ok", "seconds", "mutated", "detail", "kept", "child", "permission",
    "origin",
)  # fmt: skip


class RunSummary(Data):
    """One line of the list of runs."""

    run_id: str
    goal: str
    model: str  # version hash
    ending: Ending | None  # None: unfinished, still running or its process died
    verdict: Verdict  # the latest, whoever gave it
    answer: str | None
    steps: int  # model calls on record, the plan's included
    started: float  # seconds since the epoch
    seconds: float
    seed: int
    check: str  # as the user gave it, "" for none
    workspace: str
    suite: str
    tags: tuple[str, ...]
    parent: str | None  # the run this one was branched from
    replayable: bool  # False: the workspace was too large to snapshot
    forgotten: bool = False  # it is not learned from any more
    running: bool = False  # a live process works on it

    @property
    def state(self) -> str:
        """The ending; ``running`` while a live process works on it; else ``unfinished``."""
        return "running" if self.running else self.ending or "unfinished"


class Verdicts(Data):
    """All that was said about the outcome of one run, oldest first."""

    given: tuple[Verdict, ...] = ()

    @property
    def latest(self) -> Verdict:
        """What is shown, and what decides whether the run is learned from."""
        return self.given[-1] if self.given else Verdict()

    @property
    def by_check(self) -> Verdict | None:
        return next((verdict for verdict in reversed(self.given) if verdict.by == "check"), None)

    @property
    def by_user(self) -> Verdict | None:
        return next((verdict for verdict in reversed(self.given) if verdict.by == "user"), None)

    @property
    def gating(self) -> Verdict:
        """What may decide about a model version: the executable check, whatever the user said."""
        return self.by_check or Verdict()


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def text(value: str | bytes) -> str:
    """A text column as it was; one with lone surrogates was kept as bytes."""
    return value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else value


def optional_text(value: str | bytes | None) -> str | None:
    return None if value is None else text(value)


def packed(values: Sequence[float], typecode: str) -> bytes:
    """Little-endian 32-bit numbers, compressed: ``"i"`` for token ids, ``"f"`` for logprobs."""
    numbers = array(typecode, values)
    if sys.byteorder == "big":
        numbers.byteswap()
    return zlib.compress(numbers.tobytes(), 1)


def unpacked(blob: bytes, typecode: str) -> tuple[Any, ...]:
    numbers = array(typecode)
    numbers.frombytes(zlib.decompress(blob))
    if sys.byteorder == "big":
        numbers.byteswap()
    return tuple(numbers)


def _calls_json(calls: Sequence[ToolCall]) -> str:
    return as_json([[call.name, call.arguments] for call in calls])


def _calls(column: str | bytes) -> tuple[ToolCall, ...]:
    return tuple(ToolCall(name=name, arguments=arguments) for name, arguments in json.loads(column))


def trace_columns(trace: TokenTrace | None) -> tuple[Any, ...]:
    if trace is None:
        return NO_TRACE
    return (
        trace.kept,
        packed(trace.prompt_ids, "i"),
        packed(trace.completion_ids, "i"),
        zlib.compress(trace.origins.encode("ascii"), 1),
        packed(trace.logprobs, "f"),
        packed(trace.masked_logprobs, "f"),
    )


def reply_columns(reply: Reply) -> tuple[Any, ...]:
    counts = reply.counts
    value = None if reply.value is None else as_json(reply.value)
    return (
        reply.text, reply.reasoning, _calls_json(reply.calls), value, reply.complete,
        counts.cached, counts.prefilled, counts.forced, counts.sampled, reply.seconds,
        *trace_columns(reply.trace),
    )  # fmt: skip


def observation_columns(seen: Observation) -> tuple[Any, ...]:
    permission = None if seen.permission is None else as_json(seen.permission.model_dump(mode="json"))
    return (
        seen.call.name, as_json(seen.call.arguments), seen.content, seen.ok, seen.seconds, seen.mutated,
        seen.detail, seen.kept, seen.child, permission,
        None if seen.origin is None else as_json(seen.origin.model_dump(mode="json")),
    )  # fmt: skip


def message_columns(message: Message) -> tuple[Any, ...]:
    """``role`` to ``name`` of the table of messages."""
    return (message.role, message.content, _calls_json(message.calls), message.name)


def message(row: Row) -> Message:
    return Message(
        role=row["role"],
        content=text(row["content"]),
        calls=_calls(row["calls"]),
        name=optional_text(row["name"]),
    )


def observation(row: Row) -> Observation:
    return Observation(
        call=ToolCall(name=text(row["tool"]), arguments=json.loads(row["arguments"])),
        content=text(row["content"]),
        ok=bool(row["ok"]),
        seconds=row["seconds"],
        mutated=bool(row["mutated"]),
        detail=text(row["detail"]),
        kept=text(row["kept"]),
        child=text(row["child"]),
        permission=_permission(row["permission"]),
        origin=None if row["origin"] is None else Origin.model_validate(json.loads(row["origin"])),
    )


def _permission(column: str | bytes | None) -> Permission | None:
    return None if column is None else Permission.model_validate(json.loads(column))


def trace(row: Row) -> TokenTrace | None:
    if row["kept"] is None:
        return None
    return TokenTrace(
        kept=row["kept"],
        prompt_ids=unpacked(row["prompt_ids"], "i"),
        completion_ids=unpacked(row["completion_ids"], "i"),
        origins=zlib.decompress(row["origins"]).decode("ascii"),
        logprobs=unpacked(row["logprobs"], "f"),
        masked_logprobs=unpacked(row["masked_logprobs"], "f"),
    )


def step(row: Row, observations: Sequence[Observation]) -> Step:
    """A step as recorded; one whose process died has what was written before, and no ending."""
    reply = Reply(
        text=text(row["text"]),
        reasoning=text(row["reasoning"]),
        calls=_calls(row["calls"]),
        value=None if row["value"] is None else json.loads(row["value"]),
        complete=bool(row["complete"]),
        counts=Counts(**{name: row[name] for name in Counts.model_fields}),
        trace=trace(row),
        seconds=row["reply_seconds"],
    )
    return Step(
        index=row["number"],
        kind=row["kind"],
        reply=reply,
        observations=tuple(observations),
        recalled=tuple(json.loads(row["recalled"])),
        sub_goal=row["sub_goal"],
        ending=row["ending"],
        seconds=row["seconds"] or 0.0,
    )


def verdict(row: Row) -> Verdict:
    return Verdict(status=row["status"], score=row["score"], reason=text(row["reason"]), by=row["given_by"])


def summary(row: Row) -> RunSummary:
    """A row of runs joined with its latest verdict (if any) and the number of its steps."""
    return RunSummary(
        run_id=row["id"],
        goal=text(row["goal"]),
        verdict=Verdict() if row["status"] is None else verdict(row),
        answer=optional_text(row["answer"]),
        check=text(row["check_text"]),
        workspace=text(row["workspace"]),
        tags=tuple(json.loads(row["tags"])),
        suite=text(row["suite"]),
        model=text(row["model"]),
        replayable=bool(row["replayable"]),
        forgotten=bool(row["forgotten"]),
        **{name: row[name] for name in ("ending", "steps", "started", "seconds", "seed", "parent")},
    )


def trajectory(row: Row, steps: Sequence[Step], verdict: Verdict) -> Trajectory:
    return Trajectory(
        run_id=row["id"],
        goal=text(row["goal"]),
        model=text(row["model"]),
        plan=tuple(json.loads(row["plan"])),
        steps=tuple(steps),
        answer=optional_text(row["answer"]),
        ending=row["ending"],
        verdict=verdict,
        seed=row["seed"],
        started=row["started"],
        seconds=row["seconds"],
        tools=tuple(json.loads(row["tools"])),
        error=text(row["error"]),
        parent=row["parent"],
        settings=json.loads(row["settings"]),
    )
