"""What training minimises: a sum of losses and a sum of weights, so that parts of a batch can be added up."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from autoagent.training.batches import Batch, Feed

Loss = Callable[[nn.Module, Batch], tuple[Tensor, Tensor]]  # weighted sum of losses, sum of weights


@runtime_checkable
class Measured(Protocol):
    """A loss that knows more than its value."""

    def metrics(self) -> dict[str, float]:
        """Means over the batches since this was last called; empty where there were none."""
        ...


def token_loss(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Next-token cross-entropy of any model from ids (B, T) to logits (B, T, V), or an object with logits."""
    losses, where = target_losses(model, batch)
    weights = next_weights(batch.weights)[where]
    return (losses * weights).sum(), weights.sum()


def target_losses(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Cross-entropy of every target (N,), row by row, and where it is predicted: (B, T), true in N places."""
    where = next_weights(batch.weights) > 0
    logits, wanted = target_logits(model, batch.ids, where), batch.ids.roll(-1, dims=1)[where]
    return nn.functional.cross_entropy(logits, wanted, reduction="none"), where


def next_weights(weights: Tensor) -> Tensor:
    """What each place counts that predicts the token after it, by the tokens' weights (B, T)."""
    after = weights.roll(-1, dims=1)
    after[:, -1] = 0
    return after


def target_logits(model: nn.Module, ids: Tensor, where: Tensor) -> Tensor:
    """Logits (N, V) of ids (B, T), in fp32 and row by row, in the N places where ``where`` (B, T) is true.

    Models of transformers make logits for these places only, and keep no keys and values.
    """
    kind: Any = type(model)
    masked, options = _abilities(kind)
    if masked:
        options = options | {"logits_to_keep": where}
    out = model(ids, **options)
    logits = out if isinstance(out, Tensor) else out.logits
    return (logits.flatten(0, -2) if masked else logits[where]).float()


@cache
def _abilities(kind: type[nn.Module]) -> tuple[bool, dict[str, Any]]:
    """Whether a model makes logits by a mask, and what else to tell it."""
    takes = inspect.signature(kind.forward).parameters
    by_mask = hasattr(sys.modules[kind.__module__], "slice_logits_to_keep")  # since transformers 5.2x
    return "logits_to_keep" in takes and by_mask, {"use_cache": False} if "use_cache" in takes else {}


def mean_loss(model: nn.Module, feed: Feed[Any], loss: Loss, device: torch.device | str) -> float:
    """The loss by weight over one pass of ``feed``, which then stands where it stood; without dropout."""
    training = model.training
    mark = feed.state()
    total = weight = 0.0
    model.eval()
    try:
        with torch.no_grad():
            for _ in range(feed.batches_per_pass()):
                losses, weights = loss(model, feed.next().to(device))
                total, weight = total + float(losses), weight + float(weights)
    finally:
        model.train(training)
        feed.restore(mark)
    return total / max(weight, 1e-6)
