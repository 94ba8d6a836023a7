"""Training by TRL's SFTTrainer in place of :func:`autoagent.training.trainer.fit`, with the same settings.

TRL sees ids and labels, never conversations: they were rendered by the model's own chat template, with the
loss on what that marks as the assistant's, as for our trainer. So it does not look for a template of its own,
and there are no arguments of calls that a table of equal columns could fill with ``null``.

Of a group of processes each has a share of every weight (FSDP2) on its GPU, so that together they train what
fits none of them; on CPUs accelerate knows no shares, and each has them all. Beside that, each process keeps
the whole model, in float32, in the memory of its machine; the first one takes the trained weights.

What is not promised: going on after an interruption (it begins anew), Muon, several GPUs in one process, and
batches in parts where memory ends; in a group, early stopping and training some weights only.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from autoagent.errors import UsageError

if TYPE_CHECKING:
    from autoagent.training.batches import Batches
    from autoagent.training.losses import Loss
    from autoagent.training.parallel import Group
    from autoagent.training.trainer import FitReport, Progress, TrainerConfig

_IGNORED = -100  # the label of what is no target


def need_trl() -> None:
    """Raise :class:`UsageError` where TRL is not installed."""
    if importlib.util.find_spec("trl") is None:
        raise UsageError(
            "training with TRL needs it: pip install 'autoagent[trl]', or leave --trainer trl out: "
            "our own trainer takes the same data"
        )


def fit_with_trl(
    model: Any,
    batches: Batches,
    config: TrainerConfig,
    *,
    tokenizer: Any,
    loss: Loss,
    group: Group,
    on_progress: Callable[[Progress], None],
    checkpoint_dir: Path | None = None,
    validation: Batches | None = None,
) -> FitReport:
    """Train what is trainable in ``model``, in place, on all that is in ``batches``.

    There are as many passes as ``config.steps`` would make of our batches, and an update has as many examples
    as those have on average, so the number of updates may differ. ``loss`` measures ``validation``, and
    ``checkpoint_dir`` gets ``log.jsonl`` alone. Raises :class:`UsageError`, in one line, for what TRL cannot
    do here, and where the loss is no longer a number.
    """
    need_trl()
    _refuse(config, group, model)
    from huggingface_hub import constants

    constants.HF_HUB_DISABLE_TELEMETRY = True  # its trainers report their use; nothing leaves this machine
    import torch
    from datasets import Dataset
    from transformers.trainer_callback import PrinterCallback
    from trl import SFTTrainer

    if config.threads:
        torch.set_num_threads(config.threads)
    rows = [_row(ids, mask, batches.max_length) for ids, mask in batches.everything()]
    a_pass = batches.batches_per_pass()
    together = group.size > 1
    own = max(1, round(len(rows) / a_pass / group.size))  # examples of an update in this process
    steps = max(1, (config.steps or 1) // a_pass) * -(-len(rows) // (own * group.size))
    config = config.model_copy(update={"steps": steps, **({"patience": 0} if together else {})})
    plain, model = (
        model,
        copy.deepcopy(model) if together else model,
    )  # shares cannot be put together in place
    logs = checkpoint_dir if group.rank == 0 else None
    watch = _Watch(model, config, loss, on_progress, logs, validation)
    with TemporaryDirectory(prefix="autoagent-trl-") as folder, _as_it_was(model):
        trainer = SFTTrainer(
            model=model,
            args=_settings(model, config, folder, own, together=together),
            train_dataset=Dataset.from_list(rows),
            processing_class=copy.deepcopy(tokenizer),  # it may be given a token for padding
            callbacks=[_listener(watch)],
        )
        trainer.remove_callback(PrinterCallback)  # it prints every log
        watch.begin()
        _train(trainer)
        if together:
            _take(trainer, plain)
    watch.keep_the_best()
    return watch.report(precision="bf16" if trainer.args.bf16 else "fp32")


def _take(trainer: Any, plain: Any) -> None:
    """Put the trained weights, all shares of them, into the model of the first process."""
    found = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if trainer.accelerator.is_main_process:
        plain.load_state_dict(found)


def _refuse(config: TrainerConfig, group: Group, model: Any) -> None:
    import torch

    if config.optimizer != "adamw":
        raise UsageError(f"TRL has no optimizer {config.optimizer} here: use adamw, or our own trainer")
    if group.size > 1 and not all(weight.requires_grad for weight in model.parameters()):
        raise UsageError("several processes train all weights with TRL: leave --weights out, or use one")
    if group.size == 1 and config.device in ("auto", "cuda") and torch.cuda.device_count() > 1:
        raise UsageError("training with TRL takes one GPU here: set CUDA_VISIBLE_DEVICES to one of them")


def _row(ids: Any, mask: Any, length: int) -> dict[str, list[int]]:
    """An example as TRL takes it. Nothing predicts the first token, so it is no target."""
    pairs = zip(ids[:length].tolist(), mask[:length].tolist(), strict=True)
    labels = [one if wanted and place else _IGNORED for place, (one, wanted) in enumerate(pairs)]
    return {"input_ids": ids[:length].tolist(), "labels": labels}


def _settings(model: Any, config: TrainerConfig, folder: str, size: int, *, together: bool) -> Any:
    """TRL's settings for ours; models that are not small keep few activations and compute them twice."""
    import torch
    from trl import SFTConfig

    from autoagent.models.loading import SMALL
    from autoagent.training.placement import pick_device

    cpu, steps = pick_device(config.device) == "cpu", config.steps or 1
    fast = not cpu and (config.device == "mps" or torch.cuda.is_bf16_supported(including_emulation=False))
    large = model.num_parameters() >= SMALL
    shares = {"version": 2, "reshard_after_forward": True, "activation_checkpointing": large}
    return SFTConfig(
        output_dir=folder,
        max_steps=steps,
        per_device_train_batch_size=size,
        train_sampling_strategy="group_by_length",
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        adam_beta2=0.95,
        max_grad_norm=config.clip,
        warmup_steps=round(config.warmup * steps),
        lr_scheduler_type="warmup_stable_decay",
        lr_scheduler_kwargs={"num_decay_steps": round(config.decay * steps), "decay_type": "linear"},
        bf16=config.precision == "bf16" or (config.precision == "auto" and fast),
        gradient_checkpointing=large and not together,
        fsdp=True if together else None,
        fsdp_config=shares if together else None,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        logging_strategy="no",  # but when it is told to
        logging_nan_inf_filter=False,
        seed=config.seed,
        use_cpu=cpu,
        dataloader_pin_memory=not cpu,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def _train(trainer: Any) -> None:
    from autoagent.models.loading import out_of_memory

    try:
        trainer.train()
    except (RuntimeError, MemoryError) as fault:
        if not out_of_memory(fault):
            raise
        raise UsageError(
            "out of memory while training with TRL: train fewer weights (last:N, lora), or use our own "
            "trainer, which then computes batches in parts"
        ) from None


@contextmanager
def _as_it_was(model: Any) -> Iterator[None]:
    """Undo what the trainer does to a model beside training it, so that it is written as it came."""
    kept = copy.deepcopy((model.config, model.generation_config))
    try:
        yield
    finally:
        model.__dict__.pop("forward", None)  # wrapped for its output layer and for mixed precision
        model.config, model.generation_config = kept


class _Watch:
    """Hears of every update: tells of it, logs it, measures the validation loss and decides when to stop."""

    def __init__(
        self,
        model: Any,
        config: TrainerConfig,
        loss: Loss,
        tell: Callable[[Progress], None],
        folder: Path | None,
        validation: Batches | None,
    ) -> None:
        from autoagent.training.stopping import Best

        self._model, self._config, self._loss = model, config, loss
        self._tell, self._folder, self._validation = tell, folder, validation
        self._best = Best(config.patience)
        self._steps = config.steps or 1
        self._step = self._tokens = 0
        self._first_loss = self._loss_now = math.nan
        self._validation_loss: float | None = None
        self._unlogged = False  # the validation loss
        self._began = self._seconds = self._speed = self._rate = 0.0
        self._read_at = (0.0, 0)  # seconds and tokens when the loss was last read

    def begin(self) -> None:
        """The clock starts."""
        self._began = time.monotonic()
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)

    def stepped(self, step: int) -> tuple[bool, bool]:
        """After update ``step``: whether the loss is to be read now, and whether to stop."""
        from autoagent.training.losses import mean_loss
        from autoagent.training.trainer import READ_EVERY

        self._step, self._seconds = step, time.monotonic() - self._began
        last = step >= self._steps
        due = self._validation is not None and (step % self._config.evaluate_every == 0 or last)
        if due and self._validation is not None:
            value = mean_loss(self._model, self._validation, self._loss, self._model.device)
            self._best.compare(value, step, self._trained_weights())
            self._validation_loss, self._unlogged = value, True
        reads = due or last or step == 1 or step % READ_EVERY == 0
        if not reads:
            self._tell(self._progress())
        return reads, self._best.given_up

    def read(self, told: Mapping[str, float]) -> None:
        """TRL tells the loss since it was last read, the tokens so far, and the rate."""
        self._loss_now, self._tokens = float(told["loss"]), round(told["num_tokens"])
        if not math.isfinite(self._loss_now):
            raise UsageError(f"training diverged at step {self._step}: the loss is no number; lower the rate")
        if math.isnan(self._first_loss):
            self._first_loss = self._loss_now
        then, tokens = self._read_at
        self._speed = (self._tokens - tokens) / max(self._seconds - then, 1e-9)
        self._read_at = (time.monotonic() - self._began, self._tokens)
        self._rate = float(told["learning_rate"]) / self._config.learning_rate
        self._log()
        self._tell(self._progress())

    def _log(self) -> None:
        if self._folder is None:
            return
        line: dict[str, Any] = {
            "step": self._step,
            "tokens": self._tokens,
            "seconds": round(self._seconds, 1),
        }
        line |= {"loss": round(self._loss_now, 4), "rate": round(self._rate, 4)}
        line |= {"tokens_per_second": round(self._speed)}
        if self._unlogged and self._validation_loss is not None:
            line["validation_loss"], self._unlogged = round(self._validation_loss, 4), False
        with (self._folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")

    def _progress(self) -> Progress:
        from autoagent.training.trainer import Progress

        done = self._step / self._steps
        return Progress(
            step=self._step,
            tokens=self._tokens,
            loss=self._loss_now,
            tokens_per_second=self._speed,
            learning_rate=self._rate,
            fraction=done,
            seconds=self._seconds,
            seconds_left=self._seconds * (1 - done) / done,
            validation_loss=self._validation_loss,
        )

    def _trained_weights(self) -> dict[str, Any]:
        return {name: each.detach() for name, each in self._model.named_parameters() if each.requires_grad}

    def keep_the_best(self) -> None:
        """With patience the weights are those of the lowest validation loss."""
        weights = self._trained_weights()
        for name, best in self._best.weights.items():
            weights[name].copy_(best)

    def report(self, *, precision: str) -> FitReport:
        """How it went."""
        import torch

        from autoagent.training.trainer import FitReport

        done, best = self._step / self._steps, self._best
        return FitReport(
            steps=self._step,
            tokens=self._tokens,
            loss=self._loss_now,
            first_loss=self._first_loss,
            seconds=self._seconds,
            fraction=done,
            finished=True,
            device=self._model.device.type,
            precision=precision,
            threads=torch.get_num_threads(),
            best_step=best.step,
            best_loss=None if best.step is None else best.loss,
            stopped_early=best.given_up and done < 1,
        )


def _listener(watch: _Watch) -> Any:
    """``watch`` as TRL's trainer takes it."""
    from transformers import TrainerCallback

    class Listener(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            control.should_log, stop = watch.stepped(state.global_step)
            control.should_training_stop = control.should_training_stop or stop

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if "loss" in logs:  # the last one sums up
                watch.read(logs)

    return Listener()
