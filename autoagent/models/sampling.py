"""How the next token is drawn from log-probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from autoagent.config import Sampling

Floats = NDArray[np.float32]  # (V,)


def log_softmax(logits: Floats) -> Floats:
    """Natural-log probabilities over the last axis, (..., V)."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)), dtype=np.float32)


def draw(chances: Floats, sampling: Sampling, dice: np.random.Generator) -> int:
    """Pick a token id. ``chances`` are at least 0 and need not add up to 1; at least one is above 0."""
    if sampling.temperature == 0:
        return int(chances.argmax())
    ids = np.flatnonzero(chances)
    logs = np.log(chances[ids].astype(np.float64)) / sampling.temperature
    weights = np.exp(logs - logs.max())
    if sampling.top_k or sampling.top_p < 1:
        order = np.argsort(-weights, kind="stable")
        if sampling.top_k:
            order = order[: sampling.top_k]
        share = np.cumsum(weights[order]) / weights[order].sum()
        order = order[: int(np.searchsorted(share, sampling.top_p)) + 1]
        ids, weights = ids[order], weights[order]
    heights = np.cumsum(weights)
    spot = int(np.searchsorted(heights, dice.random() * heights[-1], side="right"))
    return int(ids[min(spot, len(ids) - 1)])
