"""From recorded runs to training examples: the very tokens the model saw and sampled, never re-tokenised."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pydantic import Field

from autoagent.config import Settings
from autoagent.trajectory import Data, TokenTrace, Trajectory


class DatasetConfig(Settings):
    """What is learned from a run."""

    train_forced: bool = Field(
        default=False, description="Also train on tokens the grammar forced, not only on sampled ones."
    )
    validation: float = Field(
        default=0.1, ge=0, lt=1, description="Share of the goals kept out of training to measure the loss on."
    )
    max_length: int = Field(default=4096, ge=8, description="Longer examples are left out, in tokens.")


class Example(Data):
    """One sequence as the model saw it. ``mask[i]`` is 1 where token ``i`` is a target of the loss."""

    ids: tuple[int, ...]
    mask: tuple[int, ...]
    run_id: str
    goal: str  # hash, see goal_hash

    @property
    def trained(self) -> int:
        """How many tokens the loss counts; the first of a sequence is predicted from nothing, so never."""
        return sum(self.mask[1:])


class DataSheet(Data):
    """What a model version was trained on, and what was left out and why."""

    runs: tuple[str, ...] = Field(default=(), description="Runs learned from: the way back to the data.")
    goals: tuple[str, ...] = Field(default=(), description="Hashes of the goals trained on; none may gate.")
    examples: int = 0
    tokens: int = 0
    trained_tokens: int = Field(default=0, description="Tokens the loss counts.")
    validation_examples: int = 0
    validation_goals: int = 0
    models: Mapping[str, int] = Field(default_factory=dict, description="Runs by the version that made them.")
    refused: Mapping[str, int] = Field(default_factory=dict, description="Runs left out, by reason.")
    hash: str = Field(default="", description="SHA-256 of all training ids and masks, in order.")

    def summary(self) -> str:
        """One line for people: "31 runs, 28 goals, 9,120 tokens, 2,204 of them trained; left out: …"."""
        line = (
            f"{len(self.runs)} runs, {len(self.goals)} goals, {self.tokens:,} tokens, "
            f"{self.trained_tokens:,} of them trained"
        )
        return f"{line}; left out: {left_out(self.refused)}" if self.refused else line


@dataclass(frozen=True)
class Dataset:
    """Examples to train on, examples of other goals to measure on, and the sheet on where they are from."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    sheet: DataSheet


NO_IDS = "had no token ids"
NOT_VERIFIED = "were not verified"
TOO_LONG = "were too long"
NOTHING_SAMPLED = "had nothing the model chose"
DAMAGED = "had a damaged token record"
REPEATED = "repeated another run token by token"


def left_out(refused: Mapping[str, int]) -> str:
    """``12 runs had no token ids, 3 runs were not verified``."""
    counted = (
        (f"{count} run" if count == 1 else f"{count} runs", reason) for reason, count in refused.items()
    )
    return ", ".join(f"{runs} {reason}" for runs, reason in counted)


def goal_hash(goal: str) -> str:
    """The identity of a goal: a hash of its words. Case and white space do not make another goal."""
    return hashlib.sha256(" ".join(goal.casefold().split()).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def build_dataset(
    trajectories: Iterable[Trajectory],
    config: DatasetConfig | None = None,
    *,
    end_ids: Collection[int] = (),
    refused: Mapping[str, int] | None = None,
) -> Dataset:
    """Turn verified runs into examples; what cannot or must not train is counted in the sheet, by reason.

    Args:
        trajectories: Recorded runs; only verified ones are learned from.
        config: What is learned from a run.
        end_ids: Ids that end a turn: trained even where forced, so that the model learns to stop.
        refused: Runs the caller has left out already, by reason, for the sheet.
    """
    config = config or DatasetConfig()
    gathering = _Gathering(config, frozenset(end_ids), Counter(refused or {}))
    for trajectory in trajectories:
        gathering.take(trajectory)
    held_out = _validation_goals({example.goal for example in gathering.examples}, config.validation)
    train = tuple(example for example in gathering.examples if example.goal not in held_out)
    validation = tuple(example for example in gathering.examples if example.goal in held_out)
    runs = tuple(dict.fromkeys(example.run_id for example in train))
    sheet = DataSheet(
        runs=runs,
        goals=tuple(sorted({example.goal for example in train})),
        examples=len(train),
        tokens=sum(len(example.ids) for example in train),
        trained_tokens=sum(example.trained for example in train),
        validation_examples=len(validation),
        validation_goals=len(held_out),
        models=dict(Counter(gathering.made_by[run] for run in runs)),
        refused={reason: count for reason, count in gathering.refused.items() if count},
        hash=_content_hash(train),
    )
    return Dataset(train, validation, sheet)


@dataclass
class _Gathering:
    """Runs come in, distinct examples and reasons for refusal come out."""

    config: DatasetConfig
    end_ids: frozenset[int]
    refused: Counter[str]
    examples: list[Example] = field(default_factory=list)
    made_by: dict[str, str] = field(default_factory=dict)  # model version by run
    seen: set[bytes] = field(default_factory=set)

    def take(self, trajectory: Trajectory) -> None:
        made = self._examples(trajectory)
        if isinstance(made, str):
            self.refused[made] += 1
            return
        new = [example for example in made if self._is_new(example)]
        if not new:
            self.refused[REPEATED] += 1
        self.examples += new
        self.made_by[trajectory.run_id] = trajectory.model

    def _examples(self, trajectory: Trajectory) -> list[Example] | str:
        """The run's examples, or why it has none."""
        if trajectory.verdict.status != "verified":
            return NOT_VERIFIED
        spoken = [step for step in trajectory.steps if step.kind != "compaction" or step.reply.trace]
        traces = [step.reply.trace for step in spoken]  # a template that sums up has no tokens
        if not traces or any(trace is None or not trace.completion_ids for trace in traces):
            return NO_IDS
        try:
            segments = list(self._segments(trace for trace in traces if trace is not None))
        except _BadTrace:
            return DAMAGED
        if any(len(ids) > self.config.max_length for ids, _ in segments):
            return TOO_LONG
        run, goal = trajectory.run_id, goal_hash(trajectory.goal)
        made = [Example(ids=tuple(ids), mask=tuple(mask), run_id=run, goal=goal) for ids, mask in segments]
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
            int(origin == "s" or self.config.train_forced or token in self.end_ids)
            for token, origin in zip(trace.completion_ids, trace.origins, strict=True)
        ]

    def _is_new(self, example: Example) -> bool:
        digest = hashlib.sha256(array("i", example.ids).tobytes()).digest()
        fresh = digest not in self.seen
        self.seen.add(digest)
        return fresh


class _BadTrace(Exception):
    """A trace that contradicts the one before it."""


def _validation_goals(goals: Collection[str], share: float) -> frozenset[str]:
    """The goals kept out of training: chosen by their hash alone, so the same in every data set.

    None when that would leave nothing to train on.
    """
    chosen = frozenset(goal for goal in goals if int(goal, 16) < share * 16 ** len(goal))
    return chosen if len(chosen) < len(goals) else frozenset()


def _content_hash(examples: Iterable[Example]) -> str:
    content = hashlib.sha256()
    for example in examples:
        ids, mask = ",".join(map(str, example.ids)), ",".join(map(str, example.mask))
        content.update(f"{ids};{mask}\n".encode("ascii"))
    return content.hexdigest()
