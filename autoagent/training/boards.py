"""Watching training from elsewhere: TensorBoard where it is installed, Weights & Biases where asked for."""

from __future__ import annotations

import importlib.util
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autoagent.errors import UsageError
from autoagent.training.trainer import READ_EVERY, Progress

NAMES = ("loss", "learning_rate", "tokens_per_second")


class Board:
    """Loss, rate and speed as TensorBoard scalars, by tokens; after a resume, later points are dropped."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None
        self._validation: float | None = None

    def __call__(self, progress: Progress) -> None:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=progress.tokens, max_queue=1000)
        elif progress.step % READ_EVERY and progress.validation_loss == self._validation:
            return  # the loss is read no more often
        self._validation = progress.validation_loss
        for name, value in numbers(progress).items():
            self._writer.add_scalar(name, value, progress.tokens)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class Wandb:
    """The same as a run of Weights & Biases, by updates; ``WANDB_MODE=offline`` keeps it on this machine."""

    def __init__(self, folder: Path, project: str, settings: Mapping[str, Any]) -> None:
        if importlib.util.find_spec("wandb") is None:
            raise UsageError("reporting to Weights & Biases needs wandb: pip install wandb")
        import wandb

        kept = folder / "wandb.id"
        name = kept.read_text(encoding="utf-8") if kept.exists() else secrets.token_hex(4)
        folder.mkdir(parents=True, exist_ok=True)
        kept.write_text(name, encoding="utf-8")
        try:
            self._run = wandb.init(
                project=project, dir=folder, id=name, resume="allow", config=dict(settings)
            )
        except wandb.errors.Error as fault:
            reason = str(fault).splitlines()[0]
            raise UsageError(
                f"cannot report to Weights & Biases ({reason}): run `wandb login`, or set WANDB_MODE=offline"
            ) from None

    def __call__(self, progress: Progress) -> None:
        self._run.log(numbers(progress) | {"tokens": progress.tokens}, step=progress.step)

    def close(self) -> None:
        self._run.finish()


def numbers(progress: Progress) -> dict[str, float]:
    """What is drawn."""
    found = {name: float(getattr(progress, name)) for name in NAMES} | dict(progress.metrics)
    if progress.validation_loss is not None:
        found["validation_loss"] = progress.validation_loss
    return found


@contextmanager
def watching(
    folder: Path | None, *, project: str = "", settings: Mapping[str, Any] | None = None
) -> Iterator[Callable[[Progress], None]]:
    """Something to call after every step: draws below ``folder``, if there is one, where it can."""
    boards: list[Board | Wandb] = []
    if folder is not None and importlib.util.find_spec("tensorboard"):
        boards.append(Board(folder / "tensorboard"))
    if folder is not None and project:
        boards.append(Wandb(folder, project, settings or {}))

    def show(progress: Progress) -> None:
        for board in boards:
            board(progress)

    try:
        yield show
    finally:
        for board in boards:
            board.close()
