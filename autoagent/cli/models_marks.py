"""What is said of versions that learned from forgotten runs: which, how to go back, how to make them anew."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoagent.cli import console
from autoagent.errors import StoreError
from autoagent.models.difference import flat

if TYPE_CHECKING:
    from autoagent.training.forget import Mark

SETTINGS = {  # option of `finetune`: the setting that it sets
    "--suite": "named_suite",
    "--from-suite": "selection.suite",
    "--tag": "selection.tags",
    "--made-by": "selection.models",
    "--runs": "selection.runs",
    "--since": "selection.since",
    "--until": "selection.until",
    "--judged-by": "selection.by",
    "--data": "outside",
    "--train-forced": "data.train_forced",
    "--method": "learning.method",
    "--beta": "learning.preference.beta",
    "--weights": "learning.adapter.what",
    "--rank": "learning.adapter.rank",
    "--dropout": "learning.adapter.dropout",
    "--epochs": "epochs",
    "--lr": "learning_rate",
    "--batch-tokens": "batch_tokens",
    "--weight-decay": "learning.weight_decay",
    "--patience": "learning.patience",
    "--replay": "replay",
    "--seed": "seed",
    "--trainer": "learning.trainer",
    "--launch": "launch",
    "--gate-tasks": "gate.tasks",
    "--margin": "gate.margin",
    "--elsewhere": "elsewhere",
    "--elsewhere-tasks": "gate.other_tasks",
}


def marks_in(home: Path) -> dict[str, Mark]:
    """The marked versions of a project, by name; nothing is imported where no run is on record."""
    if not (home / "runs.db").exists():
        return {}
    from autoagent.training.forget import marks

    try:
        return marks(home)
    except StoreError as problem:  # versions can be listed and chosen all the same
        screen = console.err()
        screen.print(f"note: who learned from forgotten runs cannot be told: {problem}", soft_wrap=True)
        return {}


def marked_line(mark: Mark) -> str:
    """``v2-… descends from v1-…, which learned from the forgotten run r…``."""
    runs = mark.runs[0] if len(mark.runs) == 1 else f"{mark.runs[0]} and {len(mark.runs) - 1} more"
    which = "run" if len(mark.runs) == 1 else "runs"
    learned = f"learned from the forgotten {which} {runs}"
    if mark.inherited:
        return f"{mark.version} descends from {mark.through}, which {learned}"
    return f"{mark.version} {learned}"


def remedies(mark: Mark, *, in_use: bool) -> Iterator[str]:
    """What to do about a marked version, a line each."""
    if in_use:
        yield f"{mark.version} is in use; back to one without: autoagent models use {shlex.quote(mark.back)}"
    yield f"make it anew, without: {rebuild(mark)}"


def rebuild(mark: Mark) -> str:
    """The command that trains the version anew: from where its line was clean, with the settings it had.

    It learns from the runs that the version could have learned from, but for the forgotten ones.
    """
    from autoagent.training.finetune import FinetuneConfig

    kept, usual = dict(flat(mark.config)), dict(flat(FinetuneConfig().model_dump(mode="json")))
    words = ["autoagent", "finetune", "--base", mark.back]
    for option, name in SETTINGS.items():
        value = kept.get(name)
        if name == "selection.until" and value is None and not kept.get("selection.runs"):
            value = f"{datetime.fromtimestamp(mark.created):%Y-%m-%dT%H:%M:%S}"
        if name == "selection.runs":
            value = [run for run in value or () if not any(gone.startswith(run) for gone in mark.runs)]
        if value not in (None, usual[name]):
            words += _typed(option, value)
    return shlex.join(words)


def _typed(option: str, value: Any) -> list[str]:
    """An option as it is typed; one that takes several values, once for each."""
    if isinstance(value, list):
        return [word for each in value for word in (option, str(each))]
    if isinstance(value, bool):
        return [option] if value else [option, "none"]
    return [option, str(value)]
