"""The one training loop: pretraining the embedded model and fine-tuning any causal LM go through :func:`fit`.

A budget (minutes, tokens or steps) drives the schedule; a checkpoint folder makes it survive ``kill -9``.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from autoagent.config import Settings
from autoagent.errors import UsageError
from autoagent.models.needs import release_memory
from autoagent.training.batches import Batch, Feed
from autoagent.training.checkpoint import load_checkpoint, save_checkpoint
from autoagent.training.losses import Loss, Measured, mean_loss, token_loss
from autoagent.training.optim import Optimizers
from autoagent.training.parallel import ALONE, Gradients, Group
from autoagent.training.placement import compile_layers, place
from autoagent.training.signals import stop_on_signal
from autoagent.training.stopping import Best

READ_EVERY = 10  # steps between readings of the loss: a reading waits for an accelerator
Made = TypeVar("Made")


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
    evaluate_every: int = Field(
        default=50, ge=1, description="Updates between two measurements of the validation loss."
    )
    patience: int = Field(
        default=0,
        ge=0,
        description="Measurements without a new best after which training stops, with the best weights kept; "
        "0: goes on to the end and keeps the last.",
    )

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
    loss: float  # nats per target token (of preferences: a pair or example), mean since the last reading
    tokens_per_second: float
    learning_rate: float  # as a share of the peak
    fraction: float  # of the budget
    seconds: float  # of training, over all resumes
    seconds_left: float
    validation_loss: float | None = None  # the last one measured
    metrics: Mapping[str, float] = field(default_factory=dict)  # the loss's own, at the last reading
    note: str = ""  # something the user should know, in a sentence; once


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
    best_step: int | None = None  # with the lowest validation loss; with patience, the weights are its
    best_loss: float | None = None
    stopped_early: bool = False  # by the validation loss
    metrics: Mapping[str, float] = field(default_factory=dict)  # the loss's own, at the last reading


def fit(
    model: nn.Module,
    batches: Feed[Any],
    config: TrainerConfig,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    checkpoint_dir: Path | None = None,
    loss: Loss = token_loss,
    group: Group = ALONE,
    validation: Feed[Any] | None = None,
    parts: int = 1,
) -> FitReport:
    """Train ``model`` in place until the budget is used, or until SIGTERM or Ctrl-C with a checkpoint folder.

    With ``checkpoint_dir`` the state is written there every ``checkpoint_seconds``, and training continues
    what is found there; ``log.jsonl`` beside it has the loss by tokens. With ``validation``, the loss of one
    pass over it is measured every ``evaluate_every`` steps, and may end training, see ``patience``. Where
    memory does not suffice, batches are computed in parts, at least ``parts``, that add up to the same.

    Raises :class:`UsageError` when the checkpoint was made with other settings or another model, when the
    loss is no longer a number, and when there is no memory for a single sequence.

    In a ``group``, every process calls this with the same model and with batches of that group; process 0
    keeps the time, measures on ``validation`` (which has no group), and writes.
    """
    before = {name: weight.data for name, weight in model.named_parameters()}
    dtypes = {name: weight.dtype for name, weight in before.items()}
    placed = place(model, batches, config, loss, group)
    exact = {
        name: before[name]
        for name, now in model.named_parameters()
        if now.dtype != before[name].dtype and now.is_floating_point()
    }
    del before
    for feed in (batches, validation if group.rank == 0 else None):
        if feed is not None:
            feed.ready(model, placed.device)
    if config.compile:
        compile_layers(model)
    run = _Run(model, batches, validation, config, loss, _Place(placed.device, group, exact))
    if checkpoint_dir is not None:
        run.resume(checkpoint_dir)
    run.parts = max(run.parts, parts)
    writes = checkpoint_dir if group.rank == 0 else None
    with stop_on_signal(enabled=checkpoint_dir is not None) as stopped:
        for progress in run.steps(stopped, writes):
            if on_progress is not None:
                on_progress(progress)
    weights = run.best.weights or run.optimizers.weights()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.is_floating_point():
                final = weights.get(name, exact.get(name, weight.data))
                weight.data = final.to(weight.device, dtypes[name])
    return FitReport(
        steps=run.step,
        tokens=run.tokens,
        loss=run.last_loss,
        first_loss=run.first_loss,
        seconds=run.seconds,
        fraction=run.fraction,
        finished=run.fraction >= 1 or run.best.given_up,
        device=placed.device,
        precision=placed.precision,
        threads=placed.threads,
        best_step=run.best.step,
        best_loss=None if run.best.step is None else run.best.loss,
        stopped_early=run.best.given_up and run.fraction < 1,
        metrics=run.metrics,
    )


@dataclass(frozen=True)
class _Place:
    device: str
    group: Group
    exact: Mapping[str, Tensor]  # weights before they were rounded to the precision of training, by name


class _Run:
    """The state of one training run: what a checkpoint holds, and the loop that moves it."""

    def __init__(
        self,
        model: nn.Module,
        batches: Feed[Any],
        validation: Feed[Any] | None,
        config: TrainerConfig,
        loss: Loss,
        place: _Place,
    ) -> None:
        self.model, self.batches, self.validation = model, batches, validation
        self.config, self.loss, self.device, self.group = config, loss, place.device, place.group
        kind, decay = config.optimizer, config.weight_decay
        rates = {"muon_lr": config.muon_learning_rate, "adam_lr": config.learning_rate}
        self.optimizers = Optimizers(model, kind=kind, weight_decay=decay, exact=place.exact, **rates)
        self.step = self.tokens = 0
        self.seconds = 0.0
        self.first_loss = self.last_loss = math.nan
        self.metrics: dict[str, float] = {}
        self.best = Best(config.patience)
        self.parts = 1  # that a batch is computed in
        self._validation_loss: float | None = None
        self._note = self._unlogged = ""
        self._speed = 0.0  # tokens per second
        self._clock = 0.0  # when the time was last added up
        self._read_at = (0.0, 0)  # when, and after how many tokens, the loss was last read
        self._stop_together = False  # one of the group was told to stop
        self.gradients = Gradients(self.group, self.optimizers.named)
        torch.manual_seed(config.seed)

    @property
    def fraction(self) -> float:
        return self.config.fraction(seconds=self.seconds, tokens=self.tokens, steps=self.step)

    def steps(self, stopped: threading.Event, folder: Path | None) -> Iterator[Progress]:
        """Update the weights until the budget is used; yield after every step."""
        self.model.train()
        self._measured()
        self._clock = saved = time.monotonic()
        self._read_at = (self._clock, self.tokens)
        pending: list[tuple[Tensor, Tensor]] = []
        while self.fraction < 1 and not self.best.given_up and not self._stops(stopped):
            self._note = ""
            batch = self.batches.next().to(self.device)
            if self.group.size == 1:
                pending.append(self._update(batch))
            else:
                pending.append(self._update_together(batch, stopped.is_set()))
            due = self.validation is not None and (
                self.step % self.config.evaluate_every == 0 or self.fraction >= 1
            )
            if len(pending) >= READ_EVERY or self.step == 1 or self.fraction >= 1 or due:
                self._read(pending)
                more = self._evaluate() if due else {}
                self._log(folder, more)
                self._read_at = (time.monotonic(), self.tokens)
            if time.monotonic() - saved >= self.config.checkpoint_seconds:
                if folder is not None:
                    self.save(folder)
                release_memory()
                saved = time.monotonic()
            yield self._progress()
        if pending:
            self._read(pending)
            self._log(folder, {})
        if folder is not None:
            self.save(folder)

    def _update(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """One step: the loss as sum and weight."""
        total, weight = self._sparingly(batch, self._mean_gradients)
        self._optimise()
        self.step += 1
        self.tokens += batch.tokens
        self.seconds += self._elapsed()
        return total, weight

    def _update_together(self, batch: Batch, stopped: bool) -> tuple[Tensor, Tensor]:
        """The same, with the gradients and numbers of all processes added; the time is that of process 0."""
        total = weight = torch.zeros(())
        if len(batch):
            total, weight = self._sparingly(batch, self._add_gradients)
        seconds = self._elapsed() if self.group.rank == 0 else 0.0
        mine = [total.item(), weight.item(), batch.tokens, seconds, float(stopped)]
        loss, weights, tokens, seconds, stop = self.gradients.average(mine, weight=1)
        self._optimise()
        self.step += 1
        self.tokens += round(tokens)
        self.seconds += seconds
        self._stop_together = stop > 0
        return torch.tensor(loss), torch.tensor(weights)

    def _mean_gradients(self, parts: list[Batch]) -> tuple[Tensor, Tensor]:
        """Make the gradients of the mean loss of a batch; return its sum and weight."""
        if len(parts) == 1:
            total, weight = self.loss(self.model, parts[0])
            (total / weight.clamp(min=1e-6)).backward()
            return total.detach(), weight.detach()
        total, weight = self._add_gradients(parts)
        gradients = [each.grad for _, each in self.optimizers.named if each.grad is not None]
        torch._foreach_mul_(gradients, 1 / max(weight.item(), 1e-6))
        return total, weight

    def _add_gradients(self, parts: list[Batch]) -> tuple[Tensor, Tensor]:
        """Make the gradients of the summed loss of a batch; return the sum and its weight."""
        sums = []
        for part in parts:
            total, weight = self.loss(self.model, part)
            total.backward()
            sums.append(torch.stack([total.detach(), weight.detach()]))
        total, weight = torch.stack(sums).sum(dim=0)
        return total, weight

    def _sparingly(self, batch: Batch, compute: Callable[[list[Batch]], Made]) -> Made:
        """``compute`` the parts of a batch; where memory ends, begin again with twice as many, for good."""
        while True:
            try:
                return compute(batch.parts(self.parts))
            except (RuntimeError, MemoryError) as fault:
                if not _out_of_memory(fault):
                    raise
            self._halve(len(batch), batch.ids.shape[1])  # here, where the fault no longer holds memory

    def _halve(self, rows: int, length: int) -> None:
        where = f"out of memory on {self.device} at step {self.step + 1}"
        if rows <= self.parts:
            raise UsageError(
                f"{where}, with a single sequence of {length} tokens: train fewer weights (last:N, lora), "
                "leave out long examples, or use a smaller model"
            )
        self.parts *= 2
        self._say(f"{where}: batches are computed in {self.parts} parts now, the updates stay the same")
        self.model.zero_grad(set_to_none=True)
        release_memory()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _say(self, note: str) -> None:
        """Tell it with the progress of this step, and in the log."""
        self._note = self._unlogged = note

    def _optimise(self) -> None:
        try:
            self.optimizers.step(self.config.rate(self.fraction), self.config.clip)
        except (RuntimeError, MemoryError) as fault:
            if not _out_of_memory(fault):
                raise
            raise UsageError(
                f"out of memory on {self.device} for the optimizer: train fewer weights (last:N, lora)"
            ) from None

    def _stops(self, stopped: threading.Event) -> bool:
        """Whether it was told to stop: in a group all must know before the next step, so one step later."""
        return stopped.is_set() if self.group.size == 1 else self._stop_together

    def _elapsed(self) -> float:
        """Seconds since this was last called."""
        before, self._clock = self._clock, time.monotonic()
        return self._clock - before

    def _read(self, pending: list[tuple[Tensor, Tensor]]) -> None:
        """Take in the losses since the last reading."""
        totals = float(sum(total.item() for total, _ in pending))
        self.last_loss = totals / max(sum(weight.item() for _, weight in pending), 1e-6)
        pending.clear()
        if not math.isfinite(self.last_loss):
            raise UsageError(
                f"training diverged at step {self.step}: the loss is {self.last_loss}; lower the rate"
            )
        if math.isnan(self.first_loss):
            self.first_loss = self.last_loss
        self.metrics = self._measured()
        if self.step > 1:
            then, tokens = self._read_at
            self._speed = (self.tokens - tokens) / max(time.monotonic() - then, 1e-9)

    def _measured(self) -> dict[str, float]:
        return self.loss.metrics() if isinstance(self.loss, Measured) else {}

    def _evaluate(self) -> dict[str, float]:
        """Measure the validation loss; what there is to log."""
        assert self.validation is not None
        value = 0.0
        if self.group.rank == 0:
            value = mean_loss(self.model, self.validation, self._whole, self.device)
        value = self.group.agree(value)
        self._validation_loss = value
        self.best.compare(value, self.step, self.optimizers.weights())
        if self.best.given_up:
            self._say(
                f"stopped at step {self.step}: the validation loss was lowest at step {self.best.step} "
                f"({self.best.loss:.4f}), whose weights are kept"
            )
        return {"validation_loss": value} | {f"validation_{k}": v for k, v in self._measured().items()}

    def _whole(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss of a batch without gradients, in as many parts as there is memory for."""

        def add(parts: list[Batch]) -> tuple[Tensor, Tensor]:
            total, weight = torch.stack([torch.stack(self.loss(model, part)) for part in parts]).sum(dim=0)
            return total, weight

        return self._sparingly(batch, add)

    def _log(self, folder: Path | None, more: Mapping[str, float]) -> None:
        if folder is None:
            return
        line: dict[str, Any] = {"step": self.step, "tokens": self.tokens, "seconds": round(self.seconds, 1)}
        line |= {"loss": round(self.last_loss, 4), "rate": round(self.config.rate(self.fraction), 4)}
        line |= {"tokens_per_second": round(self._speed)}
        line |= {name: float(f"{value:.6g}") for name, value in (self.metrics | dict(more)).items()}
        if self._unlogged:
            line["note"], self._unlogged = self._unlogged, ""
        with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")

    def _progress(self) -> Progress:
        done = self.fraction
        return Progress(
            step=self.step,
            tokens=self.tokens,
            loss=self.last_loss,
            tokens_per_second=self._speed,
            learning_rate=self.config.rate(done),
            fraction=done,
            seconds=self.seconds,
            seconds_left=self.seconds * (1 - done) / done if done > 0 else math.inf,
            validation_loss=self._validation_loss,
            metrics=self.metrics,
            note=self._note,
        )

    def save(self, folder: Path) -> None:
        numbers = {
            "step": self.step,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "fraction": self.fraction,
            "parts": self.parts,
        }
        losses = {"first_loss": self.first_loss, "last_loss": self.last_loss}
        state = {"batches": self.batches.state(), "optimizers": self.optimizers.state()}
        state |= {"best": self.best.state()}
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
        self.parts = saved.get("parts", 1)
        if "best" in saved:
            self.best.restore(saved["best"])


def _out_of_memory(fault: BaseException) -> bool:
    from autoagent.models.loading import out_of_memory  # with all of transformers

    return out_of_memory(fault)
