"""The data sheet: what a model version was trained on, where it is from, and what speaks against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import Field

from autoagent.training.examples import Example, counted, left_out
from autoagent.training.solved import Solved
from autoagent.trajectory import Data


class Part(Data):
    """One part of the data in numbers."""

    goals: int = 0
    runs: int = Field(default=0, description="Verified and refuted ones.")
    examples: int = Field(default=0, description="Sequences to learn from.")
    tokens: int = 0
    trained_tokens: int = Field(default=0, description="Tokens the loss counts.")
    negatives: int = Field(default=0, description="Sequences of refuted runs.")
    negative_tokens: int = 0
    negative_trained_tokens: int = 0
    pairs: int = Field(default=0, description="Chosen and rejected sequences of one goal.")

    @classmethod
    def of(cls, good: Sequence[Example], bad: Sequence[Example], pairs: int) -> Part:
        every = [*good, *bad]
        return cls(
            goals=len({example.goal for example in every}),
            runs=len({example.run_id for example in every} - {""}),
            examples=len(good),
            tokens=sum(len(example.ids) for example in good),
            trained_tokens=sum(example.trained for example in good),
            negatives=len(bad),
            negative_tokens=sum(len(example.ids) for example in bad),
            negative_trained_tokens=sum(example.trained for example in bad),
            pairs=pairs,
        )


class DataSheet(Data):
    """What a model version was trained on, and what was left out and why.

    Fields that came later have defaults, so that the sheets of older versions are still read.
    """

    runs: tuple[str, ...] = Field(default=(), description="Runs learned from: the way back to the data.")
    negative_runs: tuple[str, ...] = Field(default=(), description="Refuted runs learned from.")
    goals: tuple[str, ...] = Field(default=(), description="Hashes of the goals trained on; none may gate.")
    examples: int = 0
    tokens: int = 0
    trained_tokens: int = Field(default=0, description="Tokens the loss counts.")
    validation_examples: int = 0
    validation_goals: int = 0
    train: Part = Part()
    validation: Part = Part()
    test: Part = Part()
    models: Mapping[str, int] = Field(default_factory=dict, description="Runs by the version that made them.")
    suites: Mapping[str, int] = Field(
        default_factory=dict, description='Runs by suite; those outside any under "".'
    )
    tags: Mapping[str, int] = Field(default_factory=dict, description="Runs by tag.")
    outside: Mapping[str, int] = Field(
        default_factory=dict, description="Examples that are no runs, by the file they came from."
    )
    replayed: int = Field(default=0, description="Demonstrations of earlier training mixed in.")
    replayed_tokens: int = 0
    first: float | None = Field(
        default=None, description="When the oldest run began, in seconds since the epoch."
    )
    last: float | None = Field(
        default=None, description="When the newest run began, in seconds since the epoch."
    )
    solved: Solved = Field(default=Solved(), description="Goals reached always, sometimes, never.")
    refused: Mapping[str, int] = Field(default_factory=dict, description="Runs left out, by reason.")
    warnings: tuple[str, ...] = Field(default=(), description="What speaks against this data, a line each.")
    hash: str = Field(default="", description="SHA-256 of all ids and masks of all parts, in order.")

    def remarks(self) -> tuple[str, ...]:
        """What should be known before anybody learns from it, a line each."""
        return (*self.warnings, *([self.solved.sentence()] if self.solved.teaches is False else []))

    def summary(self) -> str:
        """One line for people: "31 runs, 28 goals, 9,120 tokens, 2,204 of them trained; left out: …"."""
        line = (
            f"{counted(len(self.runs), 'run')}, {counted(len(self.goals), 'goal')}, {self.tokens:,} tokens, "
            f"{self.trained_tokens:,} of them trained"
        )
        if self.negative_runs:
            negatives = counted(len(self.negative_runs), "refuted run")
            line += f", {negatives}, {counted(self.train.pairs, 'pair')}"
        if self.outside:
            line += f", {counted(sum(self.outside.values()), 'example')} from outside"
        return f"{line}; left out: {left_out(self.refused)}" if self.refused else line
