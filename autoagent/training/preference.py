"""Learning from runs that worked and runs that did not: DPO and KTO on recorded ids and masks.

The log-probability of a sequence is that of its targets alone: prompts and observations (mask 0) never count.
What the untrained model gave is computed once, before the first step, and kept with the data, so that no
second model is in memory. DPO: Rafailov et al. 2023, with the NLL term of RPO (Pang et al. 2024) and label
smoothing as options. KTO: Ethayarajh et al. 2024, with its reference point from mismatched pairs.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from autoagent.errors import UsageError
from autoagent.training.batches import MULTIPLE, Batch, Example, Feed, collate
from autoagent.training.learning import PreferenceConfig
from autoagent.training.losses import target_losses
from autoagent.training.parallel import ALONE, Group

_TRIES = 32  # partners looked at for one with another prompt


class Recorded(Protocol):
    """One sequence as the model saw it; ``mask`` is 1 on what it chose."""

    @property
    def ids(self) -> Sequence[int]: ...
    @property
    def mask(self) -> Sequence[int]: ...
    @property
    def run_id(self) -> str: ...


@dataclass(frozen=True)
class Pair:
    """Two sequences that are looked at together.

    For DPO the chosen and the rejected one; for KTO an example, good or bad, and its prompt with the
    completion of another example.
    """

    number: int  # among all pairs
    rows: tuple[Example, Example]
    good: bool = True


@dataclass(frozen=True)
class PairBatch(Batch):
    """Rows 2i and 2i + 1 are pair i."""

    reference: Tensor  # (B, 2) log-probabilities before training
    good: Tensor  # (B,) bool

    def __len__(self) -> int:
        return len(self.good)

    def to(self, device: torch.device | str) -> PairBatch:
        reference, good = self.reference.to(device), self.good.to(device)
        return PairBatch(self.ids.to(device), self.weights.to(device), self.tokens, reference, good)

    def cut(self, first: int, end: int) -> PairBatch:
        plain = Batch(self.ids, self.weights, self.tokens).cut(2 * first, 2 * end)
        return PairBatch(
            plain.ids, plain.weights, plain.tokens, self.reference[first:end], self.good[first:end]
        )

    def side(self, which: int) -> Batch:
        """The first (0) or second (1) sequence of every pair."""
        return Batch(self.ids[which::2], self.weights[which::2], self.tokens // 2)


class Pairs:
    """Pairs in memory, as a source of one part."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.all = list(pairs)

    def files(self, epoch: int) -> list[str]:
        return ["memory"]

    def holds(self, names: Sequence[str]) -> bool:
        return set(names) <= {"memory"}

    def load(self, names: Sequence[str]) -> list[Pair]:
        return self.all


class PairBatches(Feed[Pair]):
    """Batches of pairs; the tokens of both sequences count. Pairs without a target in both are left out."""

    def __init__(
        self,
        pairs: Sequence[Pair],
        *,
        tokens: int = 8192,
        seed: int = 0,
        max_length: int = 1024,
        group: Group = ALONE,
    ) -> None:
        super().__init__(Pairs(pairs), tokens=tokens, seed=seed, max_length=max_length, group=group)
        self._pairs = pairs
        self._reference = torch.zeros(len(pairs), 2)

    def ready(self, model: nn.Module, device: str) -> None:
        """Note what the untrained model gives; in a group each process does its share."""
        training = model.training
        model.eval()
        found = torch.zeros_like(self._reference)
        plan = self._cut(self._pairs, random.Random(self._seed))
        with torch.no_grad():
            for numbers in plan[self._group.rank :: self._group.size]:
                batch = self._collate([self._pairs[number] for number in numbers]).to(device)
                found[numbers] = log_probs(model, batch).view(-1, 2).cpu()
        model.train(training)
        self._group.add(found)
        self._reference = found

    def _length(self, item: Pair) -> int:
        longest = min(max(len(ids) for ids, _ in item.rows), self.max_length)
        return 2 * -(-longest // MULTIPLE) * MULTIPLE

    def _counts(self, item: Pair) -> bool:
        return all(mask[1 : self.max_length].any() for _, mask in item.rows)

    def _collate(self, chosen: Sequence[Pair]) -> PairBatch:
        plain = collate([row for pair in chosen for row in pair.rows], self.max_length)
        reference = self._reference[[pair.number for pair in chosen]]
        good = torch.tensor([pair.good for pair in chosen], dtype=torch.bool)
        return PairBatch(plain.ids, plain.weights, plain.tokens, reference, good)


def log_probs(model: nn.Module, batch: Batch) -> Tensor:
    """The log-probability of each row's targets: (rows,)."""
    losses, where = target_losses(model, batch)
    rows = where.nonzero()[:, 0]
    return -torch.zeros(len(where), device=losses.device).index_add(0, rows, losses)


class DpoLoss:
    """``-log sigmoid(beta * (log-ratio of the chosen - log-ratio of the rejected))``, a mean over pairs."""

    def __init__(self, config: PreferenceConfig) -> None:
        self._config, self._means = config, _Means()

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        assert isinstance(batch, PairBatch)
        config = self._config
        given = log_probs(model, batch).view(-1, 2)
        rewards = config.beta * (given - batch.reference)
        margins = rewards[:, 0] - rewards[:, 1]
        losses = -(1 - config.smoothing) * logsigmoid(margins) - config.smoothing * logsigmoid(-margins)
        if config.sft:
            targets = (batch.side(0).weights > 0).sum(dim=1)
            losses = losses - config.sft * given[:, 0] / targets
        self._means.add(
            reward_chosen=rewards[:, 0],
            reward_rejected=rewards[:, 1],
            reward_margin=margins,
            reward_accuracy=(margins > 0).float(),
        )
        return losses.sum(), losses.new_tensor(len(losses))

    def metrics(self) -> dict[str, float]:
        """Rewards, their margin, and the share of pairs in which the chosen one's is higher."""
        return self._means.take()


class KtoLoss:
    """``weight * (1 - sigmoid(±beta * (log-ratio - z)))``: + for good examples, - for bad, a mean over all.

    ``z`` is the mean log-ratio of the mismatched pairs of a batch, at least 0; no gradient goes through it.
    In a group, and where a batch is computed in parts, each has a ``z`` of its own.
    """

    def __init__(self, config: PreferenceConfig, *, good: int, bad: int) -> None:
        """``good`` and ``bad`` are how many examples of each kind there are."""
        self._beta, self._desirable = config.beta, config.desirable
        self._undesirable = config.undesirable or config.desirable * max(1, good) / max(1, bad)
        self._means = _Means()

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        assert isinstance(batch, PairBatch)
        with torch.no_grad():
            shift = (log_probs(model, batch.side(1)) - batch.reference[:, 1]).mean().clamp(min=0)
        ratios = log_probs(model, batch.side(0)) - batch.reference[:, 0]
        sign = torch.where(batch.good, 1.0, -1.0)
        weights = torch.where(batch.good, self._desirable, self._undesirable)
        losses = weights * (1 - torch.sigmoid(sign * self._beta * (ratios - shift)))
        rewards = self._beta * ratios
        self._means.add(
            reward_good=rewards[batch.good],
            reward_bad=rewards[~batch.good],
            reward_accuracy=(sign * (ratios - shift) > 0).float(),
            kl=shift[None],
        )
        return losses.sum(), losses.new_tensor(len(losses))

    def metrics(self) -> dict[str, float]:
        """Rewards, their margin, the share on the right side of ``z``, and ``z`` itself as ``kl``."""
        means = self._means.take()
        if "reward_good" in means and "reward_bad" in means:
            means["reward_margin"] = means["reward_good"] - means["reward_bad"]
        return means


class _Means:
    """Means of numbers that are on a device, read only when they are asked for."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[Tensor, int]] = {}

    def add(self, **values: Tensor) -> None:
        for name, each in values.items():
            before, count = self._sums.get(name, (torch.zeros((), device=each.device), 0))
            self._sums[name] = before + each.detach().sum(), count + len(each)

    def take(self) -> dict[str, float]:
        means = {name: float(total) / count for name, (total, count) in self._sums.items() if count}
        self._sums = {}
        return means


def chosen_over_rejected(pairs: Sequence[tuple[Recorded, Recorded]]) -> list[Pair]:
    """For DPO: (chosen, rejected) as pairs."""
    return [
        Pair(number, (_arrays(chosen), _arrays(rejected))) for number, (chosen, rejected) in enumerate(pairs)
    ]


def good_and_bad(judged: Sequence[tuple[Recorded, bool]], *, seed: int = 0) -> list[Pair]:
    """For KTO: each example beside its prompt with another example's completion, of another prompt if one is.

    A completion is everything from the first target on. Examples without a target are left out. Raises
    :class:`UsageError` where fewer than two are left.
    """
    usable = [(_arrays(example), good) for example, good in judged if any(example.mask)]
    if len(usable) < 2:
        raise UsageError(f"kto needs at least 2 examples with something the model chose, not {len(usable)}")
    halves = [_halves(example) for example, _ in usable]
    order = list(range(len(usable)))
    random.Random(seed).shuffle(order)
    pairs: list[Pair] = []
    for place, index in enumerate(order):
        (prompt, _), (example, good) = halves[index], usable[index]
        others = [order[(place + ahead) % len(order)] for ahead in range(1, min(len(order), _TRIES))]
        other = next((at for at in others if not np.array_equal(halves[at][0], prompt)), others[0])
        ids, mask = halves[other][1]
        apart = (np.concatenate([prompt, ids]), np.concatenate([np.zeros(len(prompt), np.float32), mask]))
        pairs.append(Pair(len(pairs), (example, apart), good))
    return pairs


def _arrays(example: Recorded) -> Example:
    return np.asarray(example.ids, dtype=np.int64), np.asarray(example.mask, dtype=np.float32)


def _halves(example: Example) -> tuple[np.ndarray[Any, Any], Example]:
    """The ids before the first target, and ids and mask from there on."""
    ids, mask = example
    begin = int(np.flatnonzero(mask)[0])
    return ids[:begin], (ids[begin:], mask[begin:])
