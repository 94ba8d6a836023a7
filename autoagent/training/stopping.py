"""Early stopping: the weights with the lowest validation loss, and when to give up finding better ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor


class Best:
    """The lowest validation loss so far and, with ``patience``, the weights it was measured with."""

    def __init__(self, patience: int) -> None:
        self.step: int | None = None
        self.loss = math.inf
        self.weights: dict[str, Tensor] = {}  # by name, on the CPU
        self._patience = patience
        self._since = 0  # measurements since

    @property
    def given_up(self) -> bool:
        """Whether ``patience`` measurements in a row have found nothing better."""
        return 0 < self._patience <= self._since

    def compare(self, loss: float, step: int, weights: Mapping[str, Tensor]) -> None:
        """Take in a measurement; a loss that is no number is never the best."""
        if not loss < self.loss:
            self._since += 1
            return
        self.loss, self.step, self._since = loss, step, 0
        if self._patience:
            self.weights = {name: weight.to("cpu", copy=True) for name, weight in weights.items()}

    def state(self) -> dict[str, Any]:
        return {"step": self.step, "loss": self.loss, "weights": self.weights, "since": self._since}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.step, self.loss, self._since = state["step"], state["loss"], state["since"]
        self.weights = dict(state["weights"])
