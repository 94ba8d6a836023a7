"""Figures: arithmetic, units and dates."""

from __future__ import annotations

import re
from typing import Any

from autoagent.evals.task import Expected
from autoagent.nano.families import dates
from autoagent.nano.families.base import Action, Clause, Kind, Maker
from autoagent.nano.families.contents import as_kind
from autoagent.nano.families.numbers import in_digits, typed
from autoagent.tools.calculator import calculate
from autoagent.tools.convert import convert_units

_UNITS = tuple(
    tuple(pair.split(">"))
    for pair in (
        "km>miles|kilometers>miles|kilometres>miles|miles>kilometers|miles>km|miles>kilometres|meters>feet"
        "|metres>feet|feet>meters|feet>metres|cm>inches|inches>cm|centimeters>inches|inches>centimeters"
        "|mm>inches|feet>inches|inches>feet|yards>meters|meters>yards|km>meters|meters>km|m>feet"
        "|kg>pounds|pounds>kg|kilograms>pounds|pounds>kilograms|grams>ounces|ounces>grams|grams>kg"
        "|lbs>kg|stone>kg|tons>kg|liters>gallons|gallons>liters|litres>gallons|pints>liters|cups>ml"
        "|ml>cups|teaspoons>ml|tablespoons>ml|hours>minutes|minutes>seconds|minutes>hours|seconds>minutes"
        "|days>hours|hours>seconds|weeks>days|weeks>hours|years>days|celsius>fahrenheit|fahrenheit>celsius"
        "|kelvin>celsius|celsius>kelvin|hectares>acres|acres>hectares|square meters>square feet"
        "|knots>km/h|mph>km/h|km/h>mph|joules>calories|bytes>bits|megabytes>bytes|gigabytes>megabytes"
        "|horsepower>watts|watts>kilowatts|bar>psi"
    ).split("|")
)


def figure_of(tool: str, arguments: dict[str, Any]) -> str:
    """What one of the two tools that need no world answers."""
    function = {"calculate": calculate, "convert_units": convert_units}[tool].function
    return str(function(**arguments))


def calculation(words: str, expression: str, because: str = "") -> Clause:
    """A clause that is reached by calculating one expression.

    Args:
        because: How the expression is read out of the words.
    """
    value = figure_of("calculate", {"expression": expression})
    call = Action("calculate", {"expression": expression}, because=lambda seen: because)
    return Clause(words, (call,), Expected(answer=value), value=value)


_SUMS = (
    "[What is|What's|How much is|How much makes] {e}?",
    "[Calculate|Compute|Work out|Evaluate|Solve|Figure out|Do|Determine] {e}",
    "{e} = ?",
    "{e}[| =]",
    "What does {e} [make|give|equal|come to|work out to|amount to]?",
    "[I need|I'd like|Give me|Get me|Show me|Find|Tell me] the [result|value|answer|outcome] of {e}",
    "How much does {e} [come to|make|add up to|give]?",
    "[Quick|One quick|A quick|Short] [sum|calculation|question|one]: {e}",
    "[Tell me|Say|Let me know|Find out] [what|how much] {e} is",
    "Do you know [what|how much] {e} is?",
    "{e}, [what is that|how much is that|what does that make|what is the result|what do I get]?",
    "[Calculate|Compute|Work out|Solve|Do] [this|the following|this sum|the sum]: {e}",
    "I [have to|need to|must|want to] [calculate|work out|compute|know] {e}",
    "The [result|value|answer] of {e}?",
    "What [do I get|comes out|is the result] [for|of] {e}?",
    "[Use|Take] the calculator [for|on] {e}",
    "If I [type|enter] {e}, what [comes out|do I get]?",
    "[Check|Compute] for me [what|how much] {e} [is|gives|makes]",
    "Can you [work out|calculate|do|tell me] {e}?",
    "[Calculator|Maths|Math|Arithmetic]: {e}",
)

_SPOKEN = (
    "[What is|What's|How much is|What do we get for] {s}?",
    "[Calculate|Compute|Work out|Figure out|Tell me] {s}",
    "{s}?",
    "{s} is [what|how much]?",
    "[Tell me|I'd like to know|I want to know|Find out|Please say] [what|how much] {s} is",
    "What does {s} [make|give|equal|come to]?",
    "[Give me|I need|Find] the [result|value|answer] of {s}",
    "Do you know [what|how much] {s} is?",
    "How much does {s} [make|give|come to]?",
    "[Quick question|Quick sum|One sum]: {s}",
    "I [need|have] to [know|work out|calculate] {s}",
    "{s} [makes|equals|gives] what?",
    "[Can|Could] you [work out|calculate|tell me] {s}?",
    "[What would|How much would] {s} be?",
    "Help me [with|calculate|work out] {s}",
    "{s}, [how much is that|what is that|what is it]?",
)
# What is said, and the expression it means; a, b and c are numbers.

_NAMED = (
    ("[the sum of|the total of] {a} and {b}", "{a} + {b}"),
    ("{a} [plus|and|added to] {b}", "{a} + {b}"),
    ("{a} [minus|less|take away] {b}", "{a} - {b}"),
    ("the difference between {a} and {b}", "{a} - {b}"),
    ("[{a} times {b}|{a} multiplied by {b}|the product of {a} and {b}]", "{a} * {b}"),
    ("[{a} divided by {b}|{a} over {b}|the quotient of {a} and {b}]", "{a} / {b}"),
    ("{a} [percent|%|per cent] of {b}", "{a} * {b} / 100"),
    ("[half of|a half of|one half of|half] {a}", "{a} / 2"),
    ("[a third|one third] of {a}", "{a} / 3"),
    ("[a quarter|one quarter|a fourth] of {a}", "{a} / 4"),
    ("[a tenth|one tenth] of {a}", "{a} / 10"),
    ("three quarters of {a}", "{a} * 3 / 4"),
    ("[twice|double|two times] {a}", "{a} * 2"),
    ("[triple|three times] {a}", "{a} * 3"),
    ("[{a} squared|the square of {a}]", "{a} * {a}"),
    ("the square root of {a}", "sqrt({a})"),
    ("the [average|mean] of {a}, {b} and {c}", "({a} + {b} + {c}) / 3"),
    ("the [average|mean] of {a} and {b}", "({a} + {b}) / 2"),
    ("[the sum of|the total of] {a}, {b} and {c}", "{a} + {b} + {c}"),
    ("{a} plus {b} plus {c}", "{a} + {b} + {c}"),
    ("{a} plus {b} minus {c}", "{a} + {b} - {c}"),
    ("{a} times {b} plus {c}", "{a} * {b} + {c}"),
    ("{a} times {b} minus {c}", "{a} * {b} - {c}"),
    ("{a} minus {b} minus {c}", "{a} - {b} - {c}"),
    ("{a} divided by {b} plus {c}", "{a} / {b} + {c}"),
    ("the sum of {a} and {b}, [times|multiplied by] {c}", "({a} + {b}) * {c}"),
    ("the sum of {a} and {b}, divided by {c}", "({a} + {b}) / {c}"),
    ("the difference between {a} and {b}, times {c}", "({a} - {b}) * {c}"),
)
# The same by verb: whole wordings, by the expression they mean.

_VERBS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "{a} + {b}",
        (
            "[Add|Sum|Add up|Sum up] {a} and {b}",
            "Add {b} to {a}",
            "Put {a} and {b} together, [how much is it|what do I get]?",
            "I have {a} and [get|add|receive] {b} more, what is the total?",
            "Increase {a} by {b}",
            "[Count|Total up] {a} and {b} together",
            "What do {a} and {b} [add up to|make together|come to together]?",
            "{a} increased by {b}, how much is [that|it]?",
        ),
    ),
    (
        "{a} - {b}",
        (
            "[Subtract|Take away|Take|Deduct] {b} from {a}",
            "[Decrease|Reduce|Lower] {a} by {b}",
            "How much [is left of|remains of] {a} when {b} is taken away?",
            "What is left of {a} after {b} is gone?",
            "{a} reduced by {b}, how much is [that|it]?",
            "By how much does {a} exceed {b}?",
            "How much [bigger|larger|more] is {a} than {b}?",
            "From {a} take [away |]{b}, what [remains|is left]?",
        ),
    ),
    (
        "{a} * {b}",
        (
            "Multiply {a} [by|with|and] {b}",
            "[What are|How much are] {a} times {b}?",
            "How much is {b} taken {a} times?",
            "Multiply together {a} and {b}",
            "{a} multiplied with {b}, what does [that|it] make?",
            "I need the product of {a} and {b}",
            "[Take|Make] {a} times {b}",
        ),
    ),
    (
        "{a} / {b}",
        (
            "[Divide|Split] {a} by {b}",
            "[Share|Split|Divide] {a} [into|in] {b} [equal |]parts, how much is one [part|share]?",
            "How many times does {b} [go|fit] into {a}?",
            "{a} shared by {b}, how much [is it each|does each get]?",
            "Divide {a} into {b} equal [parts|shares|pieces]",
            "I need {a} divided by {b}",
        ),
    ),
    (
        "max({a}, {b})",
        (
            "Which [is|number is] [larger|bigger|greater|higher], {a} or {b}?",
            "What is the [larger|bigger|greater] [one |number |]of {a} and {b}?",
            "{a} or {b}: which is [more|bigger|larger]?",
            "[Tell me|Find] the [larger|bigger|greater] of {a} and {b}",
            "Is {a} or {b} the [bigger|larger] number?",
        ),
    ),
    (
        "min({a}, {b})",
        (
            "Which [is|number is] [smaller|lower|less], {a} or {b}?",
            "What is the [smaller|lower|lesser] [one |number |]of {a} and {b}?",
            "{a} or {b}: which is [less|smaller]?",
            "[Tell me|Find] the [smaller|lower] of {a} and {b}",
            "Is {a} or {b} the smaller number?",
        ),
    ),
    (
        "{a} * {b} + {c}",
        (
            "Multiply {a} by {b} and add {c}",
            "Take {a}, multiply [it |]by {b} and add {c}",
            "Add {c} to the product of {a} and {b}",
            "{a} times {b}, plus {c}, how much is that?",
            "{c} more than {a} times {b}, how much is it?",
        ),
    ),
    (
        "({a} + {b}) * {c}",
        (
            "Add {a} and {b} and multiply [the sum |it |the result |]by {c}",
            "Add {b} to {a} and take that {c} times",
            "{c} times the sum of {a} and {b}, how much is [it|that]?",
            "Multiply the sum of {a} and {b} by {c}",
            "Take {a}, add {b} and multiply by {c}",
        ),
    ),
    (
        "({a} - {b}) / {c}",
        (
            "Subtract {b} from {a} and divide [the result |it |]by {c}",
            "Take {b} from {a} and divide by {c}",
            "Divide the difference between {a} and {b} by {c}",
            "Take {a}, subtract {b} and divide by {c}",
            "{a} minus {b}, all of it divided by {c}, how much is that?",
        ),
    ),
)


# What the expert calls an expression, before it names the numbers in their order there.

CALLED = {
    "{a} + {b}": "add",
    "{a} - {b}": "subtract",
    "{a} * {b}": "multiply",
    "{a} / {b}": "divide",
    "{a} * {b} / 100": "percent",
    "{a} / 2": "half",
    "{a} / 3": "a third",
    "{a} / 4": "a quarter",
    "{a} / 10": "a tenth",
    "{a} * 3 / 4": "three quarters",
    "{a} * 2": "twice",
    "{a} * 3": "three times",
    "{a} * {a}": "square",
    "sqrt({a})": "root",
    "max({a}, {b})": "larger",
    "min({a}, {b})": "smaller",
    "({a} + {b}) / 2": "mean of 2",
    "({a} + {b} + {c}) / 3": "mean of 3",
    "{a} + {b} + {c}": "add",
    "{a} + {b} - {c}": "add, subtract",
    "{a} - {b} - {c}": "subtract",
    "{a} * {b} + {c}": "multiply, add",
    "{a} * {b} - {c}": "multiply, subtract",
    "{a} / {b} + {c}": "divide, add",
    "({a} + {b}) * {c}": "add, multiply",
    "({a} + {b}) / {c}": "add, divide",
    "({a} - {b}) * {c}": "subtract, multiply",
    "({a} - {b}) / {c}": "subtract, divide",
}


def arithmetic(make: Maker) -> Clause:
    return calculation(*sum_in_words(make))


def sum_in_words(make: Maker) -> tuple[str, str, str]:
    """A request for a figure, the expression it means, and how that is read out of it."""
    kind = make.rng.random()
    if kind < 0.4:
        expression = _expression(make)
        as_typed = _as_typed(make, expression)
        kept = as_typed if "x" not in as_typed else expression
        return make.say(*_SUMS, e=as_typed), kept, ""
    numbers = {name: number(make) for name in "abc"}
    spoken = {name: typed(make, number) for name, number in numbers.items()}
    if kind < 0.75:
        said, expression = make.rng.choice(_NAMED)
        words = make.phrase(said, **spoken)
        goal = make.say(*_SPOKEN, s=words)
    else:
        expression, patterns = make.rng.choice(_VERBS)
        goal = make.say(*patterns, **spoken)
    letters = dict.fromkeys(re.findall(r"{(\w)}", expression))
    read = [in_digits(a=(spoken[each], numbers[each])) or str(numbers[each]) for each in letters]
    why = f"{CALLED[expression]}: {', '.join(read)}"
    return goal[0].upper() + goal[1:], expression.format(**numbers), why


def number(make: Maker) -> float:
    """Of any size; small whole ones, as people try first, among them."""
    rng, w = make.rng, make.words
    kind = rng.random()
    if kind < 0.15:
        return rng.randint(1, 12)
    if kind < 0.27:
        return w.decimal()
    if kind < 0.42:
        return rng.choice((rng.randint(2, 100), 100 * rng.randint(1, 9), 1000 * rng.randint(1, 20)))
    return w.number()


def _expression(make: Maker) -> str:
    rng = make.rng
    a, b, c, d = (number(make) for _ in range(4))
    odd = rng.random()
    if odd < 0.06:
        a = -a
    elif odd < 0.16:
        b = a  # or a model learns that all numbers differ
    sign, other, third = rng.choice("+-*/"), rng.choice("+-*"), rng.choice("+-*")
    return rng.choice(
        (
            f"{a} {sign} {b}",
            f"{a} {sign} {b}",
            f"{a} {sign} {b} {other} {c}",
            f"({a} {other} {b}) {third} {c}",
            f"({a} {other} {b}) / {c}",
            f"{a} * ({b} {other} {c})",
            f"({a} {other} {b}) * ({c} {third} {d})",
            f"{a} {other} {b} {third} {c} {sign} {d}",
        )
    )


def _as_typed(make: Maker, expression: str) -> str:
    """Without spaces, or with an x for times, as some type it."""
    kind = make.rng.random()
    if kind < 0.2:
        return expression.replace(" ", "")
    if kind < 0.28:
        return expression.replace("*", "x")
    return expression


_CONVERSIONS = (
    "[Convert|Turn|Change|Transform] {v} {s} [to|into] {t}",
    "[How much|What] is {v} {s} in {t}?",
    "[How many|What number of] {t} are [there in |]{v} {s}?",
    "What are {v} {s} in {t}?",
    "{v} {s} in {t}[?|]",
    "[Express|Give|Write|State] {v} {s} in {t}",
    "{v} {s} [to|into|->|=>] {t}",
    "How many {t} [does|do] {v} {s} [make|equal|correspond to]?",
    "[I need|I'd like|I want|Give me|Tell me] {v} {s} [in|as] {t}",
    "[Convert|Change] to {t}: {v} {s}",
    "[The|A|This] [label|sign|manual|text|book|page] says {v} {s}, [what|how much] is [that|it] in {t}?",
    "How many {t} [make up|is|fit in] {v} {s}?",
    "[If|When] I have {v} {s}, how [much is that in {t}|many {t} is that]?",
    "[Tell me|Find out|I'd like to know] how many {t} {v} {s} [is|are|makes]",
    "What is {v} {s} [expressed|measured|given|shown] [in|as] {t}?",
    "{v} {s} [equals|equal|is|are|makes] how many {t}?",
    "In {t}, [what|how much] is {v} {s}?",
    "[Unit conversion|Conversion|Units]: {v} {s} to {t}",
    "{v} {s} - [what is that in {t}|how many {t} is that]?",
    "[Do you know|Can you tell me|Can you say] [how much|what] {v} {s} is in {t}?",
    "I [measured|got|read|have] {v} {s}, [convert|change|turn] [it|that] [to|into] {t}",
)


def units(make: Maker) -> Clause:
    amount = number(make)
    said = typed(make, amount)
    source, target = make.rng.choice(_UNITS)
    goal = make.say(*_CONVERSIONS, v=said, s=source, t=target)
    arguments = {"value": amount, "source": source, "target": target}
    value = figure_of("convert_units", arguments)
    read = in_digits(value=(said, amount))
    convert = Action("convert_units", arguments, because=lambda seen: read)
    return Clause(goal[0].upper() + goal[1:], (convert,), Expected(answer=value), value=value)


FAMILIES: dict[str, Kind] = {
    "arithmetic": as_kind(arithmetic, 7, "figures"),
    "units": as_kind(units, 4, "figures"),
    **dates.FAMILIES,
}
