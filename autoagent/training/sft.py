"""Fine-tuning of a loaded model, by imitation or by preference, and the model folder it becomes."""

from __future__ import annotations

import importlib.util
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from autoagent.models.loading import SMALL, quiet
from autoagent.training.adapters import Prepared, prepare
from autoagent.training.dataset import Dataset, Example
from autoagent.training.examples import REPLAYED
from autoagent.training.learning import AdapterConfig, How, Learning
from autoagent.trajectory import Data

if TYPE_CHECKING:
    from autoagent.models.engine import Engine
    from autoagent.training.batches import Batches, Feed
    from autoagent.training.losses import Loss
    from autoagent.training.parallel import Group
    from autoagent.training.preference import Pair
    from autoagent.training.trainer import FitReport, Progress, TrainerConfig

_MEASURED = 64  # examples of a part that the loss is measured on before and after
_MEASURES = ("train", "test", "validation")  # parts, in the order in which that is done
_PATIENCE = 4  # measurements without a new best, after which training stops
_ENOUGH = 30  # validation examples to stop by; with fewer, their loss rises while success still does
_EVALUATIONS = 8  # of the validation loss in a training, at least; and at least one a pass
CURVES = "curves.png"
_UPDATES = 12  # of a pass, as long as that makes batches of
_SMALLEST, _LARGEST = 2048, 8192  # tokens
_HOLDING = 0.25  # of the tokens; half was measured
_USUAL = Learning()

Pairs = Sequence[tuple[Example, Example]]  # chosen, rejected
Judged = Sequence[tuple[Example, bool]]  # good or bad


Stage = Literal["train", "gate old", "gate new", "gate old elsewhere", "gate new elsewhere"]


@dataclass(frozen=True)
class FinetuneProgress:
    """Where a fine-tuning stands: in training steps, or in tasks of the gate."""

    stage: Stage
    step: int  # from 1
    total: int
    seconds_left: float  # of this stage
    loss: float | None = None  # nats per trained token; of preferences: a pair or example
    tokens_per_second: float | None = None
    validation_loss: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)  # the method's own
    note: str = ""  # something the user should know, in a sentence; once


OnProgress = Callable[[FinetuneProgress], None]


class Losses(Data):
    """Nats per trained token, of preferences the loss of a pair or example; before and after training."""

    before: float
    after: float


class Trained(Data):
    """What training cost and did."""

    steps: int
    tokens: int
    seconds: float
    train_loss: Losses
    validation_loss: Losses | None  # on goals that were not trained on; None when there are none
    test_loss: Losses | None = Field(
        default=None, description="On goals that neither trained nor said when to stop; None without any."
    )
    method: str = "sft"
    trainable: int = Field(default=0, description="Numbers that were trained; 0: not noted.")
    best_step: int | None = Field(default=None, description="With the lowest validation loss.")
    stopped_early: bool = Field(default=False, description="By the validation loss.")
    finished: bool = Field(default=True, description="False: it was told to stop, and has a checkpoint.")
    metrics: Mapping[str, float] = Field(
        default_factory=dict, description="The method's own, on validation data where there are any."
    )
    learning_rate: float | None = Field(default=None, description="Its peak; None: not noted.")


@dataclass(frozen=True)
class Run:
    """What a training needs beside data and settings; all of it may be left out.

    Attributes:
        folder: For checkpoint, ``log.jsonl``, boards and curves; what is found there is gone on with.
        prepared: The weights to train and how to write them; without it they are prepared as the settings
            say, and adapters are merged at the end.
        group: The processes that share every batch, see ``parallel.launched``.
        parts: That a batch is computed in from the start, where memory is known to be short.
    """

    folder: Path | None = None
    prepared: Prepared | None = None
    group: Group | None = None
    parts: int = 1


def train(
    engine: Engine,
    data: Dataset,
    config: How,
    tell: OnProgress,
    *,
    learning: Learning = _USUAL,
    run: Run = Run(),  # frozen
) -> Trained:
    """Train the engine's model in place to say what the examples say.

    The loss is measured on all parts of the data before and after, but for replay where there is other data.
    Raises :class:`UsageError` for what cannot be trained here, in one line.
    """
    from autoagent.training.holding import HeldLoss
    from autoagent.training.losses import token_loss

    learning = learning.model_copy(update={"method": "sft"})
    share = _held_share(data, config, learning)
    held = share > 0
    rate = config.learning_rate or default_rate(engine, learning, held=share)
    config = _with_batches(config, data.train).model_copy(update={"learning_rate": rate})
    new = [example for example in data.train if example.source != REPLAYED] or data.train
    feeds = _Feeds(
        train=_batches(engine, data.train, config, run.group, held=held),
        validation=_batches(engine, data.validation, config) if data.validation else None,
        samples={
            name: _batches(engine, part[:_MEASURED], config)
            for name, part in zip(_MEASURES, (new, data.test, data.validation), strict=True)
            if part
        },
        by=len(data.validation),
    )
    loss = HeldLoss(engine.model) if held else token_loss
    return _learn(engine, feeds, loss, config, tell, learning, run)


def _held_share(data: Dataset, config: How, learning: Learning) -> float:
    """The share of the tokens that hold the model to what it was."""
    if config.replay_loss != "kl" or learning.trainer != "own":
        return 0.0
    tokens = [0, 0]
    for example in data.train:
        tokens[example.source == REPLAYED] += len(example.ids)
    return tokens[1] / max(1, sum(tokens))


def prefer(
    engine: Engine,
    data: Pairs | Judged,
    config: How,
    tell: OnProgress,
    *,
    learning: Learning,
    validation: Pairs | Judged = (),
    test: Pairs | Judged = (),
    run: Run = Run(),  # frozen
) -> Trained:
    """The same by preference: ``learning.method`` is dpo, for pairs, or kto, for examples good and bad.

    ``validation`` and ``test`` are of the kind of ``data``, and of other goals.
    """
    from autoagent.training import preference

    settings = learning.preference
    config = _with_batches(config, [each for row in data for each in row if isinstance(each, Example)])
    loss: preference.DpoLoss | preference.KtoLoss
    if learning.method == "kto":
        good = sum(bool(label) for _, label in data)
        loss = preference.KtoLoss(settings, good=good, bad=len(data) - good)
    else:
        loss = preference.DpoLoss(settings)

    def feed(part: Any, group: Group | None = None) -> Feed[Pair]:
        found = (
            preference.good_and_bad(part, seed=config.seed)
            if learning.method == "kto"
            else preference.chosen_over_rejected(part)
        )
        return preference.PairBatches(found, **_size(engine, config, group))

    least = 2 if learning.method == "kto" else 1
    feeds = _Feeds(
        train=feed(data, run.group),
        validation=feed(validation) if len(validation) >= least else None,
        samples={
            name: feed(part[:: -(-len(part) // _MEASURED) or 1])  # from all over: good ones come before bad
            for name, part in zip(_MEASURES, (data, test, validation), strict=True)
            if name == "train" or len(part) >= least
        },
        by=len(validation),
    )
    return _learn(engine, feeds, loss, config, tell, learning, run)


@dataclass(frozen=True)
class _Feeds:
    train: Feed[Any]
    validation: Feed[Any] | None
    samples: Mapping[str, Feed[Any]]  # of all parts, by name, to measure the loss on before and after
    by: int  # examples to validate by


def _learn(
    engine: Engine,
    feeds: _Feeds,
    loss: Loss,
    config: How,
    tell: OnProgress,
    learning: Learning,
    run: Run,
) -> Trained:
    from autoagent.training.boards import watching
    from autoagent.training.losses import Measured
    from autoagent.training.parallel import ALONE

    group = run.group or ALONE
    prepared = run.prepared or prepare(engine.model, learning.adapter, seed=config.seed)
    trainable = prepared.trainable
    settings = _trainer(engine, feeds, config, learning)
    for sample in feeds.samples.values():
        sample.ready(engine.model, str(engine.model.device))
    before = _measure(engine, feeds, loss, group)
    told = learning.model_dump() | config.model_dump(mode="json")
    with (
        _threads_kept(),
        watching(run.folder if group.rank == 0 else None, project=learning.wandb, settings=told) as draw,
    ):

        def show(at: Progress) -> None:
            draw(at)
            speed, extra = at.tokens_per_second, (at.validation_loss, at.metrics, at.note)
            total = round(at.step / at.fraction)  # updates
            tell(FinetuneProgress("train", at.step, total, at.seconds_left, at.loss, speed, *extra))

        report = _fit_by(learning.trainer, engine, run.parts)(
            engine.model,
            feeds.train,
            settings,
            on_progress=show,
            checkpoint_dir=run.folder,
            loss=loss,
            group=group,
            validation=feeds.validation,
        )
    if run.prepared is None:
        prepared.merge()
    engine.model.eval()
    after = _measure(engine, feeds, loss, group)
    metrics: dict[str, float] = loss.metrics() if isinstance(loss, Measured) else {}
    if run.folder is not None and group.rank == 0:
        _draw_curves(run.folder, learning.method)
    losses = {name: Losses(before=before[name], after=after[name]) for name in before}
    return _trained(report, losses).model_copy(
        update={
            "method": learning.method,
            "trainable": trainable,
            "metrics": metrics,
            "learning_rate": settings.learning_rate,
        }
    )


def _fit_by(trainer: str, engine: Engine, parts: int) -> Callable[..., FitReport]:
    if trainer == "trl":
        from autoagent.training.with_trl import fit_with_trl

        return partial(fit_with_trl, tokenizer=engine.tokenizer)
    from autoagent.training.trainer import fit

    return partial(fit, parts=parts)


def _trainer(engine: Engine, feeds: _Feeds, config: How, learning: Learning) -> TrainerConfig:
    from autoagent.training.trainer import TrainerConfig

    a_pass = feeds.train.batches_per_pass()
    steps = config.epochs * a_pass
    same = ("optimizer", "device", "precision", "threads", "seed")
    ours = ("weight_decay", "warmup", "decay", "checkpoint_seconds")
    return TrainerConfig(
        steps=steps,
        learning_rate=config.learning_rate or default_rate(engine, learning),
        evaluate_every=max(1, min(a_pass, steps // _EVALUATIONS)),
        patience=_patience(learning, feeds.by),
        **{name: getattr(config, name) for name in same},
        **{name: getattr(learning, name) for name in ours},
    )


def _patience(learning: Learning, examples: int) -> int:
    """How many measurements on so many validation examples may bring nothing new."""
    if learning.patience is not None:
        return learning.patience
    return _PATIENCE if examples >= _ENOUGH else 0


def _measure(engine: Engine, feeds: _Feeds, loss: Loss, group: Group) -> dict[str, float]:
    """The loss on each of the samples; the loss's own numbers are those of the last of them.

    Of several processes the first one measures.
    """
    from autoagent.training.losses import Measured, mean_loss

    if group.rank:
        return dict.fromkeys(feeds.samples, math.nan)
    values = {}
    for name, sample in feeds.samples.items():
        if isinstance(loss, Measured):
            loss.metrics()
        values[name] = mean_loss(engine.model, sample, loss, engine.model.device)
    return values


def _trained(report: FitReport, losses: Mapping[str, Losses]) -> Trained:
    return Trained(
        steps=report.steps,
        tokens=report.tokens,
        seconds=report.seconds,
        train_loss=losses["train"],
        validation_loss=losses.get("validation"),
        test_loss=losses.get("test"),
        best_step=report.best_step,
        stopped_early=report.stopped_early,
        finished=report.finished or report.stopped_early,
    )


def _draw_curves(folder: Path, title: str) -> None:
    if importlib.util.find_spec("matplotlib") and (folder / "log.jsonl").exists():
        from autoagent.training.curves import draw_training

        draw_training(folder, folder / CURVES, title=title)


def default_rate(engine: Engine, learning: Learning = _USUAL, *, held: float = 0.0) -> float:
    """The peak learning rate for a model of this size: small ones need, and stand, a much higher one.

    Adapters take ten times more, preferences a tenth. What all weights of the embedded model stand was
    measured (docs/learning.md): six times more where a good share of the tokens, ``held``, hold it to what
    it was.
    """
    small = engine.model.num_parameters() < SMALL
    full, low_rank = (6e-4 if held >= _HOLDING else 1e-4, 1e-3) if small else (2e-5, 2e-4)
    rate = low_rank if learning.adapter.low_rank else full
    return rate if learning.method == "sft" else rate / 10


def mean_loss(engine: Engine, examples: Sequence[Example]) -> float:
    """Mean loss of the examples' trained tokens, in nats."""
    from autoagent.training import losses
    from autoagent.training.batches import Batches, Examples

    source = Examples([(example.ids, example.mask) for example in examples])
    batches = Batches(source, tokens=4096, max_length=engine.window)
    return losses.mean_loss(engine.model, batches, losses.token_loss, engine.model.device)


def write_model(engine: Engine, folder: Path, prepared: Prepared | None = None) -> None:
    """Write the trained model; all but weights and configuration is copied, byte by byte, from its base."""
    with quiet():
        (prepared or Prepared(engine.model, AdapterConfig())).finish(folder)
    for file in engine.folder.iterdir():
        weights = ".safetensors" in file.name or file.suffix in (".bin", ".pt", ".gguf")
        if file.is_file() and not weights and file.name not in ("config.json", "version.json"):
            shutil.copyfile(file, folder / file.name)


def _batches(
    engine: Engine,
    examples: Sequence[Example],
    config: How,
    group: Group | None = None,
    *,
    held: bool = False,
) -> Batches:
    from autoagent.training.batches import Batches, Examples

    source = Examples([(example.ids, _mask(example, held=held)) for example in examples])
    return Batches(source, **_size(engine, config, group))


def _mask(example: Example, *, held: bool) -> Sequence[int]:
    """Targets, and of what holds the model every token: also where others speak it is to expect the same."""
    return [-1] * len(example.mask) if held and example.source == REPLAYED else example.mask


def _with_batches(config: How, examples: Sequence[Example]) -> How:
    """The settings with a size of batches, where none was given: by the tokens of a pass.

    Of large batches the gradient is less noisy, and so less of what the model knew is lost for the same gain;
    but a training of a few updates learns nothing.
    """
    if config.batch_tokens is not None:
        return config
    tokens = sum(len(example.ids) for example in examples) // _UPDATES
    return config.model_copy(update={"batch_tokens": min(max(tokens, _SMALLEST), _LARGEST)})


def _size(engine: Engine, config: How, group: Group | None) -> dict[str, Any]:
    from autoagent.training.parallel import ALONE

    sizes = {"tokens": config.batch_tokens, "seed": config.seed, "max_length": engine.window}
    return sizes | {"group": group or ALONE}


@contextmanager
def _threads_kept() -> Iterator[None]:
    """Training chooses how many threads to use; who called goes on with as many as before."""
    import torch

    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
