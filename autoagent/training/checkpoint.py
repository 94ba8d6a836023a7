"""One checkpoint file, written atomically: after ``kill -9`` either the old or the new one is whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from autoagent.errors import UsageError

FILE = "checkpoint.pt"
BUDGET = {"minutes", "tokens", "steps"}
PLACE = {"checkpoint_seconds", "threads", "precision", "device", "compile"}
STOP = {"patience", "evaluate_every"}
FREE = BUDGET | PLACE | STOP  # may change on resume


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write ``state`` and the random generators' state to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    state = state | {"rng": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda_rng"] = torch.cuda.get_rng_state()
    unfinished = folder / f"{FILE}.tmp"
    try:
        with unfinished.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, folder / FILE)
    except (OSError, RuntimeError) as fault:  # torch raises the latter when it cannot write on
        unfinished.unlink(missing_ok=True)
        reason = str(fault).splitlines()[0]
        raise UsageError(f"cannot write {folder / FILE}, the one before is kept: {reason}") from None


def read_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The checkpoint in ``folder`` on the CPU, or None where there is none."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as fault:
        what = f"{path} ({type(fault).__name__})"
        raise UsageError(f"cannot read checkpoint {what}: delete it to start anew") from None
    return state


def load_checkpoint(
    folder: Path, config: dict[str, Any], shapes: dict[str, tuple[int, ...]]
) -> dict[str, Any] | None:
    """The checkpoint to continue from, checked against this configuration and model; restores the generators.

    Raises :class:`UsageError` where a setting that may not change has changed, or the model is another one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = read_checkpoint(folder)
    if state is None:
        return None
    for key, value in state["config"].items():
        if key not in FREE and config.get(key) != value:
            raise UsageError(
                f"{folder / FILE} was made with {key}={value}, not {config.get(key)}: "
                "give the same settings, or another folder to start anew"
            )
    masters = state["optimizers"]["masters"]
    if {name: tuple(master.shape) for name, master in masters.items()} != shapes:
        raise UsageError(f"{folder / FILE} holds a model of another shape: give another folder to start anew")
    torch.set_rng_state(state["rng"])
    if torch.cuda.is_available() and "cuda_rng" in state:
        torch.cuda.set_rng_state(state["cuda_rng"])
    return state
