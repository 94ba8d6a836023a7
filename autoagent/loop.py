"""Plan, act, observe: the whole agent in one file. Every other module is an argument of this one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace

from autoagent import events
from autoagent.acting import Actor, Keep
from autoagent.config import Conduct, Limits, Sampling
from autoagent.conversation import Conversation, OutOfBudget
from autoagent.errors import ContextFull
from autoagent.events import Event
from autoagent.memory import Recalled
from autoagent.models.protocol import Calls, Expect, Json, Model, Session
from autoagent.plan import SCHEMA, Plan, parsed
from autoagent.prompts import Prompts
from autoagent.security import Guard, Policy, Secrets
from autoagent.stuck import failed_tool, failures_in_a_row, only_talk, sign_of_circling
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

Edit = Callable[[tuple[str, ...]], Sequence[str]]
Steer = Callable[[], str | None]
TakeOver = Callable[[Session, int], "tuple[Model, Session] | None"]


@dataclass
class Loop:
    """One goal, worked on until there is an ending. The session already holds ``opening``.

    Args:
        session: The conversation with the model.
        tools: Those shown to it; ``find_tools`` adds to them from ``offered``.
        held: All messages the session holds, where those are more than ``opening``.
        keep: Puts a text that is too long to show where the agent can read it.
        window: Of the model, in tokens; 0: unknown, then nothing is compacted ahead of time.
        count: Tokens in a text.
        edit_plan: Asked for the plan to follow, with ``Conduct(plan="ask")``.
        recall: Asked for memories that fit the reason of a new plan.
        steer: Asked before each step for a word of the user's, which leads to a new plan.
        take_over: Asked after each step, with the session and the number of the next step, for a model that
            is to go on instead and its session with the same past.
        guard: Knows what came from outside, and what the user said; a helper has its parent's.
        secrets: What neither the model nor the record may hold.
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
    held: Sequence[Message] = ()
    keep: Keep | None = None
    window: int = 0
    count: Callable[[str], int] = len
    edit_plan: Edit | None = None
    recall: Callable[[str], Sequence[Recalled]] | None = None
    steer: Steer | None = None
    take_over: TakeOver | None = None
    guard: Guard = field(default_factory=Guard)
    secrets: Secrets | None = None

    recalled: tuple[str, ...] = ()  # ids of the memories put before the model so far, at first in ``opening``
    plan: Plan = field(default_factory=lambda: Plan(()))
    steps: list[Step] = field(default_factory=list)
    cut_short: Step | None = None
    ending: Ending | None = None
    answer: str | None = None

    def __post_init__(self) -> None:
        own = {"plan": self._revise, "find_tools": self._find}
        services = {**self.context.services, **own}
        self.context = replace(
            self.context,
            services=services,
            guard=self.guard,
            hides=self.policy.hides,
            left=lambda: self.actor.deadline.left,
        )
        self.actor = Actor(
            self.tools,
            self.context,
            self.policy,
            self.prompts,
            self.limits,
            self.keep,
            self.conduct.dry_run,
            guard=self.guard,
            secrets=self.secrets,
        )
        self.talk = Conversation(
            self.session,
            self.record,
            self.prompts,
            self.limits,
            self.sampling,
            self.conduct,
            self.opening,
            self.window,
            self.count,
            self.actor.deadline,
            self.held,
            self.secrets,
        )
        self._remedies = self._remedied = 0  # against going in circles: how many, and after which step
        self._plans = 0

    def events(self) -> Iterator[Event]:
        """Work on the goal and yield what happens, as it happens. ``ending`` is set when this is exhausted.

        An exception that is no ``Recoverable`` passes through: a fault of the program or of a custom tool.
        """
        if self.actor.deadline.at == math.inf:
            self.actor.deadline.at = time.monotonic() + self.limits.timeout
        try:
            if self.cut_short is not None:
                yield from self._catch_up(self.cut_short)
            if not self.steps and self.conduct.plan != "off":
                yield from self._make_plan()
            while self.ending is None:
                yield from self._listen()
                yield from self._step()
                yield from self._change_model()
                yield from self._look_around()
        except OutOfBudget as out:
            self.ending = out.ending
        except ContextFull as full:
            self.ending = "max_tokens"
            yield events.Note(text=str(full))

    def take_up(self, past: Trajectory, last: Message) -> None:
        """Begin where a recorded run broke off; ``last`` is the last message of its conversation.

        What it has used does not count against the limits.
        """
        self.steps = list(past.steps)
        for seen in (each for step in past.steps for each in step.observations):
            self.actor.remember(seen)
        plans = [step.reply.value for step in self.steps if step.kind == "plan"]
        self.plan = Plan(past.plan or parsed(plans[-1] if plans else None))
        if self.steps and not self.steps[-1].whole:
            self.cut_short = self.steps.pop()
        for step in self.steps[_planned_at(self.steps) :]:
            self.plan.serve(step.reply.text)
        self.recalled = tuple(dict.fromkeys(each for step in self.steps for each in step.recalled))
        acts = sum(step.kind == "act" for step in self.steps)
        self.talk.spent = past.counts.spent
        self.limits = self.talk.limits = self.limits.model_copy(
            update={
                "max_steps": self.limits.max_steps + acts,
                "max_tokens": self.limits.max_tokens + self.talk.spent,
            }
        )
        self._remedied, self._plans = len(self.steps), sum(step.kind == "plan" for step in self.steps)
        if self.cut_short is None and last.role == "assistant":  # broke off before we said what follows
            self.talk.say(self.prompts.render("act"))

    def hidden(self, text: str) -> str:
        """The text without the secrets in it."""
        return self.secrets.redacted(text) if self.secrets else text

    def lend(self, name: str, service: Callable[..., object]) -> None:
        """Let tools reach a service that was made for this loop."""
        self.context = replace(self.context, services={**self.context.services, name: service})
        self.actor.context = self.context

    def seconds_left(self) -> float:
        return self.actor.deadline.left

    def go_on(self, reason: str) -> Event:
        """Take back the ending: the answer was checked and is not right."""
        self.ending = self.answer = None
        self.plan.finished = False
        for seen in self.steps[-1].observations:  # every call has its answer in the conversation
            self.talk.append(Message(role="tool", content=seen.content, name=seen.call.name))
        self.talk.say(self.prompts.render("finish_refused", reason=reason))
        return events.Nudged(why=reason, remedy="retry")

    def _make_plan(self, why: str = "") -> Iterator[Event]:
        """The first plan is step 0. A plan counts in tokens and time, not in ``max_steps``."""
        began, found = time.monotonic(), self.recalled
        if why:
            told, found = self._remembered(why)
            if told:
                yield events.Recalled(texts=tuple(each.text for each in told))
            parts = [self.prompts.render("recalled", memories=told)] if told else []
            self.talk.say("\n\n".join([*parts, self.prompts.render("replan", why=why)]))
        reply = yield from self._reply(Json(SCHEMA), kind="plan")
        sub_goals = parsed(reply.value)
        wanted = sub_goals
        if self.conduct.plan == "ask" and self.edit_plan is not None:
            yield events.Planned(sub_goals=sub_goals)
            with self.actor.deadline.waiting():
                wanted = tuple(map(self.hidden, self.edit_plan(sub_goals)))
            for own in (each for each in wanted if each not in sub_goals):
                self.guard.user_says(own)
        self.plan = Plan(wanted)
        self._plans += 1
        self.record.planned(wanted)
        yield events.Planned(sub_goals=wanted)
        changed = wanted != sub_goals
        numbered = " ".join(f"{number}. {sub_goal}" for number, sub_goal in enumerate(wanted, start=1))
        begin = self.prompts.render("act")
        if changed:
            begin = self.prompts.render("feedback", feedback=f"follow this plan: {numbered}") + f"\n{begin}"
        step = Step(
            index=len(self.steps),
            kind="plan",
            reply=reply,
            recalled=found,
            seconds=time.monotonic() - began,
        )
        yield self._finish_step(step)
        self.talk.say(begin)

    def _remembered(self, why: str) -> tuple[list[Recalled], tuple[str, ...]]:
        """Memories that fit and were not put before the model yet, and their ids."""
        current = self.plan.sub_goals[self.plan.current - 1] if self.plan.current else ""
        found = self.recall(f"{current} {why}".strip()) if self.recall else ()
        told = [each for each in found if each.id not in self.recalled]
        ids = tuple(each.id for each in told)
        self.recalled += ids
        return told, ids

    def _step(self) -> Iterator[Event]:
        if sum(step.kind == "act" for step in self.steps) >= self.limits.max_steps:
            raise OutOfBudget("max_steps")
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
            recalled=() if self.steps else self.recalled,
            ending=self.ending,
            seconds=time.monotonic() - began,
        )
        yield self._finish_step(step)

    def _change_model(self) -> Iterator[Event]:
        """The conversation goes on with a model that was put in use meanwhile; the old one is let go."""
        found = self.take_over(self.session, len(self.steps)) if self.take_over and not self.ending else None
        if found is None:
            return
        model, self.session = found
        self.talk.go_on_with(model, self.session)
        self.window, self.count = model.window, model.count
        yield events.ModelChanged(step=len(self.steps), model=model.version, window=model.window)

    def _reply(self, expect: Expect, kind: StepKind = "act") -> Generator[Event, None, Reply]:
        """One model call on record, after making room for it where the window is nearly full."""
        if self.talk.full:
            yield from self._compact(forced=False)
        try:
            reply = yield from self.talk.reply(expect)
        except ContextFull:
            if not (yield from self._compact(forced=True)):
                raise
            reply = yield from self.talk.reply(expect)
        self.record.replied(len(self.steps), reply, kind)
        return reply

    def _act(
        self, index: int, reply: Reply, done: Sequence[Observation] = (), *, resumed: bool = False
    ) -> Generator[Event, None, tuple[Observation, ...]]:
        """Carry out the reply's calls in order; the rest are skipped at the first failure."""
        if not reply.calls:
            cut = f"the reply was cut at {self.limits.reply_tokens} tokens"
            self._mistake(reply, "there was no call in the reply" if reply.complete else cut)
            return ()
        seen = list(done)
        meant = self.talk.meant or reply.calls  # what was said before an interruption is on record only
        for number, call in enumerate(reply.calls[len(done) :], start=len(done)):
            yield events.Called(step=index, call=call)
            if self.ending is not None:
                observation = self.actor.skipped(call, "the run has ended")
            elif number and not seen[-1].ok:
                observation = self.actor.skipped(call, "an earlier call of the same reply failed")
            elif number and call.name in ("finish", "decline"):
                observation = self.actor.skipped(call, f"{call.name} has to stand alone")
            elif resumed and number == len(done) and not self.actor.repeatable(call):
                observation = self.actor.unknown(call)
            elif resumed and self.actor.lacks(call):
                observation = self.actor.skipped(call, "a secret in it is not known any more")
            else:
                observation = yield from self._carry_out(index, number, call, meant[number])
            self.record.observed(index, number, observation)
            seen.append(observation)
            yield events.Observed(step=index, observation=observation)
        if self.ending is None:
            for each in seen[len(done) :]:
                self.talk.append(Message(role="tool", content=each.content, name=each.call.name))
        return tuple(seen)

    def _carry_out(
        self, index: int, number: int, call: ToolCall, meant: ToolCall
    ) -> Generator[Event, None, Observation]:
        """Run one call and read what it means for plan and ending."""
        before = self.plan
        observation = yield from self.actor.carry_out(index, number, call, meant)
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
        with self.actor.deadline.waiting():
            word = self.hidden((self.steer() if self.steer else None) or "")
        if word.strip():
            self.guard.user_says(word)
            yield events.Nudged(why=word.strip(), remedy="feedback")
            told = self.prompts.render("feedback", feedback=word.strip())
            if self._may_plan():
                yield from self._make_plan(told)
            else:
                self.talk.say(told)

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
            self.talk.say(self.prompts.render("nudge", sign=sign))
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

    def _mistake(self, reply: Reply, mistake: str) -> None:
        """No call in a reply: say so. Some in a row end the run; only talking is going in circles."""
        acts = [step.reply for step in self.steps[self._remedied :] if step.kind == "act"]
        latest = [*acts, reply][-_MISTAKES_IN_A_ROW:]
        invalid = not any(each.calls for each in latest) and not all(only_talk(each) for each in latest)
        if len(latest) == _MISTAKES_IN_A_ROW and invalid:
            self.ending = "format_errors"
        self.talk.say(self.prompts.render("mistake", mistake=mistake))

    def _compact(self, *, forced: bool) -> Generator[Event, None, bool]:
        """Let older steps give way to a summary, which is a step; False where that would save nothing."""
        summary = yield from self.talk.compact(self.plan, self.steps, forced=forced)
        if summary is None:
            return False
        yield self._finish_step(
            Step(index=len(self.steps), kind="compaction", reply=summary, seconds=summary.seconds)
        )
        return True

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

    def _finish_step(self, step: Step) -> Event:
        self.steps.append(step)
        self.record.stepped(step)
        return events.Stepped(step=step)


def _planned_at(steps: Sequence[Step]) -> int:
    """The place after the step that made the latest plan."""
    places = [
        place
        for place, step in enumerate(steps, start=1)
        if step.kind == "plan" or any(seen.ok and seen.call.name == "plan" for seen in step.observations)
    ]
    return max(places, default=0)
