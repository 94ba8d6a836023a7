"""A model small enough to train in a test, and what it is trained on: what the tests of the trainer share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from autoagent.training.batches import Batches, Examples, Shards
from autoagent.training.parallel import ALONE, Group
from autoagent.training.trainer import Progress, TrainerConfig, fit

VOCABULARY = 32
QUICK = {"precision": "fp32", "threads": 1, "device": "cpu"}


class Bigram(nn.Module):
    """A small model with a matrix, an embedding and a norm: logits of the next token from this one."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, width)
        self.mix = nn.Linear(width, width, bias=False)
        self.norm = nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, VOCABULARY, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.lm_head(self.norm(self.embed(ids) + self.mix(self.embed(ids))))
        return logits


def model(seed: int = 0, width: int = 16) -> Bigram:
    torch.manual_seed(seed)
    return Bigram(width)


def counting(seed: int = 0, count: int = 60) -> Examples:
    """Sequences that count upwards: the next token is certain."""
    chance = np.random.default_rng(seed)
    examples = []
    for _ in range(count):
        start, length = int(chance.integers(VOCABULARY)), int(chance.integers(10, 150))
        ids = [(start + step) % VOCABULARY for step in range(length)]
        examples.append((ids, [1] * length))
    return Examples(examples)


def batches(source: Examples | Shards | None = None, tokens: int = 1024) -> Batches:
    return Batches(source or counting(), tokens=tokens, seed=1)


class Stop(Exception):
    """Stands for a crash."""


def interrupted_at(step: int, folder: Path, config: TrainerConfig) -> None:
    def crash(progress: Progress) -> None:
        if progress.step == step:
            raise Stop

    with pytest.raises(Stop):
        fit(model(), batches(), config, on_progress=crash, checkpoint_dir=folder)


def even(group: Group = ALONE) -> Batches:
    """Sequences of one length, so that one process and two cut the same batches; the last has one row."""
    source = Examples(
        [([(start + step) % VOCABULARY for step in range(60)], [1] * 60) for start in range(65)]
    )
    return Batches(source, tokens=1024, seed=1, group=group)
