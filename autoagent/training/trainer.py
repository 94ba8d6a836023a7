"""The one training loop: pretraining the embedded model and fine-tuning any causal LM go through :func:`fit`.

A budget (minutes, tokens or steps) drives the schedule; a checkpoint folder makes it survive ``kill -9``.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from autoagent.config import Settings
from autoagent.errors import UsageError
from autoagent.training.batches import Batch, Batches
from autoagent.training.checkpoint import load_checkpoint, save_checkpoint
from autoagent.training.optim import Optimizers
from autoagent.training.parallel import ALONE, Gradients, Group
from autoagent.training.placement import compile_layers, place, release_memory
from autoagent.training.signals import stop_on_signal

Loss = Callable[[nn.Module, Batch], tuple[Tensor, Tensor]]  # weighted sum of losses, sum of weights
READ_EVERY = 10  # steps between readings of the loss: a reading waits for an accelerator


class TrainerConfig(Settings):
    """How to train. Exactly one of minutes, tokens and steps is the budget."""

    minutes: float | None = Field(
        default=None, gt=0, description="Budget by wall clock, in minutes, over all resumes."
    )
    tokens: int | None = Field(default=None, gt=0, description="Budget in tokens read, padding not counted.")
    steps: int | None = Field(default=None, gt=0, description="Budget in updates of the weights.")
    optimizer: Literal["muon", "adamw"] = Field(
        default="adamw",
        description="muon: Muon on hidden matrices and Adam on the rest; adamw: Adam on everything.",
    )
    learning_rate: float = Field(default=3e-4, gt=0, description="Peak learning rate of Adam.")
    muon_learning_rate: float = Field(default=0.02, gt=0, description="Peak learning rate of Muon.")
    weight_decay: float = Field(
        default=0.01, ge=0, description="Decoupled weight decay, times the learning rate."
    )
    clip: float = Field(
        default=1.0, ge=0, description="Largest norm of all gradients together; 0 is no limit."
    )
    warmup: float = Field(
        default=0.02, ge=0, lt=1, description="Share of the budget in which the rate rises from 0."
    )
    decay: float = Field(
        default=0.4, ge=0, le=1, description="Share of the budget, at its end, in which it falls to 0."
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto",
        description="What the model computes in; the weights are kept in fp32. auto measures both.",
    )
    device: str = Field(
        default="auto", description="Where to train: cpu, cuda, mps; auto takes cuda if there is one."
    )
    threads: int = Field(default=0, ge=0, description="CPU threads; 0 measures one and all of them.")
    compile: bool = Field(
        default=False,
        description="Compile the layers with torch.compile: a minute once, then faster; needs a compiler.",
    )
    checkpoint_seconds: float = Field(
        default=120.0, gt=0, description="Time between two checkpoints, in seconds."
    )
    seed: int = Field(default=0, ge=0, description="Seed of dropout; the batches have their own.")

    @model_validator(mode="after")
    def _one_budget(self) -> TrainerConfig:
        if sum(value is not None for value in (self.minutes, self.tokens, self.steps)) != 1:
            raise ValueError("give exactly one of minutes, tokens and steps")
        return self

    def fraction(self, *, seconds: float, tokens: int, steps: int) -> float:
        """The share of the budget that is used, 0 to 1."""
        if self.minutes is not None:
            return min(1.0, seconds / (60 * self.minutes))
        if self.tokens is not None:
            return min(1.0, tokens / self.tokens)
        return min(1.0, steps / (self.steps or 1))

    def rate(self, fraction: float) -> float:
        """The learning rate at this share of the budget, as a share of its peak: up, flat, down to 0."""
        rise = 1.0 if fraction >= self.warmup else max(fraction / self.warmup, 1e-3)
        fall = 1.0 if fraction <= 1 - self.decay else (1 - fraction) / self.decay
        return min(rise, fall)


@dataclass(frozen=True)
class Progress:
    """Where training stands, after a step."""

    step: int
    tokens: int
    loss: float  # nats per target token, mean since the last reading
    tokens_per_second: float
    learning_rate: float  # as a share of the peak
    fraction: float  # of the budget
    seconds: float  # of training, over all resumes
    seconds_left: float


@dataclass(frozen=True)
class FitReport:
    """How training went. The model holds the trained weights, in the precision it came with."""

    steps: int
    tokens: int
    loss: float  # nats per target token, mean of the last readings
    first_loss: float
    seconds: float
    fraction: float  # of the budget: below 1 when it was stopped
    finished: bool
    device: str
    precision: str
    threads: int


def token_loss(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Next-token cross-entropy of any model from ids (B, T) to logits (B, T, V), or an object with logits."""
    out = model(batch.ids)
    logits = out if isinstance(out, Tensor) else out.logits
    wanted = batch.weights[:, 1:]
    where = wanted > 0
    losses = nn.functional.cross_entropy(
        logits[:, :-1][where].float(), batch.ids[:, 1:][where], reduction="none"
    )
    weights = wanted[where]
    return (losses * weights).sum(), weights.sum()


def fit(
    model: nn.Module,
    batches: Batches,
    config: TrainerConfig,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    checkpoint_dir: Path | None = None,
    loss: Loss = token_loss,
    group: Group = ALONE,
) -> FitReport:
    """Train ``model`` in place until the budget is used, or until SIGTERM or Ctrl-C with a checkpoint folder.

    With ``checkpoint_dir`` the state is written there every ``checkpoint_seconds``, and training continues
    what is found there; ``log.jsonl`` beside it has the loss by tokens. Raises :class:`UsageError` when the
    checkpoint was made with other settings or another model, and when the loss is no longer a number.

    In a ``group``, every process calls this with the same model and with batches of that group; process 0
    keeps the time and writes.
    """
    kept = [weight.dtype for weight in model.parameters()]
    placed = place(model, batches, config, loss, group)
    if config.compile:
        compile_layers(model)
    run = _Run(model, batches, config, loss, placed.device, group)
    if checkpoint_dir is not None:
        run.resume(checkpoint_dir)
    writes = checkpoint_dir if group.rank == 0 else None
    with stop_on_signal(enabled=checkpoint_dir is not None) as stopped:
        for progress in run.steps(stopped, writes):
            if on_progress is not None:
                on_progress(progress)
    weights = run.optimizers.weights()
    with torch.no_grad():
        for (name, weight), dtype in zip(model.named_parameters(), kept, strict=True):
            weight.data = weights.get(name, weight.data).to(dtype)
    return FitReport(
        steps=run.step,
        tokens=run.tokens,
        loss=run.last_loss,
        first_loss=run.first_loss,
        seconds=run.seconds,
        fraction=run.fraction,
        finished=run.fraction >= 1,
        device=placed.device,
        precision=placed.precision,
        threads=placed.threads,
    )


class _Run:
    """The state of one training run: what a checkpoint holds, and the loop that moves it."""

    def __init__(
        self, model: nn.Module, batches: Batches, config: TrainerConfig, loss: Loss, device: str, group: Group
    ) -> None:
        self.model, self.batches, self.config, self.loss, self.device = model, batches, config, loss, device
        self.group = group
        kind, decay = config.optimizer, config.weight_decay
        rates = {"muon_lr": config.muon_learning_rate, "adam_lr": config.learning_rate}
        self.optimizers = Optimizers(model, kind=kind, weight_decay=decay, **rates)
        self.step = self.tokens = 0
        self.seconds = 0.0
        self.first_loss = self.last_loss = math.nan
        self._clock = 0.0  # when the time was last added up
        self._stop_together = False  # one of the group was told to stop
        self.gradients = Gradients(group, self.optimizers.named)
        torch.manual_seed(config.seed)

    @property
    def fraction(self) -> float:
        return self.config.fraction(seconds=self.seconds, tokens=self.tokens, steps=self.step)

    def steps(self, stopped: threading.Event, folder: Path | None) -> Iterator[Progress]:
        """Update the weights until the budget is used; yield after every step."""
        self.model.train()
        self._clock = saved = read_at = time.monotonic()
        pending: list[tuple[Tensor, Tensor]] = []
        speed, read_tokens = 0.0, self.tokens
        while self.fraction < 1 and not self._stops(stopped):
            batch = self.batches.next().to(self.device)
            if self.group.size == 1:
                pending.append(self._update(batch))
            else:
                pending.append(self._update_together(batch, stopped.is_set()))
            if len(pending) >= READ_EVERY or self.step == 1 or self.fraction >= 1:
                self._read(pending, folder)
                now = time.monotonic()
                if self.step > 1:
                    speed = (self.tokens - read_tokens) / max(now - read_at, 1e-9)
                read_at, read_tokens = now, self.tokens
            if time.monotonic() - saved >= self.config.checkpoint_seconds:
                if folder is not None:
                    self.save(folder)
                release_memory()
                saved = time.monotonic()
            yield self._progress(speed)
        if pending:
            self._read(pending, folder)
        if folder is not None:
            self.save(folder)

    def _update(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """One step: the loss as sum and weight."""
        total, weight = self.loss(self.model, batch)
        (total / weight.clamp(min=1e-6)).backward()
        self.optimizers.step(self.config.rate(self.fraction), self.config.clip)
        self.step += 1
        self.tokens += batch.tokens
        self.seconds += self._elapsed()
        return total.detach(), weight.detach()

    def _update_together(self, batch: Batch, stopped: bool) -> tuple[Tensor, Tensor]:
        """The same, with the gradients and numbers of all processes added; the time is that of process 0."""
        total = weight = torch.zeros(())
        if len(batch.ids):
            total, weight = self.loss(self.model, batch)
            total.backward()
        seconds = self._elapsed() if self.group.rank == 0 else 0.0
        mine = [total.item(), weight.item(), batch.tokens, seconds, float(stopped)]
        loss, weights, tokens, seconds, stop = self.gradients.average(mine, weight=1)
        self.optimizers.step(self.config.rate(self.fraction), self.config.clip)
        self.step += 1
        self.tokens += round(tokens)
        self.seconds += seconds
        self._stop_together = stop > 0
        return torch.tensor(loss), torch.tensor(weights)

    def _stops(self, stopped: threading.Event) -> bool:
        """Whether it was told to stop: in a group all must know before the next step, so one step later."""
        return stopped.is_set() if self.group.size == 1 else self._stop_together

    def _elapsed(self) -> float:
        """Seconds since this was last called."""
        before, self._clock = self._clock, time.monotonic()
        return self._clock - before

    def _read(self, pending: list[tuple[Tensor, Tensor]], folder: Path | None) -> None:
        totals = float(sum(total.item() for total, _ in pending))
        self.last_loss = totals / max(sum(weight.item() for _, weight in pending), 1e-6)
        pending.clear()
        if not math.isfinite(self.last_loss):
            raise UsageError(
                f"training diverged at step {self.step}: the loss is {self.last_loss}; lower the rate"
            )
        if math.isnan(self.first_loss):
            self.first_loss = self.last_loss
        if folder is not None:
            line = {"step": self.step, "tokens": self.tokens, "seconds": round(self.seconds, 1)}
            line |= {"loss": round(self.last_loss, 4), "rate": round(self.config.rate(self.fraction), 4)}
            with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")

    def _progress(self, speed: float) -> Progress:
        done = self.fraction
        left = self.seconds * (1 - done) / done if done > 0 else math.inf
        rate = self.config.rate(done)
        return Progress(self.step, self.tokens, self.last_loss, speed, rate, done, self.seconds, left)

    def save(self, folder: Path) -> None:
        numbers = {
            "step": self.step,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "fraction": self.fraction,
        }
        losses = {"first_loss": self.first_loss, "last_loss": self.last_loss}
        state = {"batches": self.batches.state(), "optimizers": self.optimizers.state()}
        save_checkpoint(folder, numbers | losses | state | {"config": self.config.model_dump()})

    def resume(self, folder: Path) -> None:
        """Take over the checkpoint in ``folder``, if there is one."""
        shapes = {name: tuple(master.shape) for name, master in self.optimizers.weights().items()}
        saved = load_checkpoint(folder, self.config.model_dump(), shapes)
        if saved is None:
            return
        self.step, self.tokens, self.seconds = saved["step"], saved["tokens"], saved["seconds"]
        self.first_loss, self.last_loss = saved["first_loss"], saved["last_loss"]
        self.optimizers.restore(saved["optimizers"])
        self.batches.restore(saved["batches"])
