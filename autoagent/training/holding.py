"""Replay that holds a model to what it was, instead of teaching it once more what it knows.

At every token of replayed examples the model is to predict what it predicted before training: all
probabilities, not the one token that stands there (Li & Hoiem 2016, Learning without Forgetting; Buzzega et
al. 2020, Dark Experience). Where nothing has changed yet that pulls nowhere; single tokens do, and their
noise alone shakes loose some of what annealed weights knew. Tokens that the model never has to say count,
too: there it is unsure, and so tells most about what it was (docs/learning.md has the numbers).
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from autoagent.training.batches import Batch
from autoagent.training.losses import next_weights, target_logits
from autoagent.training.placement import cast


class HeldLoss:
    """Cross-entropy of the targets; of the held ones (negative weight) KL(before || now), in nats.

    The model as it is now is copied, and copied again to where and in what it is trained.
    """

    def __init__(self, model: nn.Module) -> None:
        self._exact = copy.deepcopy(model).eval().requires_grad_(False)
        self._before = self._exact
        self._sums: list[Tensor] = []  # of each batch, held targets and others in turn: their loss, how many

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        weights = next_weights(batch.weights)
        where = weights != 0
        logits, sizes = target_logits(model, batch.ids, where), weights[where].abs()
        held = weights[where] < 0
        losses = torch.empty_like(sizes)
        wanted = batch.ids.roll(-1, dims=1)[where]
        losses[~held] = nn.functional.cross_entropy(logits[~held], wanted[~held], reduction="none")
        if rows := (weights < 0).any(dim=1).nonzero().flatten().tolist():
            with torch.no_grad():
                before = target_logits(self._like(model), batch.ids[rows], weights[rows] < 0)
            losses[held] = divergence(before, logits[held])
        for kind in (held, ~held):
            self._sums.append(torch.stack([losses[kind].detach().sum(), kind.sum()]))
        return (losses * sizes).sum(), sizes.sum()

    def metrics(self) -> dict[str, float]:
        """Means since this was last called, in nats: ``kl`` of held targets, ``imitation`` of the others."""
        if not self._sums:
            return {}
        sums = torch.stack(self._sums).view(-1, 2, 2).sum(dim=0).tolist()
        self._sums.clear()
        return {name: loss / n for name, (loss, n) in zip(("kl", "imitation"), sums, strict=True) if n}

    def _like(self, model: nn.Module) -> nn.Module:
        """The model from before where, and in the precision in which, the other one computes."""
        wanted, here = (_floating(each) for each in (model, self._before))
        if (wanted.device, wanted.dtype) != (here.device, here.dtype):
            self._before = copy.deepcopy(self._exact).to(wanted.device)
            cast(self._before, "bf16" if wanted.dtype == torch.bfloat16 else "fp32")
        return self._before


def _floating(model: nn.Module) -> nn.Parameter:
    return next(weight for weight in model.parameters() if weight.is_floating_point())


def divergence(before: Tensor, now: Tensor) -> Tensor:
    """KL(before || now) of each row of logits (N, V): (N,), in nats."""
    before, now = before.log_softmax(dim=-1), now.log_softmax(dim=-1)
    return nn.functional.kl_div(now, before, reduction="none", log_target=True).sum(dim=-1)
