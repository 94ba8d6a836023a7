"""Plan, act, observe: the whole agent in one file. Every other module is an argument of this one."""

from __future__ import annotations

import contextlib
import datetime
import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace

from autoagent import events
from autoagent.acting import Actor, Keep
from autoagent.compaction import SIZES, compacted
from autoagent.config import Conduct, Limits, Sampling
from autoagent.errors import ContextFull
from autoagent.events import Event
from autoagent.models.parsing import Thought
from autoagent.models.protocol import Calls, Expect, Json, Session, Text
from autoagent.plan import SCHEMA, Plan, parsed
from autoagent.prompts import Prompts
from autoagent.security import Policy
from autoagent.stuck import failed_tool, failures_in_a_row, sign_of_circling
from autoagent.tools import Context, Toolbox
from autoagent.trajectory import (
    Ending,
    Message,
    NoRecord,
    Observation,
    Record,
    Reply,
    Step,
    StepKind,
    ToolCall,
    Trajectory,
)

_MISTAKES_IN_A_ROW = 3  # replies without a valid call before the run ends with "format_errors"
_PATIENCE = (3, 2)  # times in a row: before the first remedy against going in circles, and after it
_LONG_AGO = 8  # steps without a sign of circling, after which remedies begin anew
_FOUND = 3  # tools that one find_tools adds
_MESSAGE = 8  # tokens a chat template puts around a message, about

Edit = Callable[[tuple[str, ...]], Sequence[str]]
Steer = Callable[[], str | None]


class _OutOfBudget(Exception):
    def __init__(self, ending: Ending) -> None:
        self.ending: Ending = ending


@dataclass
class Loop:
    """One goal, worked on until there is an ending. The session already holds ``opening``.

    Args:
        session: The conversation with the model.
        tools: Those shown to it; ``find_tools`` adds to them from ``offered``.
        keep: Puts a text that is too long to show where the agent can read it.
        window: Of the model, in tokens; 0: unknown, then nothing is compacted ahead of time.
        count: Tokens in a text.
        edit_plan: Asked for the plan to follow, with ``Conduct(plan="ask")``.
        steer: Asked before each step for a word of the user's, which leads to a new plan.
        steps: What was done already, when a run is resumed; ``cut_short`` is the step it broke off in.
    """

    session: Session
    tools: Toolbox
    context: Context
    policy: Policy = field(default_factory=Policy)
    record: Record = field(default_factory=NoRecord)
    limits: Limits = field(default_factory=Limits)
    sampling: Sampling = field(default_factory=Sampling)
    conduct: Conduct = field(default_factory=Conduct)
    prompts: Prompts = field(default_factory=Prompts)
    offered: Toolbox = field(default_factory=Toolbox)
    opening: Sequence[Message] = ()
    keep: Keep | None = None
    window: int = 0
    count: Callable[[str], int] = len
    edit_plan: Edit | None = None
    steer: Steer | None = None

    recalled: tuple[str, ...] = ()  # ids of the memories in ``opening``
    plan: Plan = field(default_factory=lambda: Plan(()))
    steps: list[Step] = field(default_factory=list)
    cut_short: Step | None = None
    ending: Ending | None = None
    answer: str | None = None
    spent: int = 0  # tokens

    def __post_init__(self) -> None:
        own = {"plan": self._revise, "find_tools": self._find}
        self.context = replace(self.context, services={**self.context.services, **own})
        self.actor = Actor(
            self.tools, self.context, self.policy, self.prompts, self.limits, self.keep, self.conduct.dry_run
        )
        self.deadline = math.inf
        self._unread = 0  # tokens appended since the latest reply, about
        self._remedies = self._remedied = 0  # against going in circles: how many, and after which step
        self._plans = 0

    def events(self) -> Iterator[Event]:
        """Work on the goal and yield what happens, as it happens. ``ending`` is set when this is exhausted.

        An exception that is no ``Recoverable`` passes through: a fault of the program or of a custom tool.
        """
        if math.isinf(self.deadline):
            self.deadline = self.actor.deadline = time.monotonic() + self.limits.timeout
        try:
            if self.cut_short is not None:
                yield from self._catch_up(self.cut_short)
            if not self.steps and self.conduct.plan != "off":
                yield from self._make_plan()
            while self.ending is None:
                yield from self._listen()
                yield from self._step()
                yield from self._look_around()
        except _OutOfBudget as out:
            self.ending = out.ending
        except ContextFull as full:
            self.ending = "max_tokens"
            yield events.Note(text=str(full))

    def take_up(self, past: Trajectory, last: Message) -> None:
        """Begin where a recorded run broke off; ``last`` is the last message of its conversation.

        What it has used does not count against the limits.
        """
        self.steps = list(past.steps)
        plans = [step.reply.value for step in self.steps if step.kind == "plan"]
        self.plan = Plan(past.plan or parsed(plans[-1] if plans else None))
        if self.steps and not self.steps[-1].whole:
            self.cut_short = self.steps.pop()
        for step in self.steps:
            self.plan.serve(step.reply.text)
        acts = sum(step.kind == "act" for step in self.steps)
        self.spent = past.counts.spent
        self.limits = self.limits.model_copy(
            update={
                "max_steps": self.limits.max_steps + acts,
                "max_tokens": self.limits.max_tokens + self.spent,
            }
        )
        self._remedied, self._plans = len(self.steps), sum(step.kind == "plan" for step in self.steps)
        if self.cut_short is None and last.role == "assistant":  # broke off before we said what follows
            self._say(self.prompts.render("act"))

    def lend(self, name: str, service: Callable[..., object]) -> None:
        """Let tools reach a service that was made for this loop."""
        self.context = replace(self.context, services={**self.context.services, name: service})
        self.actor.context = self.context

    def seconds_left(self) -> float:
        return self.deadline - time.monotonic()

    def go_on(self, reason: str) -> Event:
        """Take back the ending: the answer was checked and is not right."""
        self.ending = self.answer = None
        self.plan.finished = False
        for seen in self.steps[-1].observations:  # every call has its answer in the conversation
            self._append(Message(role="tool", content=seen.content, name=seen.call.name))
        self._say(self.prompts.render("finish_refused", reason=reason))
        return events.Nudged(why=reason, remedy="retry")

    def _make_plan(self, why: str = "") -> Iterator[Event]:
        """The first plan is step 0. A plan counts in tokens and time, not in ``max_steps``."""
        began = time.monotonic()
        if why:
            self._say(self.prompts.render("replan", why=why))
        reply = yield from self._reply(Json(SCHEMA), kind="plan")
        sub_goals = parsed(reply.value)
        wanted = sub_goals
        if self.conduct.plan == "ask" and self.edit_plan is not None:
            yield events.Planned(sub_goals=sub_goals)
            wanted = tuple(self.edit_plan(sub_goals))
        self.plan = Plan(wanted)
        self._plans += 1
        self.record.planned(wanted)
        yield events.Planned(sub_goals=wanted)
        changed = wanted != sub_goals
        numbered = " ".join(f"{number}. {sub_goal}" for number, sub_goal in enumerate(wanted, start=1))
        begin = self.prompts.render("act")
        if changed:
            begin = self.prompts.render("feedback", feedback=f"follow this plan: {numbered}") + f"\n{begin}"
        recalled = () if self.steps else self.recalled
        step = Step(
            index=len(self.steps),
            kind="plan",
            reply=reply,
            recalled=recalled,
            seconds=time.monotonic() - began,
        )
        yield self._finish_step(step)
        self._say(begin)

    def _step(self) -> Iterator[Event]:
        if sum(step.kind == "act" for step in self.steps) >= self.limits.max_steps:
            raise _OutOfBudget("max_steps")
        began = time.monotonic()
        schemas = tuple(tool.schema for tool in self.tools)
        reply = yield from self._reply(Calls(schemas, at_most=self.limits.calls_per_turn))
        index = len(self.steps)
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

    def _reply(self, expect: Expect, kind: StepKind = "act") -> Generator[Event, None, Reply]:
        """One model call on record, after making room for it where the window is nearly full."""
        if self.window and self.session.used + self._unread > self.limits.compact_at * self.window:
            yield from self._compact()
        try:
            reply = yield from self._generate(expect)
        except ContextFull:
            if not (yield from self._compact()):
                raise
            reply = yield from self._generate(expect)
        self.record.replied(len(self.steps), reply, kind)
        return reply

    def _generate(self, expect: Expect) -> Generator[Event, None, Reply]:
        """One model call, its text passed on as it comes, within what is left of the budget."""
        left = self.limits.max_tokens - self.spent
        if left <= 0:
            raise _OutOfBudget("max_tokens")
        stream = self.session.generate(
            expect, sampling=self.sampling, max_tokens=min(self.limits.reply_tokens, left)
        )
        try:
            while True:
                if time.monotonic() > self.actor.deadline:
                    raise _OutOfBudget("timeout")
                piece = next(stream)
                if piece:  # a remote model says nothing now and then, to let the time be looked at
                    yield events.Token(text=str(piece), reasoning=isinstance(piece, Thought))
        except StopIteration as stop:
            reply: Reply = stop.value
        finally:
            stream.close()
        self.spent += reply.counts.spent
        self._unread = 0
        return reply

    def _act(
        self, index: int, reply: Reply, done: Sequence[Observation] = (), *, resumed: bool = False
    ) -> Generator[Event, None, tuple[Observation, ...]]:
        """Carry out the reply's calls in order; the rest are skipped at the first failure."""
        if not reply.calls:
            cut = f"the reply was cut at {self.limits.reply_tokens} tokens"
            self._mistake("there was no call in the reply" if reply.complete else cut)
            return ()
        seen = list(done)
        for number, call in enumerate(reply.calls[len(done) :], start=len(done)):
            yield events.Called(step=index, call=call)
            if number and not seen[-1].ok:
                observation = self.actor.skipped(call, "an earlier call of the same reply failed")
            elif number and call.name in ("finish", "decline"):
                observation = self.actor.skipped(call, f"{call.name} has to stand alone")
            elif resumed and number == len(done) and not self.actor.repeatable(call):
                observation = self.actor.unknown(call)
            else:
                observation = yield from self._carry_out(index, number, call)
            self.record.observed(index, number, observation)
            seen.append(observation)
            yield events.Observed(step=index, observation=observation)
            if self.ending is not None:
                break
        if self.ending is None:
            for each in seen[len(done) :]:
                self._append(Message(role="tool", content=each.content, name=each.call.name))
        return tuple(seen)

    def _carry_out(self, index: int, number: int, call: ToolCall) -> Generator[Event, None, Observation]:
        """Run one call and read what it means for plan and ending."""
        before = self.plan
        observation = yield from self.actor.carry_out(index, number, call)
        if self.plan is not before:
            yield events.Planned(sub_goals=self.plan.sub_goals, done=self.plan.done)
        if self.actor.denials > 1:
            self.ending = "denied"
        elif observation.ok and call.name in ("finish", "decline"):
            self.answer = str(next(iter(call.arguments.values()), ""))
            self.ending = "finished" if call.name == "finish" else "declined"
            if self.actor.refused:  # right after a refusal: it could not go on without it
                self.ending = "denied"
            self.plan.finished = self.ending == "finished"
        return observation

    def _catch_up(self, step: Step) -> Iterator[Event]:
        """Finish the step a run broke off in: what only reads is repeated, the rest has an unknown end."""
        observations = yield from self._act(step.index, step.reply, step.observations, resumed=True)
        self.cut_short = None
        yield self._finish_step(step.model_copy(update={"observations": observations, "ending": self.ending}))

    def _listen(self) -> Iterator[Event]:
        """A word of the user's between two steps leads to a new plan."""
        word = (self.steer() if self.steer else None) or ""
        if word.strip():
            yield events.Nudged(why=word.strip(), remedy="feedback")
            told = self.prompts.render("feedback", feedback=word.strip())
            if self._may_plan():
                yield from self._make_plan(told)
            else:
                self._say(told)

    def _look_around(self) -> Iterator[Event]:
        """Notice when the run gets nowhere: first a nudge, then a new plan, then it ends as stuck."""
        if self.ending is not None:
            return
        recent = self.steps[self._remedied :]
        if len(recent) > _LONG_AGO:
            self._remedies = 0
        sign = sign_of_circling(recent, patience=_PATIENCE[min(self._remedies, 1)])
        if sign:
            yield from self._remedy(sign)
        elif failures_in_a_row(recent) == 2 and self._may_plan():
            why = f"{failed_tool(recent[-1])} failed twice"
            yield events.Nudged(why=why, remedy="replan")
            yield from self._make_plan(f"{why}.")

    def _remedy(self, sign: str) -> Iterator[Event]:
        if self._remedies == 0:
            yield events.Nudged(why=sign, remedy="nudge")
            self._say(self.prompts.render("nudge", sign=sign))
        elif self._remedies == 1 and self._may_plan():
            yield events.Nudged(why=sign, remedy="replan")
            yield from self._make_plan(self.prompts.render("nudge", sign=sign))
        else:
            self.ending = "stuck"
            yield events.Note(text=sign)
        self._remedies += 1
        self._remedied = len(self.steps)

    def _may_plan(self) -> bool:
        return self.conduct.plan != "off" and self._plans <= self.limits.replans

    def _mistake(self, mistake: str) -> None:
        """No call in a reply: say so, and give up after some in a row."""
        acts = [step for step in self.steps if step.kind == "act"]
        past = [bool(step.reply.calls) for step in acts][-(_MISTAKES_IN_A_ROW - 1) :]
        if len(past) == _MISTAKES_IN_A_ROW - 1 and not any(past):
            self.ending = "format_errors"
        self._say(self.prompts.render("mistake", mistake=mistake))

    def _compact(self) -> Generator[Event, None, bool]:
        """Let older steps give way to a summary; False where that would save nothing."""
        before = self.session.used + self._unread
        messages, after = self._shorter("")
        if not self.opening or after >= before:
            return False
        summary = Reply(text="")
        if self.conduct.summary == "model" and before + self.limits.reply_tokens < self.window:
            self._say(self.prompts.render("reflection"))
            with contextlib.suppress(ContextFull):  # no room to ask in: the template has to do
                summary = yield from self._generate(Text())
            own, size = self._shorter(summary.text)
            messages, after = (own, size) if size < before else (messages, after)
        self.session.rewind(len(self.opening))
        self._unread = 0
        for message in messages[len(self.opening) :]:
            self._append(message)
        self.session.used = min(self.session.used, after)
        index = len(self.steps)
        reply = summary.model_copy(update={"text": messages[len(self.opening)].content})
        self.record.replied(index, reply, "compaction")
        self.record.compacted(messages)
        yield events.Compacted(step=index, before=before, after=after)
        yield self._finish_step(Step(index=index, kind="compaction", reply=reply, seconds=reply.seconds))
        return True

    def _shorter(self, summary: str) -> tuple[list[Message], int]:
        """The conversation with older steps summarised, as roomy as the window allows, and its tokens."""
        for size in SIZES:
            messages = compacted(
                self.opening, self.plan, self.steps, size=size, summary=summary, prompts=self.prompts
            )
            tokens = sum(self.count(message.content) + _MESSAGE for message in messages)
            if tokens <= self.limits.compact_at * self.window * 0.75:
                break
        return messages, tokens

    def _revise(self, sub_goals: Sequence[str]) -> None:
        """The model's own change of plan, by its ``plan`` tool."""
        self.plan = Plan(tuple(sub_goals))
        self.record.planned(self.plan.sub_goals)

    def _find(self, query: str) -> Toolbox:
        """Tools that fit a query and were not shown yet; from now on they may be called."""
        hidden = Toolbox(tool for tool in self.offered if tool.name not in self.tools)
        found = hidden.shown_for(query, at_most=_FOUND, pinned=())
        for tool in found:
            self.tools.add(tool)
        return found

    def _say(self, text: str) -> None:
        """Put a word of the runtime's own into the conversation, and on record."""
        message = Message(role="user", content=text)
        self._append(message)
        self.record.said(message)

    def _append(self, message: Message) -> None:
        self.session.append(message)
        self._unread += self.count(message.content) + _MESSAGE

    def _finish_step(self, step: Step) -> Event:
        self.steps.append(step)
        self.record.stepped(step)
        return events.Stepped(step=step)


def opening_messages(
    goal: str,
    prompts: Prompts | None = None,
    *,
    today: datetime.date | None = None,
    recalled: Sequence[object] = (),
    plan: bool = True,
) -> list[Message]:
    """What every run starts with: the system prompt, its date frozen for the run, and the goal.

    Args:
        goal: What is wanted, in the user's words.
        prompts: The prompt set of the run.
        today: The date that is told.
        recalled: Memories (with ``text`` and ``source``) to put beside the goal.
        plan: Whether a plan is asked for.
    """
    prompts = prompts or Prompts()
    date = (today or datetime.date.today()).isoformat()
    parts = [prompts.render("goal", goal=goal.strip())]
    parts += [prompts.render("recalled", memories=recalled)] if recalled else []
    parts += [prompts.render("plan")] if plan else []
    return [
        Message(role="system", content=prompts.render("system", date=date)),
        Message(role="user", content="\n\n".join(part for part in parts if part)),
    ]
