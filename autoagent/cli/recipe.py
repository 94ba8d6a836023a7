"""The options that a version was trained with, as they would be typed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from autoagent.models.difference import flat

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
    "--max-length": "data.max_length",
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
    "--replay-loss": "replay_loss",
    "--seed": "seed",
    "--trainer": "learning.trainer",
    "--launch": "launch",
    "--gate-tasks": "gate.tasks",
    "--margin": "gate.margin",
    "--elsewhere": "elsewhere",
    "--elsewhere-tasks": "gate.other_tasks",
}


def typed(config: Mapping[str, Any]) -> list[str]:
    """The options of ``autoagent finetune`` that say what these settings do, but for the defaults."""
    from autoagent.training.finetune import FinetuneConfig

    kept, usual = dict(flat(config)), dict(flat(FinetuneConfig().model_dump(mode="json")))
    chosen = ((option, kept.get(name), usual[name]) for option, name in SETTINGS.items())
    words = [
        word
        for option, value, default in chosen
        if value not in (None, default)
        for word in _words(option, value)
    ]
    apart = kept.get("learning.adapter.merge", True) is False
    return [*words, "--keep-adapter"] if apart else words


def _words(option: str, value: Any) -> Iterable[str]:
    """An option with its value; one that takes several values, once for each."""
    if isinstance(value, list):
        return (word for each in value for word in (option, str(each)))
    if isinstance(value, bool):
        return [option] if value else [option, "none"]
    return [option, str(value)]
