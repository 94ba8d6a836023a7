"""What happens in a run, as it happens. Screen, REPL, JSON stream and tests are all consumers of these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from autoagent.trajectory import Data, Ending, Observation, Step, ToolCall, Trajectory, Verdict


class Started(Data):
    type: Literal["started"] = "started"
    run_id: str
    goal: str
    model: str
    tools: tuple[str, ...]
    resumed: bool = False
    window: int = 0  # of the model, in tokens


class Planned(Data):
    """The plan was made or changed; ``done`` are the numbers (from 1) of ticked sub-goals."""

    type: Literal["plan"] = "plan"
    sub_goals: tuple[str, ...]
    done: tuple[int, ...] = ()


class Token(Data):
    type: Literal["token"] = "token"
    text: str
    reasoning: bool = False  # thinking, kept apart from what the model says


class Called(Data):
    type: Literal["call"] = "call"
    step: int
    call: ToolCall


class Progress(Data):
    """How far a tool at work is, as it reports itself; only tools that take long do, a few times a second."""

    type: Literal["progress"] = "progress"
    step: int = 0
    tool: str = ""
    stage: str  # what it is doing now, in a few words
    done: int = 0  # of ``total``; total 0: nobody knows
    total: int = 0
    seconds_left: float | None = None  # of this stage
    figures: Mapping[str, float] = Field(default_factory=dict)  # what is worth watching, such as the loss


class ApprovalWanted(Data):
    """A call's effects needed consent, and how it was decided; the answer comes through ``approve``."""

    type: Literal["approval"] = "approval"
    step: int
    call: ToolCall
    effects: tuple[str, ...]
    granted: bool
    reason: str = ""  # why it was asked, where effects alone do not tell


class Observed(Data):
    type: Literal["observation"] = "observation"
    step: int
    observation: Observation


class Stepped(Data):
    type: Literal["step"] = "step"
    step: Step


class Recalled(Data):
    """Memories that were put before the model, best first."""

    type: Literal["recall"] = "recall"
    texts: tuple[str, ...]


class Compacted(Data):
    """Older messages gave way to a summary; ``before`` and ``after`` are tokens of the window in use."""

    type: Literal["compaction"] = "compaction"
    step: int
    before: int
    after: int


class Nudged(Data):
    """The run was getting nowhere, or was told something: ``why`` in one line, and what was done about it."""

    type: Literal["nudge"] = "nudge"
    why: str
    remedy: Literal["nudge", "replan", "retry", "feedback"]


class Note(Data):
    """Something the user should know, in one line, such as why the window is full."""

    type: Literal["note"] = "note"
    text: str


class ModelChanged(Data):
    """From step ``step`` on another model version answers, in the same conversation."""

    type: Literal["model"] = "model"
    step: int
    model: str
    window: int = 0  # in tokens


class Ended(Data):
    type: Literal["ending"] = "ending"
    ending: Ending
    answer: str | None
    error: str = ""


class Judged(Data):
    type: Literal["verdict"] = "verdict"
    verdict: Verdict


class Closed(Data):
    """Always the last event: the whole run."""

    type: Literal["closed"] = "closed"
    trajectory: Trajectory


Event = (
    Started
    | Planned
    | Token
    | Called
    | Progress
    | ApprovalWanted
    | Observed
    | Recalled
    | Compacted
    | Nudged
    | Stepped
    | ModelChanged
    | Note
    | Ended
    | Judged
    | Closed
)
