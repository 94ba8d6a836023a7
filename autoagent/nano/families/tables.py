"""Tables: a figure of a column, the row with the largest value; and what the other modules make of them."""

from __future__ import annotations

from collections.abc import Sequence

from autoagent.evals.task import Expected
from autoagent.nano.families import cells, reshaping, rows
from autoagent.nano.families.base import Action, Clause, Kind, Maker, Seen
from autoagent.nano.families.contents import as_kind
from autoagent.nano.families.sheets import Table, bracketed, capital, of_table, table
from autoagent.tools.calculator import number_text

_FIGURES = {
    "sum": "[sum|total|sum total]",
    "mean": "[mean|average]",
    "min": "[minimum|smallest|lowest] [value |]",
    "max": "[maximum|largest|highest|biggest] [value |]",
}

_COUNTING = (
    "How many [rows|entries|values|lines] [are|stand] in [the |]column {c} of {p}?",
    "Count the [rows|entries|values] [in|of] [the |]column {c} [in|of] {p}",
    "How many {c} [values|entries] [are there in|does|has] {p}?",
    "How many [values|entries] does {c} have in {p}?",
    "{p}: how many [values|entries|rows] in {c}?",
    "Count {c} in {p}",
    "[Give me|Tell me|Find] the [count|number] of {c} [values|entries] in {p}",
    "The number of [values|entries] in [the |]{c} column of {p}?",
    "In {p}, how many [values|entries] does [the |]column {c} hold?",
    "[I'd like|I want] to know how many [values|entries] column {c} of {p} has",
)

_MORE: dict[str, tuple[str, ...]] = {
    "sum": (
        "[Add up|Sum|Sum up|Total] [the |]{c} in {p}",
        "Add up the {c} column of {p}",
        "How much is {c} in {p} [altogether|in total|all together]?",
        "What do the {c} values of {p} add up to?",
        "[Add|Sum] all [the |]{c} [values |]in {p}[ together|]",
        "{p}: add up {c}",
    ),
    "mean": (
        "Average [the |]{c} in {p}",
        "What is {c} in {p} on average?",
        "On average, [what|how much] is [the |]{c} in {p}?",
        "[Take|Compute] the mean over {c} in {p}",
        "{p}: {c} on average?",
    ),
    "max": (
        "How [high|large|big] does {c} get in {p}?",
        "What is the top {c} in {p}?",
        "[Tell me|Find] the peak of {c} in {p}",
        "Up to what does {c} go in {p}?",
    ),
    "min": (
        "How [low|small] does {c} get in {p}?",
        "What is the least {c} in {p}?",
        "[Tell me|Find] the bottom value of {c} in {p}",
        "Down to what does {c} go in {p}?",
    ),
}


def _asking(figure: str) -> tuple[str, ...]:
    """All wordings of a figure of column c of table p."""
    if figure == "count":
        return _COUNTING
    f = _FIGURES[figure]
    return (
        f"[What is|What's|Give me|Tell me|Find|Compute] the {f} of [the |]column {{c}} in {{p}}",
        f"[What is|What's|Give me|Tell me|Find|Work out] the {f} {{c}} [in|of] {{p}}",
        f"[What is|Work out] the {f} [of|in] the {{c}} column [in|of] {{p}}",
        f"In {{p}}, what is the {f} of {{c}}?",
        f"{{p}} {f} of {{c}}",
        f"{{p}}: {f} {{c}}",
        f"{f} {{c}} [in|of|from] {{p}}[?|]",
        f"[I'd like to know|I want to know|I need] the {f} of {{c}} in {{p}}",
        f"[Look at|Open|Take] {{p}} and [tell me|give me|work out|compute] the {f} of {{c}}",
        f"Do you know the {f} {{c}} in {{p}}?",
        f"For {{p}}, [report|compute|find] the {f} of [the |]column {{c}}",
        f"[There is a|I have a] table {{p}}, what is the {f} of its {{c}} column?",
        f"Which {f} does column {{c}} of {{p}} have?",
        f"From {{p}} I need the {f} of {{c}}",
        *_MORE[figure],
    )


def column(make: Maker) -> Clause:
    goal, call, value = column_in_words(make)
    return Clause(goal, (call,), Expected(answer=value), value=value)


def column_in_words(make: Maker) -> tuple[str, Action, str]:
    """A request for a figure of a column of a new table, the call that answers it, and the answer."""
    data = table(make, rows=(2, 7))
    name = make.rng.choice(data.numeric)
    figure = make.rng.choice(("sum", "sum", "mean", "mean", "min", "max", "count"))
    goal = make.say(*_asking(figure), c=name, p=data.path)
    call = Action("column_figure", {"path": data.path, "column": name, "figure": figure})
    return goal, call, _figure(data.cells(name), figure)


def _figure(cells: Sequence[str], figure: str) -> str:
    values = [float(cell) for cell in cells]
    if figure == "count":
        return str(len(values))
    figures = {"sum": sum(values), "mean": sum(values) / len(values), "min": min(values), "max": max(values)}
    return number_text(round(figures[figure], 6))


_SPREAD = (
    "What is the difference between the [highest|largest|biggest] and the [lowest|smallest] {c} in {p}?",
    "How far apart are the [highest|largest|biggest] and the [lowest|smallest] {c} in {p}?",
    "[Tell me|Find|Work out] the [range|spread] of {c} in {p}, [highest|maximum] minus [lowest|minimum]",
    "In {p}, how much [larger|bigger|higher] is the maximum of {c} than the minimum?",
    "{p}: [maximum|largest|highest] [of |]{c} minus [minimum|smallest|lowest] [of |]{c}",
    "By how much does the [largest|highest] {c} in {p} exceed the [smallest|lowest]?",
    "[Subtract|Take] the [smallest|lowest|minimum] {c} in {p} from the [largest|highest|maximum][| one]",
    "[I'd like to know|I need] the difference of the maximum and the minimum of {c} in {p}",
    "Difference between maximum and minimum of {c} in {p}[?|]",
    "Take the [largest|highest|maximum] {c} of {p} minus the [smallest|lowest|minimum]",
)


def spread(make: Maker) -> Clause:
    """Three steps: the largest value, the smallest, and what lies between."""
    data = table(make)
    name = make.rng.choice(data.numeric)
    most, least = (_figure(data.cells(name), figure) for figure in ("max", "min"))
    value = number_text(round(float(most) - float(least), 6))
    figures = [
        Action("column_figure", {"path": data.path, "column": name, "figure": figure})
        for figure in ("max", "min")
    ]
    take = Action("calculate", lambda seen: {"expression": f"{seen[0]} - {bracketed(seen[1])}"})
    goal = make.say(*of_table(_SPREAD), c=name, p=data.path)
    return Clause(goal, (*figures, take), Expected(answer=value), value=value)


_MOST = "[highest|largest|biggest|greatest|maximum|top]"

_LEAST = "[lowest|smallest|least|minimum]"

_SUPERLATIVES = (
    ("price", "min", "cheapest"),
    ("price", "max", "[most expensive|dearest|priciest]"),
    ("age", "max", "oldest"),
    ("age", "min", "youngest"),
    ("weight", "max", "heaviest"),
    ("weight", "min", "lightest"),
    ("height", "max", "tallest"),
    ("height", "min", "shortest"),
    ("length", "max", "longest"),
    ("speed", "max", "fastest"),
    ("speed", "min", "slowest"),
    ("temperature", "max", "[warmest|hottest]"),
    ("temperature", "min", "coldest"),
)


def _extremes(most: str) -> tuple[str, ...]:
    """Who has the largest or smallest c in p; k is the name of the first column, who asks for it."""
    return (
        f"{{who}} has the {most} {{c}} in {{p}}?",
        f"In {{p}}, {{who}} has the {most} {{c}}?",
        f"[Find|Tell me|Give me|Name|Get] the {{k}} with the {most} {{c}} in {{p}}",
        f"Which {{k}} of {{p}} has the {most} {{c}}?",
        f"{{p}}: {{who}} has the {most} {{c}}?",
        f"{{k}} with the {most} {{c}} in {{p}}[?|]",
        f"[I'd like to know|I want to know|Find out|Tell me] {{who}} has the {most} {{c}} in {{p}}",
        f"[Look at|Open|Check] {{p}} and [tell me|say] {{who}} has the {most} {{c}}",
        f"What is the {{k}} with the {most} {{c}} in {{p}}?",
        f"[Whose|Which {{k}}'s] {{c}} is the {most} in {{p}}?",
        f"According to {{p}}, {{who}} has the {most} {{c}}?",
        f"Which row of {{p}} has the {most} {{c}}? [Give me|Tell me|I want] the {{k}}",
        f"[There is a|I have a] table {{p}}, {{who}} has the {most} {{c}} there?",
        f"Do you know {{who}} has the {most} {{c}} in {{p}}?",
        f"For {{p}}: the {{k}} that has the {most} {{c}}",
    )


_SUPERLATIVE = (
    "[What|Which] is the {s} {k} in {p}?",
    "Which {k} in {p} is the {s}?",
    "{who} is the {s} in {p}?",
    "[Find|Tell me|Name|Give me] the {s} {k} in {p}",
    "{s} {k} in {p}[?|]",
    "{p}: {who} is the {s}?",
    "[Look at|Check] {p} and tell me {who} is the {s}",
    "According to {p}, {who} is [the |]{s}?",
    "I'd like to know the {s} {k} of {p}",
    "In {p}, which {k} is the {s}?",
)


def extreme(make: Maker) -> Clause:
    """The name of the row with the largest or smallest value."""
    rng = make.rng
    if rng.random() < 0.25:
        name, which, best = rng.choice(_SUPERLATIVES)
        data = table(make, named=name)
        words = make.phrase(best)
        goal = make.say(*_SUPERLATIVE, s=words, k=data.key, who=data.who, p=data.path)
    else:
        data = table(make)
        name, which = rng.choice(data.numeric), rng.choice(("max", "max", "min"))
        patterns = _extremes(_MOST if which == "max" else _LEAST)
        goal = make.say(*patterns, c=name, k=data.key, who=data.who, p=data.path)
    row = _best_row(data, name, which)
    call = Action("extreme_row", {"path": data.path, "column": name, "which": which})
    value = row[0]

    def answer(seen: Seen) -> str:
        return value

    return Clause(capital(goal), (call,), Expected(answer=value), answer, value=value)


def _best_row(data: Table, name: str, which: str) -> tuple[str, ...]:
    values = [float(cell) for cell in data.cells(name)]
    return data.rows[values.index(max(values) if which == "max" else min(values))]


def _extremes_other(most: str) -> tuple[str, ...]:
    return (
        f"What is the {{o}} of the {{k}} with the {most} {{c}} in {{p}}?",
        f"[Tell me|Find|Give me|Look up] the {{o}} of the {{k}} with the {most} {{c}} in {{p}}",
        f"In {{p}}, what {{o}} has the {{k}} with the {most} {{c}}?",
        f"{{p}}: {{o}} of the row with the {most} {{c}}",
        f"Which {{o}} [has|belongs to] the row with the {most} {{c}} in {{p}}?",
        f"Find the row with the {most} {{c}} in {{p}}, what is its {{o}}?",
        f"[I need|I'd like to know] the {{o}} of the one with the {most} {{c}} in {{p}}",
        f"Take the {{k}} with the {most} {{c}} in {{p}}. What is the {{o}}?",
    )


def extreme_other(make: Maker) -> Clause:
    """Another value of the row with the largest or smallest."""
    rng = make.rng
    data = table(make, numeric=(2, 3))
    name, other = rng.sample(data.numeric, 2)
    which = rng.choice(("max", "min"))
    patterns = _extremes_other(_MOST if which == "max" else _LEAST)
    goal = make.say(*of_table(patterns), c=name, o=other, k=data.key, p=data.path)
    row = _best_row(data, name, which)
    value = row[data.header.index(other)]
    call = Action("extreme_row", {"path": data.path, "column": name, "which": which})
    return Clause(
        goal,
        (call,),
        Expected(answer=value),
        lambda seen: value,
        lambda seen: f"{other}: {value}",
        value=value,
    )


FAMILIES: dict[str, Kind] = {
    "column": as_kind(column, 7, "tables"),
    "spread": as_kind(spread, 2, "tables"),
    "extreme": as_kind(extreme, 5, "tables"),
    "extreme_other": as_kind(extreme_other, 2, "tables"),
    **cells.FAMILIES,
    **rows.FAMILIES,
    **reshaping.FAMILIES,
}
