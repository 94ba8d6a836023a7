"""Word problems: a plain story with numbers, a question, and one expression that answers it."""

from __future__ import annotations

import re

from autoagent.nano.families.base import Clause, Kind, Maker
from autoagent.nano.families.contents import as_kind
from autoagent.nano.families.figures import calculation
from autoagent.nano.families.long_stories import LONG_STORIES
from autoagent.nano.families.numbers import in_digits, typed
from autoagent.nano.families.stories import STORIES, Story
from autoagent.tools.calculator import number_text

_THINGS = (
    "apples>apple|eggs>egg|books>book|pens>pen|cards>card|coins>coin|stamps>stamp|balls>ball|cakes>cake"
    "|cups>cup|plates>plate|chairs>chair|tickets>ticket|flowers>flower|candles>candle|bottles>bottle"
    "|pears>pear|oranges>orange|lemons>lemon|cookies>cookie|buttons>button|marbles>marble|shirts>shirt"
    "|hats>hat|keys>key|nails>nail|screws>screw|bricks>brick|rolls>roll|muffins>muffin|pencils>pencil"
    "|stickers>sticker|photos>photo|lamps>lamp|towels>towel|socks>sock|bags>bag|melons>melon|toys>toy"
    "|notebooks>notebook|beads>bead|shells>shell|stones>stone|cables>cable|batteries>battery|magnets>magnet"
).split("|")
_CURRENCIES = ("euros", "euros", "dollars", "pounds", "francs")
_NOTES = (10, 20, 50, 100, 200, 500)
_ALL = (*STORIES, *LONG_STORIES)


def problem(make: Maker) -> Clause:
    """One to three operations, told as a story."""
    rng, w = make.rng, make.words
    story = rng.choice(_ALL)
    numbers = _numbers(make, story)
    things, thing = rng.choice(_THINGS).split(">")
    others = rng.choice([each for each in _THINGS if not each.startswith(things)]).split(">")[0]
    one = w.name()
    other = next(name for name in iter(w.name, None) if name != one)
    said = {name: typed(make, number, 0.2) for name, number in numbers.items()}
    goal = make.say(
        *story.tellings, n=one, o=other, i=things, t=thing, j=others, m=rng.choice(_CURRENCIES), **said
    )
    digits = {name: number_text(number) for name, number in numbers.items()}
    words = goal[0].upper() + goal[1:]
    read = in_digits(**{name: (said[name], digits[name]) for name in said})
    why = "; ".join(each for each in (read, story.why.format(**digits)) if each)
    return calculation(words, story.expression.format(**digits), why)


def _numbers(make: Maker, story: Story) -> dict[str, float]:
    """Numbers that fit the story, so that what is shared comes out even and nothing falls below zero."""
    found: dict[str, float] = {}
    free = [name for name in story.draw if not re.match("[x>]|note", story.draw[name])]
    for name in [*free, *(each for each in story.draw if each not in free)]:
        found[name] = _number(make, story.draw[name], found)
    return found


def _number(make: Maker, kind: str, known: dict[str, float]) -> float:
    rng = make.rng
    match kind:
        case "few":
            return rng.randint(2, 12)
        case "some":
            return rng.randint(3, 60) if rng.random() < 0.8 else rng.randint(60, 900)
        case "even":
            return 2 * rng.randint(2, 60)
        case "hundreds":
            return rng.choice((10, 20, 50, 100)) * rng.randint(2, 30)
        case "percent":
            return rng.choice((5, 10, 15, 20, 25, 30, 40, 50, 60, 75, rng.randint(2, 95)))
        case "hours":
            return rng.choice((rng.randint(2, 12), rng.randint(2, 12), rng.randint(1, 6) + 0.5))
        case "speed":
            return rng.choice((5 * rng.randint(1, 30), rng.randint(4, 130)))
        case "price":
            return rng.choice((rng.randint(2, 40), rng.randint(20, 990) / 10, rng.randint(101, 2999) / 100))
        case "money":
            return rng.choice((rng.randint(10, 900), 10 * rng.randint(2, 99), rng.randint(100, 9999) / 10))
        case "note":
            cost = known["b"] * known["c"]
            return next((note for note in _NOTES if note > cost), int(cost) // 100 * 100 + 100)
        case _:
            return _fitting(make, kind, known)


def _fitting(make: Maker, kind: str, known: dict[str, float]) -> float:
    """A number that goes with those known: "x b" a multiple of b, "> b" more than b."""
    rng = make.rng
    sign, _, about = kind.partition(" ")
    if about == "sum":  # b, so that a + b can be shared by c
        share = int(known["a"] // known["c"]) + rng.randint(1, 20)
        return share * known["c"] - known["a"]
    if about == "difference":  # a, so that a - b can be shared by c
        return known["b"] + known["c"] * rng.randint(2, 15)
    if sign == "x":
        return known[about] * rng.randint(2, 15)
    least = (
        sum(known[name] for name in re.findall("[a-d]", about))
        if "*" not in about
        else known["b"] * known["c"]
    )
    return int(least) + rng.randint(2, 60)


FAMILIES: dict[str, Kind] = {
    "problem": as_kind(problem, 9, "figures"),
}
