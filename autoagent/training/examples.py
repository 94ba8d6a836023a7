"""One run as training examples: the very tokens the model saw and sampled, never re-tokenised."""

from __future__ import annotations

import hashlib
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from autoagent.trajectory import Data, TokenTrace, Trajectory

NO_IDS = "had no token ids"
NOT_VERIFIED = "were not verified"
NOT_REFUTED = "were not refuted"
TOO_LONG = "were too long"
NOTHING_SAMPLED = "had nothing the model chose"
DAMAGED = "had a damaged token record"
REPEATED = "repeated another run token by token"
FROM_OUTSIDE = "from outside"  # begins a reason that is about a conversation of a file
REPLAYED = "replay"  # the source of an example of earlier training
_WERE = re.compile(r"\bwere\b")
VERIFIED_TOO = "were refuted, but repeated a verified run token by token"


class Example(Data):
    """One sequence as the model saw it. ``mask[i]`` is 1 where token ``i`` is a target of the loss."""

    ids: tuple[int, ...]
    mask: tuple[int, ...]
    run_id: str  # "" for data from outside
    goal: str  # hash, see goal_hash
    good: bool = True  # False: from a refuted run, what the model should not do
    source: str = ""  # of data from outside: file and line

    @property
    def trained(self) -> int:
        """How many tokens the loss counts; the first of a sequence is predicted from nothing, so never."""
        return sum(self.mask[1:])


def goal_hash(goal: str) -> str:
    """The identity of a goal: a hash of its words. Case and white space do not make another goal."""
    return hashlib.sha256(" ".join(goal.casefold().split()).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def counted(number: int, thing: str) -> str:
    """``1 run``, ``1,200 runs``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def left_out(refused: Mapping[str, int]) -> str:
    """``12 runs had no token ids, 1 run was not verified, 3 conversations from outside were too long``."""
    return ", ".join(
        f"1 {_kind(reason)} {_WERE.sub('was', reason)}"
        if count == 1
        else f"{count} {_kind(reason)}s {reason}"
        for reason, count in refused.items()
    )


def _kind(reason: str) -> str:
    return "conversation" if reason.startswith(FROM_OUTSIDE) else "run"


@dataclass
class Gathering:
    """Runs come in, distinct examples and reasons for refusal come out.

    Args:
        train_forced: Whether tokens the grammar forced are targets, too.
        max_length: Longest example, in tokens.
        end_ids: Ids that end a turn: targets even where forced, so that the model learns to stop.
        refused: Runs left out so far, by reason.
    """

    train_forced: bool
    max_length: int
    end_ids: frozenset[int]
    refused: Counter[str]
    good: list[Example] = field(default_factory=list)
    bad: list[Example] = field(default_factory=list)
    made_by: dict[str, str] = field(default_factory=dict)  # model version by run, several where it changed
    began: dict[str, float] = field(default_factory=dict)  # seconds since the epoch, by run
    wording: dict[str, str] = field(default_factory=dict)  # a goal in words, by its hash
    judged: list[tuple[str, bool]] = field(default_factory=list)  # goal's hash and outcome, of every run
    seen: set[bytes] = field(default_factory=set)
    seen_bad: set[bytes] = field(default_factory=set)

    def take(self, trajectory: Trajectory, *, good: bool = True) -> None:
        """Add a verified run, or with ``good=False`` a refuted one. All verified ones come first."""
        goal = goal_hash(trajectory.goal)
        if trajectory.verdict.status == ("verified" if good else "refuted"):
            self.judged.append((goal, good))
        made = self._examples(trajectory, goal, good)
        if isinstance(made, str):
            self.refused[made] += 1
            return
        self.wording.setdefault(goal, trajectory.goal)
        self.made_by[trajectory.run_id] = ", then ".join(trajectory.models.values())
        self.began[trajectory.run_id] = trajectory.started
        why = self.add(made)
        if why:
            self.refused[why] += 1

    def add(self, examples: Sequence[Example]) -> str:
        """Keep those that are new; why there is none among them, else ``""``."""
        known = [self._known(example) for example in examples]
        for example, why in zip(examples, known, strict=True):
            if not why:
                (self.good if example.good else self.bad).append(example)
        return "" if "" in known or not known else known[0]

    def add_outside(self, examples: Iterable[Example]) -> None:
        """Add examples that are no runs; what repeats another one is counted."""
        for example in examples:
            why = TOO_LONG if len(example.ids) > self.max_length else self.add([example])
            if why:
                self.refused[f"from outside {why}"] += 1

    def _known(self, example: Example) -> str:
        """Why an example is no news, else ``""``; from then on it is known."""
        digest = hashlib.sha256(array("i", example.ids).tobytes()).digest()
        known = self.seen if example.good else self.seen_bad
        if not example.good and digest in self.seen:
            return VERIFIED_TOO
        if digest in known:
            return REPEATED
        known.add(digest)
        return ""

    def _examples(self, trajectory: Trajectory, goal: str, good: bool) -> list[Example] | str:
        """The run's examples, or why it has none."""
        if trajectory.verdict.status != ("verified" if good else "refuted"):
            return NOT_VERIFIED if good else NOT_REFUTED
        spoken = [step for step in trajectory.steps if step.kind != "compaction" or step.reply.trace]
        traces = [step.reply.trace for step in spoken]  # a template that sums up has no tokens
        if not traces or any(trace is None or not trace.completion_ids for trace in traces):
            return NO_IDS
        try:
            segments = list(self._segments(trace for trace in traces if trace is not None))
        except _BadTrace:
            return DAMAGED
        if any(len(ids) > self.max_length for ids, _ in segments):
            return TOO_LONG
        made = [
            Example(ids=tuple(ids), mask=tuple(mask), run_id=trajectory.run_id, goal=goal, good=good)
            for ids, mask in segments
        ]
        return [example for example in made if example.trained] or NOTHING_SAMPLED

    def _segments(self, traces: Iterable[TokenTrace]) -> Iterator[tuple[list[int], list[int]]]:
        """The run's id sequence with its mask; a new one starts wherever the context was cut back.

        What a new segment keeps of the one before was trained there, in the same context: masked out.
        """
        ids: list[int] = []
        mask: list[int] = []
        for trace in traces:
            if trace.kept > len(ids) or len(trace.origins) != len(trace.completion_ids):
                raise _BadTrace
            if trace.kept < len(ids):
                yield ids, mask
                ids, mask = ids[: trace.kept], [0] * trace.kept
            ids = [*ids, *trace.prompt_ids, *trace.completion_ids]
            mask = [*mask, *[0] * len(trace.prompt_ids), *self._targets(trace)]
        yield ids, mask

    def _targets(self, trace: TokenTrace) -> list[int]:
        """1 for the completion's tokens that are trained."""
        return [
            int(origin == "s" or self.train_forced or token in self.end_ids)
            for token, origin in zip(trace.completion_ids, trace.origins, strict=True)
        ]


class _BadTrace(Exception):
    """A trace that contradicts the one before it."""
