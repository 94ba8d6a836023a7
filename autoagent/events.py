"""What happens in a run, as it happens. Screen, REPL, JSON stream and tests are all consumers of these."""

from __future__ import annotations

from typing import Literal

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


class ApprovalWanted(Data):
    """A call's effects needed consent, and how it was decided; the answer comes through ``approve``."""

    type: Literal["approval"] = "approval"
    step: int
    call: ToolCall
    effects: tuple[str, ...]
    granted: bool


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
    | ApprovalWanted
    | Observed
    | Recalled
    | Compacted
    | Nudged
    | Stepped
    | Note
    | Ended
    | Judged
    | Closed
)
