"""How the next token is drawn from log-probabilities.

The order and the meaning of every setting are those of ``transformers.generate`` (its logits processors, then
its warpers): repetition penalty, the grammar's mask, temperature, top-k, top-p, min-p.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from autoagent.config import Sampling

Floats = NDArray[np.float32]  # (V,)


def log_softmax(logits: Floats) -> Floats:
    """Natural-log probabilities over the last axis, (..., V)."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)), dtype=np.float32)


def penalized(logits: Floats, seen: Iterable[int], penalty: float) -> Floats:
    """Log-probabilities, (V,), once every token in ``seen`` is made less likely (``penalty`` above 1).

    As in transformers: a logit above 0 is divided by the penalty, one below 0 multiplied, once per token
    however often it was seen. The result is finite, so that a mask always leaves something to choose.
    """
    scores = logits.astype(np.float64)
    ids = np.unique(np.fromiter(seen, dtype=np.int64))
    ids = ids[ids < len(scores)]
    with np.errstate(over="ignore"):
        scores[ids] = np.where(scores[ids] < 0, scores[ids] * penalty, scores[ids] / penalty)
    return log_softmax(np.clip(scores, -1e30, 1e30).astype(np.float32))


def draw(chances: Floats, sampling: Sampling, dice: np.random.Generator) -> int:
    """Pick a token id. ``chances`` are at least 0 and need not add up to 1; at least one is above 0."""
    if sampling.temperature == 0:
        return int(chances.argmax())
    ids, weights = warped(chances, sampling)
    heights = np.cumsum(weights)
    spot = int(np.searchsorted(heights, dice.random() * heights[-1], side="right"))
    return int(ids[min(spot, len(ids) - 1)])


def warped(chances: Floats, sampling: Sampling) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The ids that may be drawn, and their weights, of any sum; the temperature is above 0."""
    ids = np.flatnonzero(chances)
    logs = np.log(chances[ids].astype(np.float64)) / sampling.temperature
    weights = np.exp(logs - logs.max())
    if sampling.top_k and sampling.top_k < len(ids):
        least = np.partition(weights, -sampling.top_k)[-sampling.top_k]
        ids, weights = _kept(ids, weights, weights >= least)  # what ties with the last one stays, too
    if sampling.top_p < 1:
        order = np.argsort(-weights, kind="stable")
        share = np.cumsum(weights[order]) / weights.sum()
        order = order[: int(np.searchsorted(share, sampling.top_p)) + 1]
        ids, weights = ids[order], weights[order]
    if sampling.min_p:
        ids, weights = _kept(ids, weights, weights >= sampling.min_p * weights.max())
    return ids, weights


def _kept(
    ids: NDArray[np.int64], weights: NDArray[np.float64], keep: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    return ids[keep], weights[keep]
