"""The built-in suites: every goal family, in words, names and values that training never saw."""

from __future__ import annotations

import random

from autoagent.evals.suite import Suite
from autoagent.evals.task import Task
from autoagent.nano.families import FAMILIES, Maker


def builtin(seed: int = 0, *, per_family: int = 12) -> Suite:
    """All families, ``per_family`` tasks each. Another seed makes other tasks of the same kinds.

    Words, names, files and tools come from the held-out side of the split (see ``words``); the wordings of
    the goals are those of training. Tasks whose tool the ranking misses are kept: they count as failures.
    """
    return Suite("builtin", tuple(_tasks(seed, per_family)))


def smoke(seed: int = 0) -> Suite:
    """One task of each family: a first look that takes well under a minute."""
    return Suite("smoke", tuple(_tasks(seed, 1)))


def _tasks(seed: int, per_family: int) -> list[Task]:
    return [held_out_task(family, f"{seed}-{number}") for family in FAMILIES for number in range(per_family)]


def held_out_task(family: str, seed: str) -> Task:
    """One task of a family, in held-out words."""
    make, _ = FAMILIES[family]
    task = make(Maker.of(random.Random(f"suite {family} {seed}"), held_out=True)).task
    return task.model_copy(update={"id": f"{family}-{seed}", "family": family})
