"""What a run is made of: messages, calls, replies, steps. Plain data, no behaviour that touches the world."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

Ending = Literal[
    "finished", "declined", "max_steps", "max_tokens", "timeout",
    "stuck", "format_errors", "denied", "interrupted", "error",
]  # fmt: skip


StepKind = Literal["plan", "act", "compaction"]


By = Literal["policy", "user", "yes"]
"""Who decided about a call: the policy (nobody could be asked), a person, or ``--yes`` given beforehand."""

LATEST = 1e11  # seconds since the epoch that a run may begin at: the year 5138, which all clocks can show
MODELS = "models"  # in the settings of a run: versions that took over, by the step they began with


class Data(BaseModel):
    """Base of the record's value types: immutable and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ToolCall(Data):
    """One action the model asked for."""

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class Message(Data):
    """One chat message, in the roles every chat template knows."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    calls: tuple[ToolCall, ...] = ()
    name: str | None = None  # of the tool that answered, for role "tool"

    def for_template(self) -> dict[str, Any]:
        """The message as ``apply_chat_template`` takes it (OpenAI shape, arguments as an object)."""
        shaped: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.calls:
            shaped["tool_calls"] = [
                {"type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in self.calls
            ]
        if self.name is not None:
            shaped["name"] = self.name
        return shaped


class Counts(Data):
    """Tokens of one reply, by what they cost."""

    cached: int = 0  # context tokens whose keys and values were kept from before
    prefilled: int = 0  # context tokens encoded for this reply
    forced: int = 0  # completion tokens the grammar left no choice about
    sampled: int = 0  # completion tokens the model chose

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            cached=self.cached + other.cached,
            prefilled=self.prefilled + other.prefilled,
            forced=self.forced + other.forced,
            sampled=self.sampled + other.sampled,
        )

    @property
    def spent(self) -> int:
        """Tokens that count against ``Limits.max_tokens``."""
        return self.prefilled + self.forced + self.sampled


class TokenTrace(Data):
    """The exact token ids one reply saw and made. Absent for models that do not tell.

    The context of the reply is ``context_before[:kept] + prompt_ids``, where ``context_before`` is the
    context plus completion of the reply before (empty for the first); ``kept`` is smaller than its length
    only where the chat template did not extend its own prefix.
    """

    kept: int = 0
    prompt_ids: tuple[int, ...] = ()
    completion_ids: tuple[int, ...] = ()
    origins: str = ""  # one letter a completion token: "s" sampled, "f" forced by the grammar
    logprobs: tuple[float, ...] = ()  # natural log, of the model's own distribution
    masked_logprobs: tuple[float, ...] = ()  # natural log, after the grammar's mask (0.0 for forced tokens)


class Reply(Data):
    """What one model call produced."""

    text: str  # what stands outside reasoning and calls
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    value: Any = None  # the parsed object, for ``expect=Json``
    complete: bool = True  # False: cut at max_tokens before the grammar (or the turn) ended
    counts: Counts = Counts()
    trace: TokenTrace | None = None
    seconds: float = 0.0

    def as_message(self) -> Message:
        return Message(role="assistant", content=self.text, calls=self.calls)


class Permission(Data):
    """How it was decided about a call whose effects were not simply allowed."""

    effects: tuple[str, ...]
    granted: bool
    by: By
    scope: Literal["once", "run", "always"] = "once"
    feedback: str = ""  # what the user said with a no
    reason: str = ""  # why it was asked, where effects alone do not tell: a rule, a taint


class Origin(Data):
    """Where an observation came from, besides its tool."""

    effects: tuple[str, ...] = ()  # those the tool declares
    place: str = ""  # the host or path it was about
    outside: str = ""  # where it is from, when that is outside: it tainted the run


class Observation(Data):
    """What one action returned, as the model sees it."""

    call: ToolCall
    content: str
    ok: bool = True
    seconds: float = 0.0
    mutated: bool = False  # the tool declared a write or execute effect
    detail: str = ""  # for people: a traceback, a denial, what was cut
    kept: str = ""  # where the agent can read all of it, when it was cut
    child: str = ""  # the run it delegated to
    permission: Permission | None = None
    origin: Origin | None = None  # None: nothing was carried out, or an older version recorded it


class Step(Data):
    """One model call and what followed.

    Step 0 is the plan. A later plan is a re-planning; a compaction is a summary that took the place of older
    messages (its reply has no tokens where a template wrote it).
    """

    index: int
    kind: StepKind = "act"
    reply: Reply
    observations: tuple[Observation, ...] = ()
    sub_goal: int | None = None  # number (from 1) of the sub-goal this step says it serves
    recalled: tuple[str, ...] = ()  # ids of the memories put before the model ahead of this step
    ending: Ending | None = None
    seconds: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether the step came to its end: every call has its observation, or an ending cut it off."""
        return self.ending is not None or len(self.observations) >= len(self.reply.calls)

    @property
    def mutated(self) -> bool:
        """Whether an action of this step may have changed the workspace."""
        return any(observation.mutated for observation in self.observations)


class Verdict(Data):
    """What is known about the outcome; never the same as "the model said it finished"."""

    status: Literal["verified", "refuted", "unverified"] = "unverified"
    score: float | None = Field(default=None, ge=0, le=1)
    reason: str = ""
    by: Literal["check", "user"] | None = None


class Trajectory(Data):
    """A whole run (episode), as recorded."""

    run_id: str
    goal: str
    model: str  # version hash
    plan: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    answer: str | None = None
    ending: Ending | None = None
    verdict: Verdict = Verdict()
    seed: int = 0
    started: float = Field(default=0.0, ge=0, le=LATEST)  # seconds since the epoch
    seconds: float = 0.0
    tools: tuple[str, ...] = ()  # names shown to the model, in the order shown
    error: str = ""  # traceback of the fault behind ending "error"
    parent: str | None = None  # the run it was delegated by, or branched from
    settings: dict[str, Any] = Field(default_factory=dict)  # what it ran with, enough to resume it

    @property
    def acts(self) -> tuple[Step, ...]:
        """The steps that count: model calls that could act."""
        return tuple(step for step in self.steps if step.kind == "act")

    @property
    def models(self) -> dict[int, str]:
        """Version hashes by the step from which on each answered; one entry where it was always the same."""
        later = self.settings.get(MODELS) or {}
        return {0: self.model, **{int(step): str(model) for step, model in later.items()}}

    def answered_by(self, step: int) -> str:
        """Version hash of the model that answered in a step."""
        return next(model for first, model in reversed(self.models.items()) if first <= step)

    @property
    def tainted(self) -> bool:
        """Whether it has read anything that came from outside, itself or by what it was told at first."""
        seen = (each.origin for step in self.steps for each in step.observations)
        return bool(self.settings.get("outside")) or any(each and each.outside for each in seen)

    @property
    def counts(self) -> Counts:
        return sum((step.reply.counts for step in self.steps), Counts())


class Record(Protocol):
    """Where the loop writes, before anything else can go wrong. The store implements it; tests need not."""

    def replied(self, index: int, reply: Reply, kind: StepKind = "act") -> None: ...  # before its actions run
    def observed(self, index: int, number: int, observation: Observation) -> None: ...  # after each action
    def said(self, message: Message) -> None: ...  # appended by us after a reply: a nudge, feedback
    def planned(self, plan: Sequence[str]) -> None: ...
    def compacted(self, messages: Sequence[Message]) -> None: ...  # the whole conversation from now on
    def stepped(self, step: Step) -> None: ...


class NoRecord:
    """A record that keeps nothing."""

    def replied(self, index: int, reply: Reply, kind: StepKind = "act") -> None: ...
    def observed(self, index: int, number: int, observation: Observation) -> None: ...
    def said(self, message: Message) -> None: ...
    def planned(self, plan: Sequence[str]) -> None: ...
    def compacted(self, messages: Sequence[Message]) -> None: ...
    def stepped(self, step: Step) -> None: ...
