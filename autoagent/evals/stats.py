"""Small pieces of statistics: intervals of a fraction and of two, a paired test, a clustered bootstrap."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np

Z_95 = 1.959963984540054  # of the normal distribution, two-sided 95 %
RESAMPLES = 10_000
_AT_ONCE = 2**20  # drawn clusters held in memory at a time


def wilson(successes: float, n: int, *, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval of a fraction; (0, 1) when nothing was observed.

    Args:
        successes: How many of ``n``; may be fractional where each of the ``n`` is a mean of repetitions.
        n: Independent observations.
        z: Quantile of the normal distribution; the default gives 95 %.
    """
    if n == 0:
        return 0.0, 1.0
    fraction = successes / n
    scale = 1 + z * z / n
    centre = (fraction + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(max(fraction * (1 - fraction), 0.0) / n + z * z / (4 * n * n))
    low = 0.0 if successes <= 0 else max(0.0, centre - half)
    high = 1.0 if successes >= n else min(1.0, centre + half)
    return low, high


def newcombe(before: tuple[int, int], after: tuple[int, int]) -> tuple[float, float]:
    """95 % interval of the change of a fraction between two independent samples; (-1, 1) without either.

    Newcombe 1998 (Statistics in Medicine 17, 873-890), method 10: it squares and adds how far the Wilson
    interval of each fraction reaches.

    Args:
        before: Successes, and of how many observations.
        after: The same of the other sample.
    """
    if not before[1] or not after[1]:
        return -1.0, 1.0
    (old, old_low, old_high), (new, new_low, new_high) = (
        (good / n, *wilson(good, n)) for good, n in (before, after)
    )
    change = new - old
    return change - math.hypot(new - new_low, old_high - old), change + math.hypot(
        new_high - new, old - old_low
    )


def mcnemar(wins: int, losses: int) -> float:
    """McNemar's exact two-sided p: how likely a split at least this uneven is, were both equally good.

    Only the pairs count that one of the two got right and the other did not.
    """
    n = wins + losses
    tail, ways = 0, 1  # ways: n over k
    for k in range(min(wins, losses) + 1):
        tail += ways
        ways = ways * (n - k) // (k + 1)
    return float(min(1.0, 2 * tail / 2**n))


def clustered_interval(
    differences: Sequence[float], clusters: Sequence[Hashable], *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Bootstrap 95 % percentile interval of the mean difference; whole clusters are drawn, not single pairs.

    Repetitions of one task are no independent evidence, so they are one cluster. With one cluster there is
    nothing to draw from and the interval is its mean: do not read it as certainty.

    Args:
        differences: One number a pair.
        clusters: To which cluster each pair belongs, in the same order.
        resamples: How many bootstrap samples.
        seed: Of the draws; the same data and seed give the same interval.
    """
    if not differences:
        return 0.0, 0.0
    number = {cluster: index for index, cluster in enumerate(dict.fromkeys(clusters))}
    member = np.array([number[cluster] for cluster in clusters])  # (N,)
    sums = np.bincount(member, weights=np.asarray(differences, dtype=float))  # (K,)
    sizes = np.bincount(member).astype(float)  # (K,)
    generator = np.random.default_rng(seed)
    means = np.empty(resamples)
    rows = max(1, _AT_ONCE // len(number))
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        drawn = generator.integers(0, len(number), size=(size, len(number)))  # (R, K)
        means[start : start + size] = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def points(share: float) -> str:
    """A change of a share in percentage points, with its sign: 0.205 is ``+20.5``."""
    return f"{100 * share:+.1f}"
