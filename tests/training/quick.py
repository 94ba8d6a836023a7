"""A training for tests: in this process, on one thread, and the same everywhere."""

from __future__ import annotations

from typing import Any

from autoagent.training.finetune import FinetuneConfig


def quick(**settings: Any) -> FinetuneConfig:
    """The settings of a quick training, with these besides."""
    here: dict[str, Any] = {"device": "cpu", "precision": "fp32", "threads": 1, "isolated": False}
    return FinetuneConfig(**{"learning_rate": 3e-3, "batch_tokens": 1024} | here | settings)
