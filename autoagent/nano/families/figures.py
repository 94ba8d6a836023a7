"""Figures: arithmetic, columns of tables, units, dates."""

from __future__ import annotations

import datetime
from typing import Any

from autoagent.evals.task import Expected
from autoagent.nano.families.base import Action, Episode, Maker
from autoagent.tools.calculator import calculate, number_text
from autoagent.tools.convert import convert_units

_UNITS = (
    ("km", "miles"),
    ("kilometers", "miles"),
    ("miles", "kilometers"),
    ("miles", "km"),
    ("meters", "feet"),
    ("feet", "meters"),
    ("cm", "inches"),
    ("inches", "cm"),
    ("yards", "meters"),
    ("kg", "pounds"),
    ("pounds", "kg"),
    ("grams", "ounces"),
    ("ounces", "grams"),
    ("liters", "gallons"),
    ("gallons", "liters"),
    ("hours", "minutes"),
    ("minutes", "seconds"),
    ("days", "hours"),
    ("weeks", "days"),
    ("celsius", "fahrenheit"),
    ("fahrenheit", "celsius"),
    ("kelvin", "celsius"),
    ("tons", "kg"),
    ("hectares", "acres"),
    ("acres", "hectares"),
    ("knots", "km/h"),
    ("joules", "calories"),
    ("bytes", "bits"),
)


def figure_of(tool: str, arguments: dict[str, Any]) -> str:
    """What one of the two tools that need no world answers."""
    function = {"calculate": calculate, "convert_units": convert_units}[tool].function
    return str(function(**arguments))


def arithmetic(make: Maker) -> Episode:
    goal, expression = sum_in_words(make)
    result = figure_of("calculate", {"expression": expression})
    return make.episode(
        goal, Action("calculate", {"expression": expression}), expected=Expected(answer=result)
    )


def sum_in_words(make: Maker) -> tuple[str, str]:
    """A request for a figure, and the expression it means."""
    w, rng, say = make.words, make.rng, make.say
    a, b, c = (w.number() if rng.random() < 0.85 else w.decimal() for _ in range(3))
    kind = rng.randrange(9)
    if kind <= 2:
        sign, other = rng.choice("+-*/"), rng.choice("+-*")
        expression = rng.choice(
            (f"{a} {sign} {b}", f"{a} {sign} {b} {other} {c}", f"({a} {other} {b}) * {c}")
        )
        typed = expression if rng.random() < 0.7 else expression.replace(" ", "")
        ask = "[What is|What's|Calculate|Compute|Work out|How much is|Evaluate|Tell me] {e}"
        return say(ask, "{e} = ?", "What does {e} [make|give|equal]?", e=typed), typed
    words = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}
    if kind <= 4:
        sign = rng.choice("+-*/")
        ask = "[What is|What's|How much is|Calculate|Work out] {a} {word} {b}"
        return say(ask, a=a, b=b, word=words[sign]), f"{a} {sign} {b}"
    if kind == 5:
        return say("[Add|Sum up] {a} and {b}", "What is the sum of {a} and {b}?", a=a, b=b), f"{a} + {b}"
    if kind == 6:
        return say(
            "Multiply {a} [by|with] {b}", "What is the product of {a} and {b}?", a=a, b=b
        ), f"{a} * {b}"
    if kind == 7:
        if rng.random() < 0.5:
            return say(
                "Divide {a} by {b}", "[How much|What] is {a} [over|divided by] {b}?", a=a, b=b
            ), f"{a} / {b}"
        return say("Subtract {a} from {b}", "Take {a} away from {b}", a=a, b=b), f"{b} - {a}"
    return say("[What is|How much is|Calculate] {a} [percent|%] of {b}", a=a, b=b), f"{a} * {b} / 100"


_FIGURES = {
    "sum": "[sum|total|sum total]",
    "mean": "[mean|average]",
    "min": "[minimum|smallest|lowest] [value |]",
    "max": "[maximum|largest|highest|biggest] [value |]",
}


def column(make: Maker) -> Episode:
    make.clutter(1)
    goal, call, result = column_in_words(make)
    return make.episode(goal, call, expected=Expected(answer=result))


def column_in_words(make: Maker) -> tuple[str, Action, str]:
    """A request for a figure of a column of a new table, the call that answers it, and the answer."""
    w, rng, say = make.words, make.rng, make.say
    path = w.file("csv")
    columns = list(dict.fromkeys(w.column() for _ in range(rng.randint(1, 3))))
    whole = rng.random() < 0.7
    rows = [[w.number() if whole else w.decimal() for _ in columns] for _ in range(rng.randint(2, 7))]
    lines = [",".join(["name", *columns]), *(",".join([w.word(), *map(str, row)]) for row in rows)]
    make.put(path, "\n".join(lines))
    name = rng.choice(columns)
    figure = rng.choice(("sum", "mean", "min", "max", "count"))
    if figure == "count":
        goal = say(
            "How many [rows|entries|values|lines] [are|stand] in [the |]column {c} of {p}?",
            "Count the [rows|entries|values] [in|of] [the |]column {c} [in|of] {p}",
            "How many {c} [values|entries] [are there in|does|has] {p}?",
            c=name,
            p=path,
        )
    else:
        goal = say(
            f"[What is|What's|Give me|Tell me|Find|Compute] the {_FIGURES[figure]} of [the |]column {{c}}"
            " in {p}",
            f"[What is|What's|Give me|Tell me|Find|Work out] the {_FIGURES[figure]} {{c}} [in|of] {{p}}",
            f"[What is|Work out] the {_FIGURES[figure]} [of|in] the {{c}} column [in|of] {{p}}",
            f"In {{p}}, what is the {_FIGURES[figure]} of {{c}}?",
            *_more(figure),
            c=name,
            p=path,
        )
    return (
        goal,
        Action("column_figure", {"path": path, "column": name, "figure": figure}),
        _figure(rows, columns.index(name), figure),
    )


def _more(figure: str) -> tuple[str, ...]:
    if figure == "sum":
        return ("[Add up|Sum|Sum up|Total] [the |]{c} in {p}", "Add up the {c} column of {p}")
    if figure == "mean":
        return ("Average [the |]{c} in {p}",)
    return ()


def _figure(rows: list[list[float]], place: int, figure: str) -> str:
    values = [float(row[place]) for row in rows]
    if figure == "count":
        return str(len(values))
    figures = {"sum": sum(values), "mean": sum(values) / len(values), "min": min(values), "max": max(values)}
    return number_text(round(figures[figure], 6))


def units(make: Maker) -> Episode:
    goal, arguments = units_in_words(make)
    result = figure_of("convert_units", arguments)
    return make.episode(goal, Action("convert_units", arguments), expected=Expected(answer=result))


def units_in_words(make: Maker) -> tuple[str, dict[str, object]]:
    rng = make.rng
    value: float = make.words.number() if rng.random() < 0.7 else make.words.decimal()
    source, target = rng.choice(_UNITS)
    goal = make.say(
        "[Convert|Turn|Change] {v} {s} [to|into] {t}",
        "[How much|What] is {v} {s} in {t}?",
        "[How many|What number of] {t} are {v} {s}?",
        "What are {v} {s} in {t}?",
        "{v} {s} in {t}?",
        "Express {v} {s} in {t}",
        v=value,
        s=source,
        t=target,
    )
    return goal, {"value": value, "source": source, "target": target}


def days_after(make: Maker) -> Episode:
    rng = make.rng
    date, days = make.words.date(), rng.randint(1, 400)
    later = rng.random() < 0.65
    goal = make.say(
        "[What date|Which date|What day|Which day] is {n} days {after} {d}?",
        "[Tell me|Find|Give me] the date {n} days {after} {d}",
        "[Add {n} days to {d}|What is {d} plus {n} days?]" if later else "[Subtract|Take] {n} days from {d}",
        n=days,
        d=date,
        after=rng.choice(("after", "from") if later else ("before",)),
    )
    signed = days if later else -days
    result = (datetime.date.fromisoformat(date) + datetime.timedelta(days=signed)).isoformat()
    return make.episode(
        goal, Action("add_days", {"date": date, "days": signed}), expected=Expected(answer=result)
    )


def days_between(make: Maker) -> Episode:
    start, end = sorted((make.words.date(), make.words.date()))
    goal = make.say(
        "How many days are [there |]between {a} and {b}?",
        "How many days [is it|are there|pass] from {a} to {b}?",
        "[Count|Tell me] the [days|number of days] [between {a} and|from {a} to] {b}",
        a=start,
        b=end,
    )
    days = (datetime.date.fromisoformat(end) - datetime.date.fromisoformat(start)).days
    return make.episode(
        goal, Action("days_between", {"start": start, "end": end}), expected=Expected(answer=str(days))
    )


def weekday(make: Maker) -> Episode:
    date = make.words.date()
    goal = make.say(
        "[What|Which] [weekday|day of the week] [is|was] {d}?",
        "On [what|which] [weekday|day of the week] [is|does] {d}[| fall]?",
        "[Tell me|Find] the weekday of {d}",
        d=date,
    )
    result = datetime.date.fromisoformat(date).strftime("%A")
    return make.episode(goal, Action("weekday_of", {"date": date}), expected=Expected(answer=result))
