"""The curves of a training as a picture, from its ``log.jsonl``; the drawing board for other curves, too."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autoagent.errors import UsageError

LOG = "log.jsonl"
PLAIN = {"step", "tokens", "seconds", "loss", "rate", "tokens_per_second", "validation_loss", "note"}
_WIDE = 5  # times the smallest loss, from which on losses are drawn by their logarithm
Points = list[tuple[float, float]]


def read_log(folder: Path) -> list[dict[str, Any]]:
    """What was logged, reading by reading.

    What was logged between the last checkpoint and an interruption was trained again, and only its second
    record counts.
    """
    try:
        text = (folder / LOG).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"no log in {folder}: train there first") from None
    records: list[dict[str, Any]] = []
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue  # the last line of a run that was killed while writing it
        while records and records[-1]["step"] >= record["step"]:
            records.pop()
        records.append(record)
    return records


def draw_training(folder: Path, out: Path, *, title: str = "") -> None:
    """Draw what is logged in ``folder`` into ``out``, an .svg or .png: the losses, and below the rest.

    Raises :class:`UsageError` where nothing was logged, matplotlib is missing, or ``out`` cannot be written.
    """
    records = read_log(folder)
    groups = _by_unit(records)
    figure = new_figure(rows=1 + len(groups))
    panels = figure.subplots(1 + len(groups), sharex=True, squeeze=False)[:, 0]
    _draw_losses(panels[0], records)
    for panel, (unit, names) in zip(panels[1:], groups.items(), strict=True):
        for name in names:
            panel.plot(*_columns(records, name), label=name.replace("_", " "), linewidth=1.2)
        panel.set_ylabel(unit)
    for panel in panels:
        panel.grid(visible=True, which="both", alpha=0.25)
        panel.legend()
    panels[-1].set_xlabel("updates")
    panels[-1].xaxis.get_major_locator().set_params(integer=True)
    figure.suptitle(title)
    write_figure(figure, out)


def _by_unit(records: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """The names of the method's own numbers by what they measure; validation last."""
    names = dict.fromkeys(name for record in records for name in record if name not in PLAIN)
    groups: dict[str, list[str]] = {}
    for name in names:
        unit = "accuracy" if "accuracy" in name else "KL, nats" if name.endswith("kl") else "reward"
        groups.setdefault(unit, []).append(name)
    return groups


def _draw_losses(panel: Any, records: Sequence[dict[str, Any]]) -> None:
    panel.plot(*_columns(records, "loss"), label="training loss", linewidth=1.2)
    steps, measured = _columns(records, "validation_loss")
    if measured:
        panel.plot(steps, measured, label="validation loss", marker="o", markersize=3, linewidth=1.2)
        best = min(zip(measured, steps, strict=True))
        panel.axvline(best[1], label=f"lowest: {best[0]:.3g}", linestyle=":", color="grey")
    losses = [loss for loss in (*_columns(records, "loss")[1], *measured) if loss > 0]
    if losses and max(losses) >= _WIDE * min(losses):
        panel.set_yscale("log")
    panel.set_ylabel("loss")


def _columns(records: Sequence[dict[str, Any]], name: str) -> tuple[list[float], list[float]]:
    """Steps, and the values logged there."""
    points = [(record["step"], record[name]) for record in records if name in record]
    return [step for step, _ in points], [value for _, value in points]


def new_figure(*, rows: int = 1) -> Any:
    """An empty matplotlib figure, higher for more rows. Needs no screen."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError("drawing curves needs matplotlib: pip install 'autoagent[train]'") from None
    return Figure(figsize=(8, 4.5 + 2 * (rows - 1)), layout="constrained")


def write_figure(figure: Any, out: Path) -> None:
    """Write it as .svg or .png. Raises :class:`UsageError` where that is not possible."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out, metadata={"Date": None} if out.suffix == ".svg" else None)
    except (OSError, ValueError) as fault:
        raise UsageError(f"cannot write {out}: {fault}") from None


def smooth(points: Points, window: int = 20) -> Points:
    """Each value as the mean of the last ``window``."""
    smoothed = []
    for place, (x, _) in enumerate(points):
        recent = points[max(0, place + 1 - window) : place + 1]
        smoothed.append((x, sum(y for _, y in recent) / len(recent)))
    return smoothed
