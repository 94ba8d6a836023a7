"""The recipe for one GPU as one command that ends in time: all cores but one make data while it trains."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from pathlib import Path

from pydantic import Field

from autoagent.config import Settings
from autoagent.errors import UsageError
from autoagent.models.needs import cores
from autoagent.nano.export import export
from autoagent.nano.model import preset
from autoagent.nano.requests import HumanData
from autoagent.nano.train import NanoTraining, anneal, train
from autoagent.training.checkpoint import read_checkpoint
from autoagent.training.trainer import FitReport

ENDING = 0.06  # share of the minutes kept for the last checkpoint and the export
SHARDS = 100_000  # more than any command makes: it is stopped when the training is over
WEIGHTS = Path(__file__).resolve().parent / "weights"


class GpuRecipe(Settings):
    """One call of the command. Calls with the same folder add up; the last anneals and exports."""

    work: Path = Field(description="Folder of tokenizer, data, runs and export; everything is resumed there.")
    minutes: float = Field(default=9.0, gt=0, description="Wall-clock time of this call, in minutes.")
    last: bool = Field(default=False, description="Anneal, and write the weights to `export`.")
    size: str = Field(default="gpu", description="Model preset.")
    batch_tokens: int = Field(default=98_304, ge=64, description="Tokens per update.")
    workers: int = Field(default=0, ge=0, description="Processes that make data; 0: all cores but one.")
    device: str = Field(default="auto", description="cpu, cuda; auto takes cuda if there is one.")
    compile: bool | None = Field(default=None, description="Compile the layers; by default where one can.")
    human: Path | None = Field(default=None, description="Folder of data sets of human requests, if any.")


def run(recipe: GpuRecipe) -> FitReport:
    """Make data and train for this call's minutes; with ``last``, anneal and export within them.

    Raises :class:`UsageError` where size or requests are none, or no data come in time.
    """
    deadline = time.monotonic() + 60 * recipe.minutes * (1 - ENDING)
    work = recipe.work
    preset(recipe.size, vocab_size=1536)  # refuses an unknown size
    if recipe.human is not None:
        HumanData.of(recipe.human)
    if not (work / "tokenizer").is_dir():  # training one takes minutes of a single core
        names = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
        (work / "tokenizer").mkdir(parents=True)
        for name in names:
            shutil.copy(WEIGHTS / name, work / "tokenizer" / name)
    with data_in_background(recipe) as ended:
        while not any((work / "shards").glob("shard-*.npz")):
            if ended() or time.monotonic() > deadline:
                raise UsageError(f"no training data came into {work / 'shards'} in time")
            time.sleep(0.2)
        report = _train(recipe, (deadline - time.monotonic()) / 60)
    if recipe.last:
        export(_newest(work), work / "export")
    return report


def _newest(work: Path) -> Path:
    return work / "annealed" if (work / "annealed").exists() else work / "run"


def _train(recipe: GpuRecipe, minutes: float) -> FitReport:
    """Go on at the highest rate, or with ``last`` anneal; a last call without others is a whole schedule."""
    work, data = recipe.work, {recipe.work / "shards": 1.0}
    before = read_checkpoint(work / "run")
    if recipe.last and before is not None:
        done = read_checkpoint(work / "annealed")
        minutes += done["seconds"] / 60 if done else 0
        return anneal(
            work / "run",
            work / "annealed",
            data=data,
            minutes=minutes,
            device=recipe.device,
            compile=recipe.compile,
        )
    return train(
        NanoTraining(
            data=data,
            tokenizer=work / "tokenizer",
            out=work / "run",
            size=recipe.size,
            batch_tokens=recipe.batch_tokens,
            minutes=minutes + (before["seconds"] / 60 if before else 0),
            decay=0.4 if recipe.last else 0.0,
            device=recipe.device,
            compile=recipe.compile,
        )
    )


@contextmanager
def data_in_background(recipe: GpuRecipe) -> Iterator[Callable[[], bool]]:
    """Processes that write shards until the block is left or this process is gone; tells if they ended."""
    context = multiprocessing.get_context("spawn")
    maker = context.Process(target=_make_data, args=(recipe,))
    maker.start()
    try:
        yield lambda: not maker.is_alive()
    finally:
        _end(maker.pid)
        maker.kill()  # where it had no time to become a group
        maker.join()


def _make_data(recipe: GpuRecipe) -> None:
    os.setsid()  # so that it and its workers can be ended together
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from autoagent.nano.data import Mix, write_shards

    write_shards(
        recipe.work / "tokenizer",
        recipe.work / "shards",
        shards=SHARDS,
        workers=recipe.workers or max(1, cores() - 1),
        mix=Mix(human=recipe.human),
    )


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        _end(os.getpid())


def _end(group: int | None) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group or 0, signal.SIGKILL)
