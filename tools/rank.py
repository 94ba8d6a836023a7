"""Which tools fit a goal: words, words that go together with them, and character n-grams of name,
description, arguments and hints.

The same ranking orders the tools in training and at run time, so a model learns when to trust it.
"""

from __future__ import annotations

import functools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from autoagent.tools.learned import DATE, FILE, SUM, TABLE, demands
from autoagent.tools.related import RELATED
from autoagent.tools.stems import STOP, stem
from autoagent.tools.vectors import fit

if TYPE_CHECKING:
    from autoagent.tools.base import Tool

_KINDS = (
    ("<table>", TABLE),
    ("<file>", FILE),
    ("<date>", DATE),
    ("<sum>", SUM),
    ("<number>", re.compile(r"\d+")),
)
# Words of so many tools and goals that they say little.
_COMMON = frozenset(
    "tell say give show get check see find want need know help let like have has any about some there user"
    " what which who how when where".split()
)
_QUOTED = re.compile(r"(?<!\w)(?:\"[^\"]+\"|'[^']+'|“[^”]+”)(?!\w)")  # data, not wishes
_ASKED = 1.0  # demand from which a clause is taken to ask for a tool
_ALIKE = 0.6  # worth of the closest likeness, where the demand counts, too
_TELLING = 0.25  # share of the best clause's score that another must reach to be heard
_READ = 4_000  # characters of a goal; the patterns below take the square of a word's length
_CLAUSES = re.compile(
    r"(?:[,;.?!]\s+|\s+)(?:and then|then|and|after that|and afterwards|afterwards|next|also|and also|finally"
    r"|when that is done|once done),?\s+|[;.?!:]\s+|(?:^|\s)\d[.)]\s+",
    re.IGNORECASE,
)


class Wording(NamedTuple):
    """What a tool says of itself.

    Attributes:
        own: Name, description and names of arguments.
        hints: Words of people who want it, which need no related words.
        ours: Whether it is built in: for those it is learned what they are asked for with.
    """

    name: str
    own: str
    hints: str = ""
    ours: bool = False


def rank(goal: str, tools: Sequence[Tool]) -> list[Tool]:
    """The tools, best first. Each clause of a goal ("… and then …") gets its say in turn.

    What counts is how alike goal and tool are in words and how much such wordings ask for it: for built-in
    tools by their names (``learned``), for others by their words (``vectors``).

    Ties keep the order given, so the result is deterministic.
    """
    goal = without_quotes(goal[:_READ])
    parts = [part for part in _CLAUSES.split(goal) if part.strip()]
    clauses = [goal, *parts] if len(parts) > 1 else [goal]
    wordings = [wording(each) for each in tools]
    alike = likeness(clauses, wordings)
    enough = _TELLING * max((max(each, default=0.0) for each in alike), default=0.0)
    orders = []
    for clause, similar in zip(clauses, alike, strict=True):
        asked, most = demands(clause), max(similar, default=0.0)
        if most < enough and max(asked.values(), default=0.0) < _ASKED:
            continue  # a courtesy: "No hurry."
        scores = [
            score + (0 if told.ours else fit(clause, told.own))
            for score, told in zip(asked_for(similar, wordings, asked), wordings, strict=True)
        ]
        orders.append(sorted(range(len(tools)), key=lambda at, scores=scores: -scores[at]))  # type: ignore[misc]
    best: dict[int, None] = {}
    for place in range(len(tools)):
        for order in orders:
            best.setdefault(order[place])
    return [tools[number] for number in best]


def likeness(clauses: Sequence[str], tools: Sequence[Wording]) -> list[list[float]]:
    """How alike each clause and each of the tools are in words, from 0 up; words of few tools count most."""
    texts = [_about(each) for each in tools]
    rarity = _rarity(texts)
    return [[_similarity(_features(clause), text, rarity) for text in texts] for clause in clauses]


def asked_for(similar: Sequence[float], tools: Sequence[Wording], asked: Mapping[str, float]) -> list[float]:
    """Likeness by that of the tool most alike, and what the goal's words ask for by name (``demands``)."""
    most = max(similar, default=0.0) or 1
    return [
        (_ALIKE if tool.name in asked else 1) * value / most + asked.get(tool.name, 0)
        for value, tool in zip(similar, tools, strict=True)
    ]


def without_quotes(goal: str) -> str:
    """A goal without what it quotes, which is data."""
    return _QUOTED.sub(' "" ', goal)


def wording(tool: Tool) -> Wording:
    """What a tool says of itself."""
    own = " ".join((tool.name, tool.description, *tool.parameters["properties"]))
    return Wording(tool.name, own, tool.hints, ours=tool.source == "built in")


def _about(tool: Wording) -> Mapping[str, float]:
    own, hinted = _features(tool.own), _features(tool.hints, related=False)
    return {feature: own.get(feature, 0) + hinted.get(feature, 0) for feature in {**own, **hinted}}


@functools.lru_cache(maxsize=4096)
def _features(text: str, related: bool = True) -> Mapping[str, float]:
    """Stemmed words, their groups, and the character trigrams of words, which forgive spelling.

    A file name, date, number or sign of arithmetic counts as its kind, whatever its letters are.
    """
    text = text.lower().replace("look up", "find")
    found: dict[str, float] = defaultdict(float)
    for kind, pattern in _KINDS:
        text, hits = pattern.subn(" ", text)
        if hits:
            found[kind] += 6 if kind == "<table>" else 3  # most tables are named, and little else
    for word in re.findall(r"[^\W_]+", text):
        if word in STOP:
            continue
        root = stem(word)
        if word in _COMMON:
            found["word " + root] += 2
            continue
        found["word " + root] += 3
        found["start " + word[:5]] += 1.5
        for group in _groups().get(root, ()) if related else ():
            found[group] = 5
        padded = f" {word} "
        for start in range(len(padded) - 2):
            found[padded[start : start + 3]] += 0.4
    return found


@functools.cache
def _groups() -> Mapping[str, Sequence[str]]:
    """The groups of related words by stem."""
    found: dict[str, list[str]] = defaultdict(list)
    for number, line in enumerate(RELATED):
        for root in dict.fromkeys(map(stem, line.split())):
            found[root].append(f"group {number}")
    return found


def _rarity(texts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Inverse document frequency over the tools at hand."""
    seen = Counter(feature for text in texts for feature in text)
    return {feature: math.log(1 + len(texts) / count) for feature, count in seen.items()}


def _similarity(wanted: Mapping[str, float], text: Mapping[str, float], rarity: dict[str, float]) -> float:
    shared = sum(
        min(count, text[feature]) * rarity[feature] for feature, count in wanted.items() if feature in text
    )
    length = sum(count * rarity[feature] for feature, count in text.items()) ** 0.3 or 1.0
    return shared / length
