"""Facts that are worth remembering."""

from __future__ import annotations

from dataclasses import dataclass

from autoagent.nano.families.base import Maker


@dataclass(frozen=True)
class Fact:
    """Something to remember: its text, what it is about, how one looks for that, and the value."""

    text: str
    thing: str
    query: str
    value: str


def make_fact(make: Maker, value: str, thing: str = "") -> Fact:
    w, rng = make.words, make.rng
    thing = thing or w.thing()
    kind = rng.randrange(4)
    if kind == 0:
        thing = f"{w.name()}'s {thing}"
    elif kind == 1:
        thing = f"my {thing}"
    else:
        thing = f"the {thing}"
    return named(thing, value)


def named(thing: str, value: str) -> Fact:
    return Fact(f"{thing} is {value}", thing, thing.removeprefix("the "), value)


def among_others(make: Maker, fact: Fact) -> tuple[str, ...]:
    """The fact and up to three others; sometimes the same thing of somebody else."""
    rng, w = make.rng, make.words
    others: list[str] = []
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        other = make_fact(make, w.code())
        if rng.random() < 0.2:
            plain = fact.query.removeprefix("my ").rpartition("'s ")[2]
            other = named(f"{w.name()}'s {plain}", w.code())
        if other.query != fact.query:
            others.append(other.text)
    memory = [fact.text, *others]
    rng.shuffle(memory)
    return tuple(memory)


_SENTENCES = (
    "{name} lives in {place}",
    "{name} likes {food}",
    "{name} does not eat {food}",
    "{name} works in {place}",
    "{name} [owes|paid] me {n} [euros|dollars]",
    "I owe {name} {n} [euros|dollars]",
    "I parked on level {small}",
    "the meeting with {name} is at {time}",
    "the {word} is in the {word2} [box|room|drawer|folder]",
    "we meet {name} on {date}",
    "the train to {place} leaves at {time}",
    "{name} and {name2} are [coming|away] on {date}",
    "we need {food} and {food2}",
    "{name}'s birthday is on {date}",
    "my [son|sister|boss|doctor|neighbour] is called {name}",
)


def any_fact(make: Maker) -> str:
    """A fact of any shape: one to save, which nobody has to find again."""
    w, rng = make.words, make.rng
    if rng.random() < 0.6:
        return make_fact(make, w.code()).text
    return make.phrase(
        *_SENTENCES,
        name=w.name(),
        name2=w.name(),
        place=w.place(),
        food=w.pick(_FOOD),
        food2=w.pick(_FOOD),
        n=w.number(),
        small=rng.randint(1, 9),
        time=f"{rng.randrange(24)}:{rng.randrange(60):02d}",
        word=w.word(),
        word2=w.word(),
        date=w.date(),
    )


_FOOD = (
    "milk bread eggs butter cheese apples pears rice pasta coffee tea sugar salt flour honey soap juice"
    " tomatoes onions garlic carrots potatoes beans lentils oats yogurt cream olives lemons nuts"
).split()
