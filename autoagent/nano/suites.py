"""The built-in suites: every goal family, on each side of what training held out."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress

from autoagent.evals.suite import Suite
from autoagent.evals.task import Expected, Task
from autoagent.nano.families import FAMILIES, SPLITS, Episode, Kind, Maker, Split
from autoagent.nano.families.base import Action, NoWording
from autoagent.nano.habits import HABITS, known_builtins

_ATTEMPTS = 60  # at a goal of which every part is worded on the held-out side
# Tasks of each family that is measured in a split; few families have combinations or tools to hold out.
PER_FAMILY: dict[Split, int] = {"seen": 2, "values": 3, "wordings": 3, "combinations": 50, "tools": 25}
MORE = {"refusal": 5}  # times as many, by group: too few families for an interval that says something


def builtin(
    seed: int = 0, *, scale: float = 1.0, splits: Collection[Split] = SPLITS, among: int = 0
) -> Suite:
    """All families in five splits. Another seed makes other tasks of the same kinds.

    ``seen``: words, wordings, tools and combinations of training, in goals it did not see. ``values``: words,
    names, files and values that training never saw, as in all splits that follow. ``wordings``: whole
    patterns of wording held out, too. ``combinations``: orders of steps held out. ``tools``: custom tools
    whose names, descriptions and arguments are put together from held-out words.

    Tasks whose tool the ranking misses are kept: they count as failures.

    Args:
        seed: Of all draws.
        scale: Times the usual number of tasks (``PER_FAMILY``), at least one of each family.
        splits: Those that are wanted.
        among: If not 0, so many tools at most are there: those the task needs and others drawn at random. It
            shows what a model does without the help of the ranking.
    """
    wanted = [split for split in SPLITS if split in splits]
    return Suite("builtin", tuple(_tasks(seed, scale, wanted, among)))


def smoke(seed: int = 0) -> Suite:
    """One task of each family, in held-out words: a first look that takes well under a minute."""
    return Suite("smoke", tuple(_tasks(seed, 0, ["values"], 0)))


def _tasks(seed: int, scale: float, splits: Collection[Split], among: int) -> Iterator[Task]:
    for split in splits:
        for family, kind in FAMILIES.items():
            if split in kind.splits:
                count = scale * PER_FAMILY[split] * MORE.get(kind.group, 1)
                for number in range(max(1, round(count))):
                    yield measured_task(family, split, f"{seed}-{number}", among)


def measured_task(family: str, split: Split, seed: str, among: int = 0) -> Task:
    """One task of a family on one side of the splits; for ``among`` see ``builtin``."""
    kind = FAMILIES[family]
    rng, episode = _drawn(kind, split, f"suite {split} {family} {seed}")
    about: dict[str, object] = {
        "id": f"{split}-{family}-{seed}",
        "family": family,
        "split": split,
        "tags": (kind.group,),
    }
    if among:
        about["only"] = _some_tools(rng, episode, among)
    return _with_reference(episode).model_copy(update=about)


def _with_reference(episode: Episode) -> Task:
    """The task, which knows by what tools the expert does it."""

    def told(expected: Expected, actions: Sequence[Action]) -> Expected:
        return expected.model_copy(update={"reference": tuple(each.tool for each in actions)})

    task = episode.task
    later = [
        each.model_copy(update={"expected": told(each.expected, then.actions)})
        for each, then in zip(task.follow_ups, episode.later, strict=True)
    ]
    return task.model_copy(
        update={"expected": told(task.expected, episode.actions), "follow_ups": tuple(later)}
    )


def _drawn(kind: Kind, split: Split, seed: str) -> tuple[random.Random, Episode]:
    """An episode all of whose parts are worded on this side of the split, if the family has such."""
    for attempt in range(_ATTEMPTS):
        rng = random.Random(f"{seed} {attempt}" if attempt else seed)
        make = Maker.of(rng, split)
        make.strict = split == "wordings" and attempt < _ATTEMPTS - 1
        with suppress(NoWording):
            return rng, kind.make(make)
    raise AssertionError("the last attempt takes any wording")


def _some_tools(rng: random.Random, episode: Episode, most: int) -> tuple[str, ...]:
    """The built-in tools an episode needs, and others at random, in no order."""
    known = [tool.name for tool in known_builtins() if tool.name not in HABITS.pinned]
    parts = [episode, *episode.helpers, *episode.later]
    needed = {action.tool for part in parts for action in part.actions} & set(known)
    others = [name for name in known if name not in needed]
    room = most - len(HABITS.pinned) - len(episode.task.tools) - len(needed)
    return (*sorted(needed), *rng.sample(others, max(0, min(room, len(others)))), *HABITS.pinned)
