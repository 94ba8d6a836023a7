"""The rounds of an evolution as one page: its curve, and what each round came to. No scripts, no network."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from autoagent.training.evolve import Round
from autoagent.training.gate_report import page_environment

_WIDTH, _HEIGHT = 720, 260  # of the picture
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 20, 14, 30  # margins
_MARKS = (0, 25, 50, 75, 100)  # percent


def page(suite: str, rounds: Sequence[Round]) -> str:
    """The page of a suite's rounds, oldest first."""
    template = page_environment().get_template("evolve.html.j2")
    return template.render(
        suite=suite,
        rounds=rounds,
        promoted=sum(each.promoted for each in rounds),
        drifted=next((each for each in reversed(rounds) if each.drift), None),
        points=_points(rounds),
        lines=_lines(rounds),
        marks=[{"percent": percent, "y": _y(percent / 100)} for percent in _MARKS],
        width=_WIDTH,
        height=_HEIGHT,
        made=time.strftime("%Y-%m-%d %H:%M"),
    )


def _x(place: int, count: int) -> float:
    """Of point ``place`` of ``count``, 0 being what was before the first round."""
    return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * place / max(1, count - 1), 1)


def _y(share: float) -> float:
    return round(_TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - share), 1)


def _measured(rounds: Sequence[Round]) -> list[tuple[Round, float, float]]:
    """The rounds with a gate: success before, and that of what was trained."""
    found = []
    for each in rounds:
        if each.before and each.after and each.after[1]:
            found.append((each, each.before[0] / max(1, each.before[1]), each.after[0] / each.after[1]))
    return found


def _points(rounds: Sequence[Round]) -> list[dict[str, Any]]:
    measured = _measured(rounds)
    count = len(measured) + 1
    points = []
    for place, (each, before, after) in enumerate(measured, start=1):
        if place == 1:
            start = {"x": _x(0, count), "y": _y(before), "number": "start", "promoted": True}
            points.append({**start, "title": f"{each.model}: {before:.1%}"})
        about = {"x": _x(place, count), "y": _y(after), "number": each.number, "promoted": each.promoted}
        points.append({**about, "title": f"{each.version}: {after:.1%}"})
    return points


def _lines(rounds: Sequence[Round]) -> dict[str, str]:
    measured = _measured(rounds)
    count = len(measured) + 1
    in_use = [measured[0][1]] if measured else []
    for each, _, after in measured:
        in_use.append(after if each.promoted else in_use[-1])
    held = [f"{_x(place, count)},{_y(share)}" for place, share in enumerate(in_use)]
    once = [(place, each.pass_at_1) for place, (each, _, _) in enumerate(measured)]
    often = [(place, each.pass_at_k) for place, (each, _, _) in enumerate(measured)]
    practised = {
        name: " ".join(f"{_x(place, count)},{_y(share)}" for place, share in found if share is not None)
        for name, found in (("once", once), ("often", often))
    }
    return {"held": " ".join(held), **practised}
