"""Single values of a table, and what it has for columns."""

from __future__ import annotations

from autoagent.evals.task import Expected
from autoagent.nano.families.base import Action, Clause, Kind, Maker
from autoagent.nano.families.contents import as_kind, tells
from autoagent.nano.families.sheets import SHOWN_ROWS, bracketed, capital, of_table, table
from autoagent.tools.calculator import number_text

_CELLS = (
    "[What is|What's|How much is] the {c} of {r} in {p}?",
    "[What|Which] {c} [does {r} have|has {r}|is listed for {r}] in {p}?",
    "[Tell me|Give me|Find|Look up|Get] the {c} of {r} in {p}",
    "[Look up|Check] {r} in {p}: what is the {c}?",
    "In {p}, [what is|what's|how much is] [the {c} of {r}|{r}'s {c}]?",
    "According to {p}, what is {r}'s {c}?",
    "{p}: {c} [of|for] {r}?",
    "{c} [of|for] {r} [in|from] {p}[?|]",
    "[I'd like to know|I need|I want] the {c} of {r} from {p}",
    "[Open|Look at|Look in|Look into] {p} and [tell me|give me] the {c} of {r}",
    "[Say|Tell me] [which|what] {c} {r} has in {p}",
    "[Do you know|What is|Can you find] the {c} of {r}? It [is|stands] in {p}",
    "What does {p} [give|list|have] as the {c} of {r}?",
    "From the table {p}, the {c} for {r}, please",
    "[There is a|I have a] table {p}, what is the {c} of {r} [there|in it]?",
    "Read the {c} of {r} off the table {p}",
    "What {c} is [listed|given] for {r} in {p}?",
    "Find {r} in the table {p} and [tell me|report] the {c}",
)

_CELLS_BY_KEY = (
    "What is the {c} in {p} where {k} is {r}?",
    "[Tell me|Find|Give me] the {c} of the row of {p} where {k} is {r}",
    "In {p}, what is the {c} for {k} {r}?",
    "{p}: {c} where {k} = {r}",
    "What is the {c} of the row with {k} {r} in {p}?",
    "[Look up|Select] the row of {p} with {k} {r} and [tell me|give me] its {c}",
    "Find {k} {r} in {p}, what is the {c}?",
    "Which {c} has the row with {k} {r} in {p}?",
    "[I need|I want] the {c} of {k} {r} from {p}",
    "For {k} {r}, what {c} does {p} give?",
)


def cell(make: Maker) -> Clause:
    """One value of a table; where the goal does not say in which column to look, the table is shown first."""
    rng = make.rng
    by_key = rng.random() < 0.3
    data = table(make, rows=(2, 5) if rng.random() < 0.6 else (6, 9), numeric=(1, 3))
    name = rng.choice(data.numeric)
    place = rng.randrange(len(data.rows))
    row = data.rows[place]
    value = row[data.header.index(name)]
    show = Action("show_table", {"path": data.path})
    select = Action("select_rows", {"path": data.path, "column": data.key, "value": row[0]}, planned=by_key)
    if by_key:
        actions: tuple[Action, ...] = (select,)
        goal = make.say(*of_table(_CELLS_BY_KEY), c=name, r=row[0], k=data.key, p=data.path)
    else:
        actions = (show,) if place < SHOWN_ROWS else (show, select)
        goal = make.say(*of_table(_CELLS), c=name, r=row[0], p=data.path)
    return Clause(
        capital(goal),
        actions,
        Expected(answer=value),
        lambda seen: value,
        lambda seen: data.pairs(row, name),
        value=value,
    )


_DIFFERENCES = (
    "How much [more|higher|larger|greater] is the {c} of {r} than [that|the {c}|the one] of {q} in {p}?",
    "[What is|Find|Compute] the difference [in|of] {c} between {r} and {q} in {p}",
    "In {p}, by how much does the {c} of {r} exceed that of {q}?",
    "[Compute|Work out|Tell me|Find] the {c} of {r} [minus|less] [the {c}|that] of {q} in {p}",
    "{p}: {c} of {r} minus {c} of {q}",
    "[Subtract|Take|Deduct] the {c} of {q} from [the {c}|that] of {r} in {p}",
    "How much more {c} [has {r}|does {r} have] than {q} in {p}?",
    "According to {p}, how much [larger|higher|more] is {r}'s {c} than {q}'s?",
)

_TOGETHER = (
    "[What|How much] is the {c} of {r} and {q} [together|combined|in total] in {p}?",
    "In {p}, how much {c} do {r} and {q} have [together|in total|combined]?",
    "[Add|Sum|Add up] the {c} of {r} and [the {c}|that] of {q} in {p}",
    "{p}: {c} of {r} plus {c} of {q}",
    "[Compute|Work out|Tell me] the {c} of {r} plus that of {q} in {p}",
    "What do the {c} of {r} and [of|that of] {q} in {p} [add up to|make together|come to]?",
    "According to {p}, what is the combined {c} of {r} and {q}?",
    "How much {c} is it for {r} and {q} [together|combined] in {p}?",
)


def two_cells(make: Maker) -> Clause:
    """Two values of a column, subtracted or added."""
    rng = make.rng
    data = table(make, rows=(2, SHOWN_ROWS), numeric=(1, 2))
    name = rng.choice(data.numeric)
    place = data.header.index(name)
    more, less = sorted(rng.sample(data.rows, 2), key=lambda row: -float(row[place]))
    minus = rng.random() < 0.6
    if not minus and rng.random() < 0.5:
        more, less = less, more
    goal = make.say(
        *of_table(_DIFFERENCES if minus else _TOGETHER), c=name, r=more[0], q=less[0], p=data.path
    )
    sign = -1 if minus else 1
    value = number_text(round(float(more[place]) + sign * float(less[place]), 6))
    expression = f"{more[place]} {'-' if minus else '+'} {bracketed(less[place])}"
    call = Action(
        "calculate",
        lambda seen: {"expression": expression},
        because=lambda seen: f"{data.pairs(more, name)}; {data.pairs(less, name)}",
    )
    return Clause(
        capital(goal),
        (Action("show_table", {"path": data.path}), call),
        Expected(answer=value),
        value=value,
    )


_COLUMNS = (
    "[Which|What] columns does {p} [have|contain|hold]?",
    "[List|Show|Name|Tell me|Give me] [all |]the [columns|headings|column names] of {p}",
    "What are the columns [of|in] {p}?",
    "[Which|What] columns are [there |]in {p}?",
    "{p}: [which|what] [columns|headings]?",
    "Columns of {p}[?|]",
    "[I'd like to know|Tell me|Find out] [which|what] columns {p} has",
    "What is in the [header|first line|heading] of {p}?",
    "[Show|Give] me the header of {p}",
    "[Look at|Open|Look into] {p} and [name|list|tell me] [its|the] columns",
    "How are the columns of {p} called?",
    "What [fields|columns|headings] does the table {p} contain?",
)


def columns(make: Maker) -> Clause:
    """The headings of a table."""
    data = table(make, rows=(1, 5), numeric=(1, 3), grouped=make.rng.random() < 0.5)
    value = ", ".join(data.header)
    return tells(
        make.say(*of_table(_COLUMNS), p=data.path),
        Action("show_table", {"path": data.path}),
        value=value,
        answer=lambda seen: value,
        parts=data.header,
    )


FAMILIES: dict[str, Kind] = {
    "cell": as_kind(cell, 6, "tables"),
    "two_cells": as_kind(two_cells, 3, "tables"),
    "columns": as_kind(columns, 1, "tables"),
}
