"""Supervised fine-tuning of a loaded model on examples, and the model folder it becomes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from autoagent.training.dataset import Dataset, Example
from autoagent.trajectory import Data

if TYPE_CHECKING:
    from autoagent.models.engine import Engine
    from autoagent.training.batches import Batches
    from autoagent.training.finetune import FinetuneConfig
    from autoagent.training.trainer import Progress

_MEASURED = 64  # examples the loss is measured on before and after


@dataclass(frozen=True)
class FinetuneProgress:
    """Where a fine-tuning stands: in training steps, or in tasks of the gate."""

    stage: Literal["train", "gate old", "gate new"]
    step: int  # from 1
    total: int
    seconds_left: float  # of this stage
    loss: float | None = None  # nats per trained token
    tokens_per_second: float | None = None


OnProgress = Callable[[FinetuneProgress], None]


class Losses(Data):
    """Nats per trained token, before and after training."""

    before: float
    after: float


class Trained(Data):
    """What training cost and did."""

    steps: int
    tokens: int
    seconds: float
    train_loss: Losses
    validation_loss: Losses | None  # on goals that were not trained on; None when there are none


def train(engine: Engine, data: Dataset, config: FinetuneConfig, tell: OnProgress) -> Trained:
    """Train the engine's model in place, and measure the loss on both parts of the data before and after."""
    from autoagent.training.trainer import TrainerConfig, fit

    batches = _batches(engine, data.train, config.batch_tokens, config.seed)
    steps = config.epochs * batches.batches_per_pass()
    names = ("optimizer", "device", "precision", "threads", "seed")
    rate = config.learning_rate or default_rate(engine)
    settings = TrainerConfig(
        steps=steps, learning_rate=rate, **{name: getattr(config, name) for name in names}
    )

    def show(at: Progress) -> None:
        tell(FinetuneProgress("train", at.step, steps, at.seconds_left, at.loss, at.tokens_per_second))

    parts = [part[:_MEASURED] for part in (data.train, data.validation) if part]
    before = [mean_loss(engine, part) for part in parts]
    with _threads_kept():
        report = fit(engine.model, batches, settings, on_progress=show)
    engine.model.eval()
    losses = [
        Losses(before=old, after=mean_loss(engine, part)) for old, part in zip(before, parts, strict=True)
    ]
    return Trained(
        steps=report.steps,
        tokens=report.tokens,
        seconds=report.seconds,
        train_loss=losses[0],
        validation_loss=losses[1] if len(losses) > 1 else None,
    )


def default_rate(engine: Engine) -> float:
    """The peak learning rate for a model of this size: small ones need, and stand, a much higher one."""
    from autoagent.models.engine import SMALL

    return 1e-3 if engine.model.num_parameters() < SMALL else 2e-5


def mean_loss(engine: Engine, examples: Sequence[Example]) -> float:
    """Mean loss of the examples' trained tokens, in nats."""
    import torch

    from autoagent.training.trainer import token_loss

    batches = _batches(engine, examples, 4096, seed=0)
    total = weight = 0.0
    with torch.inference_mode():
        for _ in range(batches.batches_per_pass()):
            losses, weights = token_loss(engine.model, batches.next().to(engine.model.device))
            total, weight = total + float(losses), weight + float(weights)
    return total / weight


def write_model(engine: Engine, folder: Path) -> None:
    """Write the trained model; all but weights and configuration is copied, byte by byte, from its base."""
    import torch

    from autoagent.models.engine import SMALL

    model = engine.model if engine.model.num_parameters() < SMALL else engine.model.to(torch.bfloat16)
    with _no_bars():
        model.save_pretrained(folder)
    for file in engine.folder.iterdir():
        weights = ".safetensors" in file.name or file.suffix in (".bin", ".pt", ".gguf")
        if file.is_file() and not weights and file.name not in ("config.json", "version.json"):
            shutil.copyfile(file, folder / file.name)


def _batches(engine: Engine, examples: Sequence[Example], tokens: int, seed: int) -> Batches:
    from autoagent.training.batches import Batches, Examples

    source = Examples([(example.ids, example.mask) for example in examples])
    return Batches(source, tokens=tokens, seed=seed, max_length=engine.window)


@contextmanager
def _threads_kept() -> Iterator[None]:
    """Training chooses how many threads to use; who called goes on with as many as before."""
    import torch

    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _no_bars() -> Iterator[None]:
    """Keep the writer's own progress bar off the screen."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
