"""The curves of training runs as a picture: the loss by tokens or minutes, one line a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from autoagent.nano.runs import SETTINGS, read_settings
from autoagent.training.curves import Points, new_figure, read_log, smooth, write_figure

Axis = Literal["tokens", "minutes"]


def loss_curve(run: Path, axis: Axis = "tokens") -> Points:
    """Millions of tokens, or minutes, and the loss there in nats per target token.

    Those of a run that it went on from are counted in.
    """
    key = {"tokens": "tokens", "minutes": "seconds"}[axis]
    unit = {"tokens": 1e6, "minutes": 60}[axis]
    before = 0
    if (run / SETTINGS).exists():
        before = read_settings(run).get("earlier", {}).get(key, 0)
    return [((before + record[key]) / unit, record["loss"]) for record in read_log(run)]


def draw(runs: Mapping[str, Points], out: Path, *, axis: Axis = "tokens") -> None:
    """Write the curves to ``out``, an .svg or .png, the loss on a logarithmic scale."""
    figure = new_figure()
    axes = figure.subplots()
    for name, points in runs.items():
        axes.plot([x for x, _ in points], [y for _, y in smooth(points)], label=name, linewidth=1.2)
    axes.set_yscale("log")
    axes.set_xlabel({"tokens": "million tokens", "minutes": "minutes"}[axis])
    axes.set_ylabel("loss, nats per target token")
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend()
    write_figure(figure, out)
