"""Pretraining the embedded model from scratch on a folder of shards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from autoagent.config import Settings
from autoagent.errors import UsageError
from autoagent.models.needs import cores
from autoagent.nano.model import NanoConfig, NanoModel, shape
from autoagent.nano.progress import Display
from autoagent.nano.runs import FIXED, RATES, SHAPE, note_data, open_run, start_annealing
from autoagent.nano.tokenizer import load_tokenizer
from autoagent.training.batches import Batch, Batches
from autoagent.training.losses import next_weights
from autoagent.training.mixture import Mixture
from autoagent.training.parallel import ALONE, Group, gathered
from autoagent.training.placement import has_compiler
from autoagent.training.trainer import FitReport, Progress, TrainerConfig, fit


class NanoTraining(Settings):
    """What to train on, how large a model, for how long. Exactly one of minutes and tokens is the budget."""

    data: dict[Path, float] = Field(
        min_length=1,
        description="Folders of shard-*.npz and their shares of the tokens; new shards are picked up.",
    )
    tokenizer: Path = Field(description="Tokenizer folder the shards were made with.")
    out: Path = Field(description="Folder of checkpoint and log; training continues what is there.")
    size: str = Field(default="cpu", description="Model preset, see PRESETS.")
    hidden: int | None = Field(default=None, ge=32, description="Width instead of the preset's, in features.")
    layers: int | None = Field(default=None, ge=1, description="Layers instead of the preset's.")
    heads: int | None = Field(default=None, ge=1, description="Heads instead of the preset's, 32 wide each.")
    minutes: float | None = Field(default=None, gt=0, description="Budget by wall clock, in minutes.")
    tokens: int | None = Field(default=None, gt=0, description="Budget in tokens.")
    batch_tokens: int = Field(default=8192, ge=64, description="Tokens per update, padding counted.")
    max_length: int = Field(default=2048, ge=16, le=4096, description="Episodes are cut to this, in tokens.")
    context_weight: float = Field(
        default=0.0, ge=0, le=1, description="Weight in the loss of the tokens that are not targets."
    )
    muon_learning_rate: float = Field(default=0.02, gt=0, description="Peak learning rate of the matrices.")
    learning_rate: float = Field(default=3e-3, gt=0, description="Peak learning rate of embedding and norms.")
    warmup: float = Field(default=0.02, ge=0, lt=1, description="Share of the budget with a rising rate.")
    decay: float = Field(default=0.4, ge=0, le=1, description="Share of the budget with a falling rate.")
    precision: Literal["auto", "fp32", "bf16"] = Field(default="auto", description="auto measures both.")
    device: str = Field(default="auto", description="cpu, cuda, mps; auto takes cuda if there is one.")
    threads: int = Field(default=0, ge=0, description="CPU threads of a process; 0 measures.")
    processes: int = Field(default=1, ge=1, description="Processes that share every batch, on a CPU.")
    compile: bool | None = Field(
        default=None, description="Compile the layers; by default where there is a compiler."
    )
    seed: int = Field(default=0, ge=0, description="Seed of the first weights and of the order of the data.")

    def trainer(self) -> TrainerConfig:
        """The same, for the generic loop."""
        return TrainerConfig(
            minutes=self.minutes,
            tokens=self.tokens,
            optimizer="muon",
            learning_rate=self.learning_rate,
            muon_learning_rate=self.muon_learning_rate,
            warmup=self.warmup,
            decay=self.decay,
            precision=self.precision,
            device=self.device,
            threads=self.threads or (max(1, cores() // self.processes) if self.processes > 1 else 0),
            compile=has_compiler() if self.compile is None else self.compile,
            seed=self.seed,
        )


def train(config: NanoTraining, on_progress: Callable[[Progress], None] | None = None) -> FitReport:
    """Train, or go on training, what is in ``config.out``; progress goes to ``on_progress`` or to stderr.

    Raises :class:`UsageError` when the folder holds a run with other settings, or the data cannot be used.
    """
    if (config.minutes is None) == (config.tokens is None):
        raise UsageError("say how long to train: give either minutes or tokens")
    _shape(config)
    open_run(config)
    show = on_progress or Display(config.out)
    try:
        if config.processes == 1:
            report = _fit(ALONE, config, show)
        else:
            with gathered(config.processes, _fit, config) as group:
                report = _fit(group, config, show)
    except OSError as fault:  # of its log, or of the curves
        raise UsageError(f"cannot go on in {config.out}, its last checkpoint is kept: {fault}") from None
    note_data(config)
    if isinstance(show, Display):
        show.close()
    return report


def anneal(
    source: Path,
    out: Path,
    *,
    peak: float | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    **settings: Any,
) -> FitReport:
    """Go on from the run in ``source``, in the new folder ``out``, while the rate falls linearly to 0.

    Weights, optimizer and place in the data are those of its last checkpoint; ``source`` stays as it is.
    ``settings`` are those of :class:`NanoTraining` that shall differ, data and budget among them.
    """
    saved = start_annealing(source, out, peak=peak)
    kept = {name: saved[name] for name in (*FIXED, *RATES) if name in saved}
    config = NanoTraining(tokenizer=out / "tokenizer", out=out, **kept | settings)
    return train(config, on_progress)


def _shape(config: NanoTraining) -> NanoConfig:
    return shape(config.model_dump(include=set(SHAPE)), len(load_tokenizer(config.tokenizer)))


def _fit(group: Group, config: NanoTraining, show: Callable[[Progress], None] | None = None) -> FitReport:
    """What every process of the group does."""
    decoder = _shape(config)
    torch.manual_seed(config.seed)
    model = NanoModel(decoder)
    batches = Batches(
        Mixture(config.data, vocabulary=decoder.vocab_size),
        tokens=config.batch_tokens,
        seed=config.seed,
        max_length=config.max_length,
        context_weight=config.context_weight,
        group=group,
    )
    return fit(
        model,
        batches,
        config.trainer(),
        on_progress=show,
        checkpoint_dir=config.out,
        loss=nano_loss,
        group=group,
    )


def nano_loss(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Next-token cross-entropy; logits are made only where a target is."""
    wanted = next_weights(batch.weights)
    where = wanted > 0
    logits = model(batch.ids, where)  # (N, V)
    losses = F.cross_entropy(logits.float(), batch.ids.roll(-1, dims=1)[where], reduction="none")
    weights = wanted[where]
    return (losses * weights).sum(), weights.sum()
