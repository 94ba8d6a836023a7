"""Replay that holds a model to what it was, instead of teaching it once more what it knows.

At the targets of replayed examples the model is to predict what it predicted before training: all
probabilities, not the one token that stands there (Li & Hoiem 2016, Learning without Forgetting; Buzzega et
al. 2020, Dark Experience). Where nothing has changed yet that pulls nowhere; single tokens do, and their
noise alone shakes loose some of what annealed weights knew (docs/learning.md has the numbers).
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from autoagent.training.batches import Batch
from autoagent.training.losses import target_logits


class HeldLoss:
    """Cross-entropy of the targets; of the held ones (negative weight) the KL divergence from before.

    The model as it is now is copied. KL(before || now) is in nats per target.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = copy.deepcopy(model).eval().requires_grad_(False)
        self._placed: tuple[torch.device, torch.dtype, nn.Module] | None = None
        self._moved: list[Tensor] = []  # of each batch: sum of the divergences, how many

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        weights = batch.weights.roll(-1, dims=1)
        where = weights != 0  # position t predicts token t + 1
        where[:, -1] = False
        logits, weights = target_logits(model, batch.ids, where), weights[where]
        held = weights < 0
        losses = torch.empty_like(weights)
        wanted = batch.ids.roll(-1, dims=1)[where]
        losses[~held] = nn.functional.cross_entropy(logits[~held], wanted[~held], reduction="none")
        if rows := (batch.weights < 0).any(dim=1).nonzero().flatten().tolist():
            with torch.no_grad():
                before = target_logits(self._like(model), batch.ids[rows], where[rows])
            losses[held] = divergence(before, logits[held])
            self._moved.append(torch.stack([losses[held].detach().sum(), held.sum()]))
        weights = weights.abs()
        return (losses * weights).sum(), weights.sum()

    def metrics(self) -> dict[str, float]:
        """``kl``: how far the held predictions have moved, in nats, mean since this was last called."""
        if not self._moved:
            return {}
        total, count = torch.stack(self._moved).sum(dim=0).tolist()
        self._moved.clear()
        return {"kl": total / count}

    def _like(self, model: nn.Module) -> nn.Module:
        """The model from before where, and in the precision in which, the other one computes."""
        weight = next(each for each in model.parameters() if each.is_floating_point())
        if self._placed is None or self._placed[:2] != (weight.device, weight.dtype):
            now = copy.deepcopy(self._model).to(weight.device, weight.dtype)
            self._placed = (weight.device, weight.dtype, now)
        return self._placed[2]


def divergence(before: Tensor, now: Tensor) -> Tensor:
    """KL(before || now) of each row of logits (N, V): (N,), in nats."""
    before, now = before.log_softmax(dim=-1), now.log_softmax(dim=-1)
    return nn.functional.kl_div(now, before, reduction="none", log_target=True).sum(dim=-1)
