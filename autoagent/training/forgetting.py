"""What a new version may have forgotten: other goals to run, and a frozen sample whose loss must not rise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from autoagent.errors import UsageError
from autoagent.evals import Suite
from autoagent.models.lineage import ancestors
from autoagent.models.protocol import Model
from autoagent.models.versions import EMBEDDED, Versions
from autoagent.training.dataset import Example
from autoagent.training.gate_rules import LossChange

if TYPE_CHECKING:
    from autoagent.models.engine import Engine

_PROBE = (3, 1, 4, 1, 5, 9, 2, 6)  # any ids; every vocabulary has them


class Sampled(Protocol):
    """One sequence of the sample. ``mask[i]`` is 1 where token ``i`` is counted."""

    @property
    def ids(self) -> Sequence[int]: ...
    @property
    def mask(self) -> Sequence[int]: ...


class Earlier(Protocol):
    """What is known of the training of the embedded model's line: ``autoagent.nano.earlier``."""

    def replay(self, folder: Path, tokens: int, seed: int) -> Sequence[Example]: ...
    def other_goals(self, target: Suite, *, seed: int, at_least: int) -> Suite | None: ...
    def demonstration_sample(self, folder: Path) -> Sequence[Example]: ...


def is_embedded_line(versions: Versions, name: str) -> bool:
    """Whether a version is the embedded model, or was trained from it over any number of steps."""
    named = next((version for version in versions.list() if version.name == name), None)
    first = ([named] if named else []) + list(ancestors(versions, name))
    return name == EMBEDDED or (bool(first) and first[-1].parent == EMBEDDED)


def loss_change(old: Model, new: Model, sample: Sequence[Sampled], *, what: str = "sample") -> LossChange:
    """The loss of both models on the same tokens.

    Raises:
        UsageError: a model has no weights here, the ids mean different things to the two or are of another
            vocabulary, or no token of the sample is counted.
    """
    before, after = _engine_of(old), _engine_of(new)
    if before.tokenizer.get_vocab() != after.tokenizer.get_vocab():
        raise UsageError(
            "the loss of old and new cannot be compared: their tokenizers differ; measure without a sample"
        )
    examples = [Example(ids=tuple(each.ids), mask=tuple(each.mask), run_id="", goal="") for each in sample]
    tokens = sum(example.trained for example in examples)
    if not tokens:
        raise UsageError("the loss cannot be measured: the sample has no token that is counted")
    largest = max(max(example.ids, default=0) for example in examples)
    if largest >= min(before.width, after.width):
        raise UsageError(f"the sample has token id {largest}, which the models do not know: make it anew")
    return LossChange(
        sample=what,
        examples=len(examples),
        tokens=tokens,
        old=_nats(before, examples),
        new=_nats(after, examples),
    )


def without_numbers(old: Model, new: Model) -> LossChange | None:
    """Whether training destroyed the new model, so that it computes no numbers; None when it does."""
    if not has_weights(new) or _nats(_engine_of(new), [_probe()]) is not None:
        return None
    before = _nats(_engine_of(old), [_probe()]) if has_weights(old) else None
    return LossChange(sample="any tokens", examples=1, tokens=_probe().trained, old=before, new=None)


def has_weights(model: Model) -> bool:
    """Whether the model is computed here, so that its loss can be measured."""
    return getattr(model, "engine", None) is not None


def alike(*folders: Path) -> bool:
    """Whether token ids mean the same to the models in these folders."""
    return len({_bytes_of(folder / "tokenizer.json") for folder in folders}) == 1


def _bytes_of(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None


def _probe() -> Example:
    return Example(ids=_PROBE, mask=(1,) * len(_PROBE), run_id="", goal="")


def _nats(engine: Engine, examples: Sequence[Example]) -> float | None:
    from autoagent.training.sft import mean_loss

    loss = mean_loss(engine, examples)
    return loss if math.isfinite(loss) else None


def _engine_of(model: Model) -> Engine:
    if not has_weights(model):
        raise UsageError(f"the loss of {model.version} cannot be measured: its weights are not here")
    engine: Engine = model.engine  # type: ignore[attr-defined]  # of a local model
    return engine
