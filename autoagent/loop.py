"""Plan, act, observe: the whole agent in one file. Every other module is an argument of this one."""

from __future__ import annotations

import datetime
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from autoagent import events
from autoagent.config import Limits, Sampling
from autoagent.errors import AutoagentError, ContextFull, Denied, Recoverable, StoreError
from autoagent.events import Event
from autoagent.models.protocol import Calls, Expect, Json, Session
from autoagent.plan import SCHEMA, Plan
from autoagent.prompts import render
from autoagent.security import Policy, Request
from autoagent.tools import Context, Toolbox
from autoagent.trajectory import Ending, Message, NoRecord, Observation, Record, Reply, Step, ToolCall

_MISTAKES_IN_A_ROW = 3  # replies without a valid call before the run ends with "format_errors"


class _OutOfBudget(Exception):
    def __init__(self, ending: Ending) -> None:
        self.ending: Ending = ending


@dataclass
class Loop:
    """One goal, worked on until there is an ending. The session already holds system prompt and goal."""

    session: Session
    tools: Toolbox
    context: Context
    policy: Policy = field(default_factory=Policy)
    record: Record = field(default_factory=NoRecord)
    limits: Limits = field(default_factory=Limits)
    sampling: Sampling = field(default_factory=Sampling)

    plan: Plan = field(default_factory=lambda: Plan(()))
    steps: list[Step] = field(default_factory=list)
    ending: Ending | None = None
    answer: str | None = None
    spent: int = 0  # tokens
    denials: int = 0
    refused: bool = False  # an effect was refused, and no other action has succeeded since

    def events(self) -> Iterator[Event]:
        """Work on the goal and yield what happens, as it happens. ``ending`` is set when this is exhausted.

        An exception that is no ``Recoverable`` passes through: a fault of the program or of a custom tool.
        """
        self.deadline = time.monotonic() + self.limits.timeout
        try:
            yield from self._make_plan()
            while self.ending is None:
                yield from self._step()
        except _OutOfBudget as out:
            self.ending = out.ending
        except ContextFull as full:
            self.ending = "max_tokens"
            yield events.Note(text=str(full))

    def _make_plan(self) -> Iterator[Event]:
        """Step 0: it counts in tokens and time, not in ``max_steps``."""
        began = time.monotonic()
        reply = yield from self._reply(Json(SCHEMA))
        self.record.replied(0, reply)
        sub_goals = tuple(reply.value["plan"]) if isinstance(reply.value, dict) else ()
        self.plan = Plan(sub_goals)
        self.record.planned(sub_goals)
        yield events.Planned(sub_goals=sub_goals)
        yield self._finish_step(Step(index=0, reply=reply, seconds=time.monotonic() - began))
        self._say(render("act"))

    def _step(self) -> Iterator[Event]:
        index = len(self.steps)
        if index > self.limits.max_steps:
            raise _OutOfBudget("max_steps")
        began = time.monotonic()
        schemas = tuple(tool.schema for tool in self.tools)
        reply = yield from self._reply(Calls(schemas, at_most=self.limits.calls_per_turn))
        self.record.replied(index, reply)
        sub_goal = self.plan.serve(reply.text)
        if sub_goal is not None:
            yield events.Planned(sub_goals=self.plan.sub_goals, done=self.plan.done)
        observations = yield from self._act(index, reply)
        step = Step(
            index=index,
            reply=reply,
            observations=observations,
            sub_goal=sub_goal,
            ending=self.ending,
            seconds=time.monotonic() - began,
        )
        yield self._finish_step(step)

    def _reply(self, expect: Expect) -> Generator[Event, None, Reply]:
        """One model call, its text passed on as it comes, within what is left of the budget."""
        left = self.limits.max_tokens - self.spent
        if left <= 0:
            raise _OutOfBudget("max_tokens")
        stream = self.session.generate(
            expect, sampling=self.sampling, max_tokens=min(self.limits.reply_tokens, left)
        )
        try:
            while True:
                if time.monotonic() > self.deadline:
                    raise _OutOfBudget("timeout")
                yield events.Token(text=next(stream))
        except StopIteration as stop:
            reply: Reply = stop.value
        finally:
            stream.close()
        self.spent += reply.counts.spent
        return reply

    def _act(self, index: int, reply: Reply) -> Generator[Event, None, tuple[Observation, ...]]:
        """Carry out the reply's calls in order; the rest are skipped at the first failure."""
        if not reply.calls:
            cut = f"the reply was cut at {self.limits.reply_tokens} tokens"
            self._mistake("there was no call in the reply" if reply.complete else cut)
            return ()
        seen: list[Observation] = []
        for number, call in enumerate(reply.calls):
            yield events.Called(step=index, call=call)
            observation = yield from self._carry_out(index, call)
            self.record.observed(index, number, observation)
            seen.append(observation)
            yield events.Observed(step=index, observation=observation)
            if self.ending is not None or not observation.ok:
                break
        if self.ending is None:
            for observation in seen:
                self.session.append(
                    Message(role="tool", content=observation.content, name=observation.call.name)
                )
        return tuple(seen)

    def _carry_out(self, index: int, call: ToolCall) -> Generator[Event, None, Observation]:
        """Run one call under the policy. What the model can correct becomes its observation."""
        began = time.monotonic()
        detail = ""
        mutated = False
        try:
            tool = self.tools[call.name]
            arguments = tool.validate(call.arguments)
            wanted = self.policy.asks(tool.effects)
            if wanted:
                yield from self._ask(index, call, arguments, wanted)
            mutated = bool({"write", "execute"} & set(tool.effects))
            content, ok = tool.carry_out(arguments, self.context), True
            self._end_by(call, content)
        except Recoverable as problem:
            content, ok = str(problem), False
            if isinstance(problem, Denied):
                self.denials, self.refused = self.denials + 1, True
                detail = "denied"
                self.ending = "denied" if self.denials > 1 else None
        except StoreError:
            raise
        except AutoagentError as fault:  # meant for a user, but raised by a tool: a fault like any other
            raise RuntimeError(f"tool {call.name} raised {type(fault).__name__}: {fault}") from fault
        content = content.encode("utf-8", "replace").decode("utf-8")  # tokenizers refuse half a character
        content, cut = _shorten(content, self.limits.observation_chars)
        return Observation(
            call=call,
            content=render("observation", ok=ok, content=content),
            ok=ok,
            seconds=time.monotonic() - began,
            mutated=mutated,
            detail=detail or cut,
        )

    def _ask(
        self, index: int, call: ToolCall, arguments: Mapping[str, Any], effects: tuple[str, ...]
    ) -> Iterator[Event]:
        request = Request(tool=call.name, arguments=arguments, effects=effects)
        try:
            self.policy.permit(request)
        except Denied:
            yield events.ApprovalWanted(step=index, call=call, effects=effects, granted=False)
            raise
        yield events.ApprovalWanted(step=index, call=call, effects=effects, granted=True)

    def _end_by(self, call: ToolCall, content: str) -> None:
        """Read the two calls that end a run; what ends right after a refusal could not go on without it."""
        if call.name not in ("finish", "decline"):
            self.refused = False
            return
        self.answer = content
        if self.refused:
            self.ending = "denied"
        elif call.name == "finish":
            self.ending, self.plan.finished = "finished", True
        else:
            self.ending = "declined"

    def _mistake(self, mistake: str) -> None:
        """No call in a reply: say so, and give up after some in a row."""
        past = [bool(step.reply.calls) for step in self.steps[1:]][-(_MISTAKES_IN_A_ROW - 1) :]
        if len(past) == _MISTAKES_IN_A_ROW - 1 and not any(past):
            self.ending = "format_errors"
        self._say(render("mistake", mistake=mistake))

    def _say(self, text: str) -> None:
        """Put a word of the runtime's own into the conversation, and on record."""
        message = Message(role="user", content=text)
        self.session.append(message)
        self.record.said(message)

    def _finish_step(self, step: Step) -> Event:
        self.steps.append(step)
        self.record.stepped(step)
        return events.Stepped(step=step)


def opening_messages(goal: str, *, today: datetime.date | None = None) -> list[Message]:
    """What every run starts with: the system prompt, its date frozen for the run, and the goal."""
    date = (today or datetime.date.today()).isoformat()
    return [
        Message(role="system", content=render("system", date=date)),
        Message(role="user", content=render("goal", goal=goal.strip())),
    ]


def _shorten(text: str, limit: int) -> tuple[str, str]:
    """Keep head and tail of a text that is too long, and say how much was cut."""
    if len(text) <= limit:
        return text, ""
    half = (limit - 40) // 2
    cut = f"{len(text) - 2 * half} characters left out"
    return f"{text[:half]}\n… {cut} …\n{text[-half:]}", cut
