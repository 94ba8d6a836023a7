"""Pretraining the embedded model from scratch on a folder of shards."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TextIO

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from autoagent.config import Settings
from autoagent.errors import UsageError
from autoagent.nano.model import NanoModel, preset
from autoagent.training.batches import Batch, Batches, Shards
from autoagent.training.placement import has_compiler
from autoagent.training.trainer import FitReport, Progress, TrainerConfig, fit

FIXED = {
    "size",
    "batch_tokens",
    "max_length",
    "context_weight",
    "seed",
}  # the trainer guards its own settings


class NanoTraining(Settings):
    """What to train on, how large a model, for how long. Exactly one of minutes and tokens is the budget."""

    data: Path = Field(description="Folder of shard-*.npz; shards that appear during training are picked up.")
    tokenizer: Path = Field(description="Tokenizer folder the shards were made with.")
    out: Path = Field(description="Folder of checkpoint and log; training continues what is there.")
    size: str = Field(default="cpu", description="Model preset: tiny, cpu (2.9M parameters) or gpu (11M).")
    minutes: float | None = Field(default=None, gt=0, description="Budget by wall clock, in minutes.")
    tokens: int | None = Field(default=None, gt=0, description="Budget in tokens.")
    batch_tokens: int = Field(default=8192, ge=64, description="Tokens per update, padding counted.")
    max_length: int = Field(default=1024, ge=16, le=4096, description="Episodes are cut to this, in tokens.")
    context_weight: float = Field(
        default=0.0, ge=0, le=1, description="Weight in the loss of the tokens that are not targets."
    )
    muon_learning_rate: float = Field(default=0.02, gt=0, description="Peak learning rate of the matrices.")
    learning_rate: float = Field(default=3e-3, gt=0, description="Peak learning rate of embedding and norms.")
    warmup: float = Field(default=0.02, ge=0, lt=1, description="Share of the budget with a rising rate.")
    decay: float = Field(default=0.4, ge=0, le=1, description="Share of the budget with a falling rate.")
    precision: Literal["auto", "fp32", "bf16"] = Field(default="auto", description="auto measures both.")
    device: str = Field(default="auto", description="cpu, cuda, mps; auto takes cuda if there is one.")
    threads: int = Field(default=0, ge=0, description="CPU threads; 0 measures.")
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
            threads=self.threads,
            compile=has_compiler() if self.compile is None else self.compile,
            seed=self.seed,
        )


def train(config: NanoTraining, on_progress: Callable[[Progress], None] | None = None) -> FitReport:
    """Train, or go on training, what is in ``config.out``; progress goes to ``on_progress`` or to stderr.

    Raises :class:`UsageError` when the folder holds a run with other settings, or the data cannot be used.
    """
    from autoagent.nano.tokenizer import load_tokenizer

    if (config.minutes is None) == (config.tokens is None):
        raise UsageError("say how long to train: give either minutes or tokens")
    tokenizer = load_tokenizer(config.tokenizer)
    _same_or_new(config)
    torch.manual_seed(config.seed)
    model = NanoModel(preset(config.size, len(tokenizer)))
    batches = Batches(
        Shards(config.data),
        tokens=config.batch_tokens,
        seed=config.seed,
        max_length=config.max_length,
        context_weight=config.context_weight,
    )
    show = on_progress or ProgressLine(sys.stderr)
    report = fit(
        model, batches, config.trainer(), on_progress=show, checkpoint_dir=config.out, loss=nano_loss
    )
    if isinstance(show, ProgressLine):
        show.close()
    return report


def nano_loss(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Next-token cross-entropy; logits are made only where a target is."""
    wanted = batch.weights.roll(-1, dims=1)  # position t predicts token t + 1
    wanted[:, -1] = 0
    where = wanted > 0
    logits = model(batch.ids, where)  # (N, V)
    losses = F.cross_entropy(logits.float(), batch.ids.roll(-1, dims=1)[where], reduction="none")
    weights = wanted[where]
    return (losses * weights).sum(), weights.sum()


def _same_or_new(config: NanoTraining) -> None:
    """Keep settings and tokenizer beside the checkpoint; refuse to continue a run of other settings."""
    fixed = config.model_dump(mode="json", include=FIXED)
    path = config.out / "nano.json"
    if path.exists():
        saved = json.loads(path.read_text(encoding="utf-8"))
        for key, value in fixed.items():
            if saved.get(key) != value:
                was = f"{key}={saved.get(key)}, not {value}"
                raise UsageError(f"{config.out} holds a run with {was}: choose another folder")
        kept = config.out / "tokenizer" / "tokenizer.json"
        if not kept.exists() or kept.read_bytes() != (config.tokenizer / "tokenizer.json").read_bytes():
            raise UsageError(f"{config.out} holds a run with another tokenizer: choose another folder")
        return
    config.out.mkdir(parents=True, exist_ok=True)
    shutil.copytree(config.tokenizer, config.out / "tokenizer", dirs_exist_ok=True)
    path.write_text(json.dumps(fixed, indent=2) + "\n", encoding="utf-8")


class ProgressLine:
    """One line on a terminal, rewritten twice a second; elsewhere a line every 20 seconds."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._every = 0.5 if self._live else 20.0  # seconds
        self._shown = -self._every
        self._last: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        self._last = progress
        if time.monotonic() - self._shown >= self._every:
            self._shown = time.monotonic()
            self._write(progress)

    def close(self) -> None:
        """Show where it ended."""
        if self._last is not None:
            self._write(self._last)
            self._stream.write("\n" if self._live else "")

    def _write(self, progress: Progress) -> None:
        text = (
            f"step {progress.step:,}  {progress.tokens / 1e6:.2f}M tokens  loss {progress.loss:.3f}  "
            f"{progress.tokens_per_second:,.0f} tokens/s  rate {progress.learning_rate:.2f}  "
            f"{progress.fraction:.0%}  {_clock(progress.seconds_left)} left"
        )
        self._stream.write(f"\r\x1b[K{text}" if self._live else text + "\n")
        self._stream.flush()


def _clock(seconds: float) -> str:
    if seconds == float("inf"):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
