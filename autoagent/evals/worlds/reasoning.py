"""Tasks of reasoning-gym: a question, and an answer that the task's own scorer judges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

from autoagent.errors import UsageError
from autoagent.evals.worlds.library import check_name, library


class Questions(Protocol):
    """A data set of reasoning-gym, as far as it is used."""

    def __getitem__(self, number: int, /) -> dict[str, Any]:
        """A question with what its scorer needs."""

    def score_answer(self, answer: str | None, entry: dict[str, Any]) -> float:
        """How right an answer is, 0..1."""


class Puzzle:
    """One question. The episode is over with the answer; the reward is the scorer's, 1 for right.

    Args:
        questions: Makes a data set of a seed; its first question is the one that is put.
    """

    actions: Literal["answer"] = "answer"
    enough = 1.0

    def __init__(self, questions: Callable[[int], Questions]) -> None:
        self._make = questions

    def reset(self, *, seed: int) -> tuple[str, Mapping[str, Any]]:
        self._questions = self._make(seed)
        self._entry = self._questions[0]
        return str(self._entry["question"]), {}

    def step(self, action: str) -> tuple[str, float, bool, bool, Mapping[str, Any]]:
        score = self._questions.score_answer(answer=action.strip(), entry=self._entry)
        return "", float(score), True, False, {}

    def close(self) -> None: ...


def reasoning_gym(task: str, seed: int) -> Questions:
    """The first question of a task, with the task's default settings."""
    questions: Questions = library("reasoning_gym").create_dataset(task, seed=seed, size=1)
    return questions


def check_puzzle(task: str) -> None:
    """Refuse a task that does not exist.

    Raises:
        UsageError: it does not, cannot be made with its default settings, or reasoning-gym is not installed.
    """
    library("reasoning_gym")
    check_name(task, library("reasoning_gym.factory").DATASETS, "task of reasoning_gym")
    try:
        reasoning_gym(task, 0)[0]
    except Exception as problem:  # some need settings
        reason = str(problem).partition("\n")[0] or type(problem).__name__
        raise UsageError(f"reasoning_gym/{task} cannot be made with its default settings: {reason}") from None
