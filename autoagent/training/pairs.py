"""Pairs to prefer one of: two runs of the same goal, one verified and one refuted, cut to where they part."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Any

from autoagent.training.examples import Example

Pair = tuple[Example, Example]  # chosen, rejected
_RUNS = 16  # of each kind that are compared, of one goal


def pair_up(good: Sequence[Example], bad: Sequence[Example], *, per_goal: int) -> tuple[Pair, ...]:
    """Chosen and rejected runs of the same goals, at most ``per_goal`` of each goal.

    A rejected run is paired first with the verified one it shares the longest beginning with: there they
    differ in what was decided and in little else. Of runs in several sequences, only the two that part are
    paired. Shared tokens have the same likelihood in both, which cancels out, so none of them is a target;
    pairs in which one side has no target left (it just stopped earlier) are left out.
    """
    verified, refuted = _by_goal(good), _by_goal(bad)
    made = (_of_goal(verified[goal], refuted[goal], per_goal) for goal in verified if goal in refuted)
    return tuple(chain.from_iterable(made))


def _by_goal(examples: Sequence[Example]) -> dict[str, list[list[Example]]]:
    """Runs, each the list of its sequences, by goal."""
    found: dict[str, dict[str, list[Example]]] = {}
    for example in examples:
        found.setdefault(example.goal, {}).setdefault(example.run_id or example.source, []).append(example)
    return {goal: list(runs.values())[:_RUNS] for goal, runs in found.items()}


def _of_goal(
    verified: Sequence[Sequence[Example]], refuted: Sequence[Sequence[Example]], most: int
) -> list[Pair]:
    """Every refuted run with its nearest verified one, then with its next, and so on."""
    ranked = []
    for number, rejected in enumerate(refuted):
        turned = [verified[(number + place) % len(verified)] for place in range(len(verified))]
        parted = [each for each in (_parting(chosen, rejected) for chosen in turned) if each is not None]
        ranked.append([pair for _, pair in sorted(parted, key=lambda each: -each[0])])  # stable
    return [pair for pair in chain.from_iterable(zip_longest(*ranked)) if pair is not None][:most]


def _parting(chosen: Sequence[Example], rejected: Sequence[Example]) -> tuple[int, Pair] | None:
    """How many tokens two runs share, and the pair of what each does then; None where one does nothing."""
    found = []
    for left in chosen:
        for right in rejected:
            common = shared(left.ids, right.ids)
            pair = _from(left, common), _from(right, common)
            if all(example.trained for example in pair):
                found.append((common, pair))
    return max(found, key=lambda each: each[0], default=None)


def shared(one: Sequence[Any], other: Sequence[Any]) -> int:
    """How many tokens (or characters) both begin with."""
    most = min(len(one), len(other))
    return bisect_left(range(1, most + 1), True, key=lambda length: one[:length] != other[:length])


def _from(example: Example, start: int) -> Example:
    """The example with no target before ``start``."""
    return example.model_copy(update={"mask": (*[0] * start, *example.mask[start:])})
