"""The rows of a table that fulfil a condition."""

from __future__ import annotations

import operator
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from autoagent.evals.task import Expected
from autoagent.nano.families.base import Action, Clause, Kind, Maker
from autoagent.nano.families.contents import as_kind, tells
from autoagent.nano.families.sheets import Table, bracketed, capital, of_table, table
from autoagent.tools.calculator import calculate

_BOUNDS: dict[str, str] = {
    ">": "[above|over|more than|greater than|higher than|larger than|>]",
    "<": "[below|under|less than|smaller than|lower than|<]",
    ">=": "[at least|no less than|not below|>=]",
    "<=": "[at most|up to|no more than|not above|<=]",
}

_BOUNDED = (
    "Which [rows|entries|{k}s] of {p} have [a |]{c} {b} {v}?",
    "[List|Show|Name|Give me|Find|Tell me] the {k}s in {p} with [a |]{c} {b} {v}",
    "{who} has [a |]{c} {b} {v} in {p}?",
    "In {p}, which {k}s have [a |]{c} {b} {v}?",
    "{p}: {k}s with {c} {b} {v}",
    "{k}s in {p} where {c} is {b} {v}[?|]",
    "[Filter|Select from] {p} where {c} is {b} {v}[ and list the {k}s|]",
    "[I'd like to see|I want|I need] the {k}s of {p} whose {c} is {b} {v}",
    "[Look at|Check|Open] {p} and [list|name|tell me] the {k}s with [a |]{c} {b} {v}",
    "For which {k}s in {p} is [the |]{c} {b} {v}?",
    "Which {k}s does {p} list with {c} {b} {v}?",
    "Whose {c} is {b} {v} in {p}?",
    "According to {p}, which {k}s are at {c} {b} {v}?",
    "Do you know which {k}s in {p} have {c} {b} {v}?",
    "[There is a|I have a] table {p}, which {k}s have {c} {b} {v}?",
)

_EQUAL = (
    "Which [rows|entries|{k}s] of {p} have [the |]{c} {v}?",
    "[List|Show|Name|Give me|Find|Tell me] the {k}s in {p} with {c} {v}",
    "{who} has [the |]{c} {v} in {p}?",
    "In {p}, which {k}s have [the |]{c} {v}?",
    "{p}: {k}s with {c} {v}",
    "{k}s in {p} where {c} [is|=] {v}[?|]",
    "[Filter|Select from] {p} where {c} [is|equals|=] {v}[ and list the {k}s|]",
    "[I'd like to see|I want|I need] the {k}s of {p} whose {c} is {v}",
    "[Look at|Check|Open] {p} and [list|name|tell me] the {k}s [with|of] {c} {v}",
    "For which {k}s in {p} is [the |]{c} {v}?",
    "Which {k}s does {p} list with {c} {v}?",
    "Whose {c} is {v} in {p}?",
    "According to {p}, which {k}s have {c} {v}?",
    "[There is a|I have a] table {p}, which {k}s have {c} {v}?",
    "All {k}s of {c} {v} in {p}",
)

_HOW_MANY = (
    "How many [rows|entries|{k}s] of {p} have [a |]{c} {b} {v}?",
    "Count the [rows|{k}s] in {p} with {c} {b} {v}",
    "In {p}, how many {k}s have {c} {b} {v}?",
    "{p}: how many [rows|{k}s] with {c} {b} {v}?",
    "How many {k}s in {p} are there with {c} {b} {v}?",
    "[Tell me|Find out|I'd like to know] how many [rows|{k}s] in {p} have {c} {b} {v}",
    "The number of {k}s in {p} with {c} {b} {v}?",
    "For how many {k}s in {p} is {c} {b} {v}?",
    "How often is {c} {b} {v} in {p}?",
    "Number of rows with {c} {b} {v} in {p}[?|]",
)


def rows(make: Maker) -> Clause:
    """The names of the rows that fit, or how many there are."""
    chosen = _chosen_rows(make, 5)
    data, names = chosen.data, [row[0] for row in chosen.found]
    values = {"c": chosen.column, "v": chosen.value, "p": data.path, "k": data.key, "who": data.who}
    bound = _BOUNDS.get(chosen.comparison, "")
    counting = make.rng.random() < 0.3
    patterns = _HOW_MANY if counting else _BOUNDED if bound else _EQUAL
    goal = make.say(*(_with_bound(pattern, bound) for pattern in patterns), **values)
    listed = ", ".join(f"{number} {name}" for number, name in enumerate(names, 1))
    answer = str(len(names)) if counting else ", ".join(names)
    return tells(
        capital(goal),
        chosen.action,
        value=answer,
        answer=lambda seen: answer,
        because=lambda seen: listed if counting else "",
        parts=() if counting else tuple(names),
    )


def _with_bound(pattern: str, bound: str) -> str:
    """A pattern with the words of a comparison; none is needed where the value itself is looked for."""
    return pattern.replace("{b} ", f"{bound} " if bound else "")


@dataclass(frozen=True)
class _Chosen:
    data: Table
    column: str
    comparison: str
    value: str
    found: tuple[tuple[str, ...], ...]

    @property
    def action(self) -> Action:
        arguments = {"path": self.data.path, "column": self.column, "value": self.value}
        if self.comparison != "=":
            arguments["comparison"] = self.comparison
        return Action("select_rows", arguments)


def _chosen_rows(make: Maker, most: int) -> _Chosen:
    """A new table and a condition that one to ``most`` of its rows fulfil, but not all."""
    rng = make.rng
    while True:
        world = replace(make, files={})
        data = table(world, rows=(3, 7), numeric=(1, 2), grouped=True)
        if rng.random() < 0.4:
            comparison, column = "=", data.group
            value = rng.choice(data.cells(column))
            found = tuple(
                row for row, cell in zip(data.rows, data.cells(column), strict=True) if cell == value
            )
        else:
            comparison, column = rng.choice(tuple(_BOUNDS)), rng.choice(data.numeric)
            cells = [float(cell) for cell in data.cells(column)]
            value = _bound(rng, data.cells(column))
            compare = _COMPARE[comparison]
            found = tuple(
                row for row, cell in zip(data.rows, cells, strict=True) if compare(cell, float(value))
            )
        if 1 <= len(found) <= min(most, len(data.rows) - 1) and data.path not in make.files:
            make.put(data.path, world.files[data.path].rstrip("\n"))
            return _Chosen(data, column, comparison, value, found)


_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}


def _bound(rng: random.Random, cells: Sequence[str]) -> str:
    """A value to compare with: one of the cells, or a rounder one near it."""
    cell = rng.choice(cells)
    value = float(cell)
    if rng.random() < 0.4:
        return cell
    step = 10 ** max(0, len(str(abs(int(value)))) - 1)
    return str(int(value // step * step) or int(value) + 1)


_PARTIAL = (
    "[What is|What's|Find] the {f} of {c} in {p} for [the rows|the {k}s|those] with {g} {v}?",
    "[Work out|Compute|Find|Tell me] the {f} {c} of the {k}s with {g} {v} in {p}",
    "In {p}, what is the {f} [of |]{c} where {g} [is|equals] {v}?",
    "{p}: {f} of {c} [where {g} = {v}|where {g} is {v}|for {g} {v}]",
    "[What|Which] {f} {c} do [the {k}s|all {k}s|those] with {g} {v} have in {p}?",
    "[I'd like to know|I need|I want] the {f} of {c} for [{g}|all {k}s with {g}|rows with {g}] {v} in {p}",
    "[Take|Select|Get] the [rows|{k}s] of {p} with {g} {v} and [work out|compute] the {f} of {c}",
    "For {g} {v}, [what is|what's|work out] the {f} [of |]{c} in {p}",
    "According to {p}, what is the {f} of {c} over all {k}s with {g} {v}?",
    "{f} of {c} [for|with] {g} {v} in {p}[?|]",
    "Over the rows [with|of] {g} {v} in {p}, [what is|find|work out] the {f} of {c}",
    "The {f} of {c} [for|of] the {k}s [with|of] {g} {v} in {p}?",
    "[Look at|Open] {p} and [work out|tell me] the {f} {c} of the {k}s with {g} {v}",
)


def partial(make: Maker) -> Clause:
    """Two steps: the rows that fit, then the sum or mean of a column of theirs."""
    rng = make.rng
    while True:
        data = table(replace(make, files={}), rows=(3, 6), numeric=(1, 2), grouped=True)
        group = rng.choice(data.cells(data.group))
        found = [row for row, cell in zip(data.rows, data.cells(data.group), strict=True) if cell == group]
        if 2 <= len(found) <= 4 and data.path not in make.files:
            break
    make.put(data.path, data.content())
    name = rng.choice(data.numeric)
    cells = [row[data.header.index(name)] for row in found]
    added = " + ".join(bracketed(cell) for cell in cells)
    mean = rng.random() < 0.35
    expression = f"({added}) / {len(cells)}" if mean else added
    listed = ", ".join(
        f"{f'{number} ' if mean else ''}{name}: {cell}" for number, cell in enumerate(cells, 1)
    )
    found_out = f"{'mean' if mean else 'sum'}: {listed}"
    words = make.phrase("[mean|average]" if mean else "[total|sum]")
    goal = make.say(*of_table(_PARTIAL), f=words, c=name, g=data.group, v=group, k=data.key, p=data.path)
    select = {"path": data.path, "column": data.group, "value": group}
    take = Action("calculate", {"expression": expression}, because=lambda seen: found_out)
    value = str(calculate.function(expression))
    return Clause(goal, (Action("select_rows", select), take), Expected(answer=value), value=value)


FAMILIES: dict[str, Kind] = {
    "rows": as_kind(rows, 5, "tables"),
    "partial": as_kind(partial, 2.5, "tables"),
}
