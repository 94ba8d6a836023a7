"""The families of one clause, which goals of several steps are put together from."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from autoagent.nano.families import custom, figures, files, problems, recall, tables, text
from autoagent.nano.families.base import Clause, Kind, Maker

SINGLES: dict[str, Kind] = {
    **files.FAMILIES,
    **text.FAMILIES,
    **tables.FAMILIES,
    **figures.FAMILIES,
    **problems.FAMILIES,
    **recall.FAMILIES,
    **custom.FAMILIES,
}
PARTS = {name: kind.part for name, kind in SINGLES.items() if kind.part is not None}


def draw(make: Maker, count: int = 1) -> list[tuple[str, Clause]]:
    """So many clauses of different kinds in one world, in an order of this side of the split, by name."""
    while True:
        names = _names(make, count)
        clauses = [PARTS[name](make) for name in names]
        if _fit(clauses):
            return list(zip(names, clauses, strict=True))


def _names(make: Maker, count: int) -> list[str]:
    """Different kinds; in training no two neighbours that are held out, in measuring at least two."""
    weights = [SINGLES[name].share for name in PARTS]
    while True:
        names = list(dict.fromkeys(make.rng.choices(list(PARTS), weights, k=count)))
        pairs = [make.may_combine(pair) for pair in itertools.pairwise(names)]
        held_out = make.split == "combinations"
        if len(names) == count and (not pairs or (any(pairs) if held_out else all(pairs))):
            return names


def _fit(clauses: Sequence[Clause]) -> bool:
    """Whether they can be one goal: few enough steps, tools of different names, one fact to remember."""
    steps = sum(action.planned for clause in clauses for action in clause.actions)
    tools = [tool.name for clause in clauses for tool in clause.tools]
    facts = sum(clause.expected.remembers is not None for clause in clauses)
    return steps <= 6 and len(set(tools)) == len(tools) and facts <= 1
