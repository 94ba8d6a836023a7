"""The curves of training runs as a picture: the loss by tokens or minutes, one line a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from autoagent.errors import UsageError
from autoagent.nano.runs import SETTINGS, read_settings

Axis = Literal["tokens", "minutes"]
Points = list[tuple[float, float]]


def loss_curve(run: Path, axis: Axis = "tokens") -> Points:
    """Millions of tokens, or minutes, and the loss there in nats per target token.

    Those of a run that it went on from are counted in. What was logged between the last checkpoint and an
    interruption was trained again, and only its second record counts.
    """
    key = {"tokens": "tokens", "minutes": "seconds"}[axis]
    unit = {"tokens": 1e6, "minutes": 60}[axis]
    before = 0
    if (run / SETTINGS).exists():
        before = read_settings(run).get("earlier", {}).get(key, 0)
    try:
        text = (run / "log.jsonl").read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"no log in {run}: train there first") from None
    records: list[dict[str, float]] = []
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue  # the last line of a run that was killed while writing it
        while records and records[-1]["step"] >= record["step"]:
            records.pop()
        records.append(record)
    return [((before + record[key]) / unit, record["loss"]) for record in records]


def draw(runs: Mapping[str, Points], out: Path, *, axis: Axis = "tokens") -> None:
    """Write the curves to ``out``, an .svg or .png, the loss on a logarithmic scale."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError("drawing curves needs matplotlib: pip install 'autoagent[train]'") from None
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, points in runs.items():
        axes.plot([x for x, _ in points], [y for _, y in smooth(points)], label=name, linewidth=1.2)
    axes.set_yscale("log")
    axes.set_xlabel({"tokens": "million tokens", "minutes": "minutes"}[axis])
    axes.set_ylabel("loss, nats per target token")
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend()
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        figure.savefig(out, metadata={"Date": None} if out.suffix == ".svg" else None)
    except (OSError, ValueError) as fault:
        raise UsageError(f"cannot write {out}: {fault}") from None


def smooth(points: Points, window: int = 20) -> Points:
    """Each loss as the mean of the last ``window``."""
    smoothed = []
    for place, (x, _) in enumerate(points):
        recent: Sequence[tuple[float, float]] = points[max(0, place + 1 - window) : place + 1]
        smoothed.append((x, sum(y for _, y in recent) / len(recent)))
    return smoothed
