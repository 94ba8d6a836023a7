"""Tools with two or more arguments, from ``several.txt``: what they do and take, and how one asks for it.

Arguments have telling names, of which a fifth is held out by hash; at most one of a tool is called something
that tells nothing, so that it is always clear which value belongs where.
"""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoagent.evals.task import Argument
from autoagent.nano.language import quoted
from autoagent.nano.words import SHOPPING, Words, is_held_out

_FOLDER = Path(__file__).resolve().parent.parent
_GENERAL = "name query value key item id what text input arg data".split()  # of arguments, of any tool
_TELLING = 0.8  # share of the tools whose arguments all have telling names
_FORMS = ("{}",) * 8 + (
    "{}_name",
    "the_{}",
    "target_{}",
    "new_{}",
    "{}_value",
    "given_{}",
    "chosen_{}",
    "my_{}",
)
_DISHES = "pizza soup burger salad curry pasta sushi steak taco pancake".split()
_COLOURS = "red blue green yellow white black grey brown orange pink".split()
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()


@dataclass(frozen=True)
class Blueprint:
    """A tool to be invented: ways to say what it does, kinds of values by argument, and wordings of goals."""

    about: tuple[str, ...]
    slots: Mapping[str, str]
    wordings: tuple[str, ...]


@functools.cache
def blueprints() -> tuple[Blueprint, ...]:
    """All tools of ``several.txt``."""
    return tuple(_blueprint(block) for block in _read("several.txt").split("\n\n"))


@functools.cache
def _names() -> Mapping[str, Sequence[str]]:
    """What an argument may be called, by its slot; all of ``several_names.txt``."""
    lines = (line.partition(": ") for line in _read("several_names.txt").splitlines())
    return {slot: names.split() for slot, _, names in lines}


def _read(file: str) -> str:
    """A file without its comments."""
    lines = (_FOLDER / file).read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if line[:1] != "#").strip()


def _blueprint(block: str) -> Blueprint:
    about, slots, *wordings = (line.strip() for line in block.splitlines())
    kinds = re.findall(r"(\w+)=(\S+)", slots)
    return Blueprint(tuple(about.split("; ")), dict(kinds), tuple(wordings))


def argument_names(slots: Mapping[str, str], rng: random.Random, of_tools: Words) -> dict[str, str]:
    """A name for each argument, all different, from the side of the split that tools are made of."""
    vague = rng.choice(list(slots)) if rng.random() > _TELLING else None
    names: dict[str, str] = {}
    for slot in slots:
        while slot not in names:
            name = _vague(rng, of_tools) if slot == vague else _telling(slot, rng, of_tools)
            if name not in names.values():
                names[slot] = name
    return names


def _telling(slot: str, rng: random.Random, of_tools: Words) -> str:
    for _ in range(400):
        name = rng.choice(_FORMS).format(rng.choice(_names()[slot]))
        if is_held_out(name) == of_tools.held_out and name != "name_name":
            return name
    raise LookupError(f"no name of {slot} is on this side of the split")


def _vague(rng: random.Random, of_tools: Words) -> str:
    """A name that tells nothing."""
    if not of_tools.held_out and rng.random() < 0.5:
        return rng.choice(_GENERAL)
    name = of_tools.word().lower()
    return name if name.isascii() and name.isidentifier() else "arg"


def value_of(kind: str, rng: random.Random, words: Words) -> tuple[object, str, Argument]:
    """A value of a kind, how it is said in a goal, and the argument that takes it."""
    value, argument = _value(kind, rng, words)
    if kind.startswith("phrase"):
        return value, quoted(rng, str(value)), argument
    if kind.startswith("day") and re.match(r"\d|[MTWFS]\w+day$", str(value)):
        return value, f"on {value}", argument
    return value, str(value), argument


def _value(kind: str, rng: random.Random, words: Words) -> tuple[object, Argument]:
    optional, kind = kind.endswith("?"), kind.rstrip("?")
    if kind.startswith("choice:"):
        choices = tuple(kind.removeprefix("choice:").split("|"))
        if rng.random() < 0.5:  # the tool does not say which there are
            return rng.choice(choices), Argument(optional=optional)
        return rng.choice(choices), Argument(type="choice", choices=choices, optional=optional)
    if kind == "number":
        return rng.randint(1, 200), Argument(type="number", optional=optional)
    values: dict[str, Callable[[], object]] = {
        "name": words.name,
        "place": words.place,
        "word": words.word,
        "thing": words.thing,
        "date": words.date,
        "email": words.email,
        "item": lambda: words.pick(SHOPPING) if rng.random() < 0.5 else words.word(),
        "food": lambda: words.pick(_DISHES),
        "colour": lambda: rng.choice(_COLOURS),
        "time": lambda: _time(rng),
        "day": lambda: _day(rng, words),
        "span": lambda: f"{rng.randint(2, 90)} {rng.choice(('minutes', 'seconds', 'hours', 'days'))}",
        "price": lambda: f"{words.decimal():.2f}",
        "code": lambda: (
            f"{rng.choice('ABCDEFGHKLMNPRSTUVWXYZ')}{rng.choice(('-', ''))}{rng.randint(2, 9999)}"
        ),
        "title": lambda: _title(rng, words),
        "phrase": lambda: words.phrase(2, 6),
    }
    return values[kind](), Argument(optional=optional)


def _time(rng: random.Random) -> str:
    hour = rng.randint(1, 12)
    exact = f"{rng.randrange(24)}:{rng.randrange(60):02d}"
    spoken = rng.choice(("noon", "midnight", "half past six", "ten"))
    return rng.choice((exact, exact, f"{hour} {rng.choice(('am', 'pm'))}", f"{hour} o'clock", spoken))


def _day(rng: random.Random, words: Words) -> str:
    day = rng.choice(_DAYS)
    ways = (words.date(), day, f"next {day}", f"this {day}", "today", "tomorrow", "tonight", "next week")
    return rng.choice((*ways, "this weekend", "the day after tomorrow", "in two days"))


def _title(rng: random.Random, words: Words) -> str:
    """Some words, mostly with capitals, as names of songs, books and events have them."""
    said = [words.word() for _ in range(rng.randint(1, 4))]
    if rng.random() < 0.3 and len(said) > 1:
        said[1] = rng.choice(("of", "the", "and", "in", "my"))
    text = " ".join(said)
    return text.title() if rng.random() < 0.7 else text
