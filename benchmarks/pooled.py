"""The table of ``improves.py``: each seed by itself, and the seeds of an arm together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoagent.evals.stats import clustered_interval, mcnemar, points
from autoagent.training.gate import Paired

Piece = Mapping[str, Any]  # as it is in results.json
WANTED = {"evolve": 0.15, "corrected": 0.25}  # least rise of success on the goals held out
LEAST_ELSEWHERE = -0.03  # which the interval of the change on other goals must stay above
_HEAD = (
    "| suite | seed | arm | pass@1 → k | learned from | updates | minutes | held out | change (95 %) | p |"
)
_HEAD += " other goals: change (95 %) | version |"


@dataclass(frozen=True)
class Change:
    """Old against new over several seeds; a goal is one cluster, whatever the number of seeds."""

    difference: float
    low: float
    high: float
    p: float  # McNemar's, a goal being won, lost or neither over all seeds

    def __str__(self) -> str:
        return f"{points(self.difference)} ({points(self.low)} to {points(self.high)})"


def together(pairs: Sequence[Paired]) -> Change | None:
    """The change over several pairs on the same goals; None where not all changed goals are known by name."""
    if not pairs or any(
        (each.comparison.wins, each.comparison.losses) != (len(each.won), len(each.lost)) for each in pairs
    ):
        return None
    net: Counter[str] = Counter()
    differences: list[float] = []
    clusters: list[str] = []
    changed = {goal.task for each in pairs for goal in (*each.won, *each.lost)}
    for each in pairs:
        of = {goal.task: 1 for goal in each.won} | {goal.task: -1 for goal in each.lost}
        same = each.comparison.n - len(changed)
        for task in (*sorted(changed), *(f"same {number}" for number in range(same))):
            differences.append(float(of.get(task, 0)))
            clusters.append(task)
            net[task] += of.get(task, 0)
    low, high = clustered_interval(differences, clusters)
    p = mcnemar(sum(won > 0 for won in net.values()), sum(won < 0 for won in net.values()))
    return Change(sum(differences) / len(differences), low, high, p)


def table(pieces: Sequence[Piece], plan: Mapping[str, Any]) -> str:
    """All of it as Markdown: the pieces, the arms over their seeds, and what is shown by that."""
    told = ", ".join(f"{name} {value}" for name, value in plan.items() if value is not None)
    where = " Measured on goals to choose settings by, not on those held out." if plan["calibrate"] else ""
    lines = [f"Settings: {told}.{where}", "", _HEAD, "|" + "---|" * (_HEAD.count("|") - 1)]
    lines += [_row(piece) for piece in pieces]
    return "\n".join([*lines, "", *_over_seeds(pieces)]) + "\n"


def _row(piece: Piece) -> str:
    spent = sum(seconds for what, seconds in piece["spent"].items() if what != "gate") / 60
    first = next(iter(piece.get("rounds", ())), piece)
    found = f"{first['pass_at_1']:.1%} → {first['pass_at_k']:.1%}" if "pass_at_1" in first else ""
    cells = [piece["suite"], piece["seed"], piece["arm"], found]
    if "held_out" not in piece:
        why = piece.get("nothing") or ("" if first["pass_at_k"] > first["pass_at_1"] else "nothing to learn")
        return _line([*cells, "", "", f"{spent:.1f}", "", why, "", "", ""])
    target, others = (Paired.model_validate(piece[name]) for name in ("held_out", "others"))
    control = _is_control(piece)
    verdict = "promoted" if piece["promoted"] else "would have passed" if _passes(piece) else "refused"
    if control and verdict == "refused":
        verdict = "would have been refused"
    return _line(
        [
            *cells,
            "replay" if control else f"{piece['examples']} runs",
            piece["updates"],
            f"{spent:.1f}",
            f"{target.old.passed} → {target.new.passed} of {target.comparison.n}",
            _one(target),
            f"{target.comparison.p:.2g}",
            f"{_one(others)} of {others.comparison.n}",
            verdict,
        ]
    )


def _is_control(piece: Piece) -> bool:
    return str(piece["arm"]).endswith("-control")


def _passes(piece: Piece) -> bool:
    return str(piece["reason"]).startswith("promoted")


def _one(pair: Paired) -> str:
    of = pair.comparison
    return str(Change(of.difference, of.low, of.high, of.p))


def _line(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _over_seeds(pieces: Sequence[Piece]) -> Iterator[str]:
    measured = [piece for piece in pieces if piece["arm"] != "sample"]
    groups = dict.fromkeys((piece["suite"], piece["arm"]) for piece in measured)
    yield from ("Over the seeds (a goal is one cluster):", "")
    yield "| suite | arm | seeds | passed gate | held out: change (95 %) | p | other goals: change (95 %) |"
    yield "|---|---|---|---|---|---|---|"
    said = []
    for suite, arm in groups:
        every = [piece for piece in measured if (piece["suite"], piece["arm"]) == (suite, arm)]
        found = [piece for piece in every if "held_out" in piece]
        target, others = (
            together([Paired.model_validate(piece[name]) for piece in found])
            for name in ("held_out", "others")
        )
        promoted = sum(piece["promoted"] or (_is_control(piece) and _passes(piece)) for piece in found)
        p = f"{target.p:.2g}" if target else ""
        yield _line([suite, arm, len(every), promoted, target or "", p, others or ""])
        if arm in WANTED:
            said.append(f"- {suite}, {arm}: {_shown(WANTED[arm], every, target, others)}")
    yield from ("", *said)


def _shown(wanted: float, every: Sequence[Piece], target: Change | None, others: Change | None) -> str:
    """Whether what was to be shown is shown: by versions that were promoted, with every seed."""
    promoted = sum(bool(piece.get("promoted")) for piece in every)
    if promoted < len(every):
        return f"not shown: promoted with {promoted} of {len(every)} seeds"
    if target is None or others is None:
        return "not known: too many goals changed to name them all"
    missed = []
    if target.difference < wanted or target.p >= 0.05 or target.low <= 0:
        missed.append(f"the rise is {target}, not {100 * wanted:.0f} points")
    if others.low <= LEAST_ELSEWHERE:
        missed.append(f"other goals: {others}, not above {100 * LEAST_ELSEWHERE:.0f} points")
    return f"not shown: {'; '.join(missed)}" if missed else "shown"
