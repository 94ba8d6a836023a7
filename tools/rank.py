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
from typing import TYPE_CHECKING

from autoagent.tools.learned import DATE, FILE, SUM, TABLE, demands
from autoagent.tools.related import RELATED

if TYPE_CHECKING:
    from autoagent.tools.base import Tool

_KINDS = (
    ("<table>", TABLE),
    ("<file>", FILE),
    ("<date>", DATE),
    ("<sum>", SUM),
    ("<number>", re.compile(r"\d+")),
)
# Words that say nothing about which tool is meant.
_STOP = frozenset(
    "a an the of in on at to for from by with and or then it its is are was be me my i you your please can"
    " could would that this as into do does".split()
)
# Words of so many tools and goals that they say little.
_COMMON = frozenset(
    "tell say give show get check see find want need know help let like have has any about some there user"
    " what which who how when where".split()
)
_ENDINGS = (
    *("ations", "ation", "ments", "ment", "ings", "ing", "ies", "ied", "ers", "er", "ed", "es", "s"),
    *("e", "y"),
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


def rank(goal: str, tools: Sequence[Tool]) -> list[Tool]:
    """The tools, best first. Each clause of a goal ("… and then …") gets its say in turn.

    What counts is how alike goal and tool are in words and, for built-in tools, how much such wordings
    ask for them (``learned``).

    Ties keep the order given, so the result is deterministic.
    """
    goal = _QUOTED.sub(' "" ', goal[:_READ])
    parts = [part for part in _CLAUSES.split(goal) if part.strip()]
    clauses = [goal, *parts] if len(parts) > 1 else [goal]
    texts = [_about(each) for each in tools]
    rarity = _rarity(texts)
    names = [each.name for each in tools]
    alike = [[_similarity(_features(clause), text, rarity) for text in texts] for clause in clauses]
    enough = _TELLING * max((max(each, default=0.0) for each in alike), default=0.0)
    orders = []
    for clause, similar in zip(clauses, alike, strict=True):
        asked, most = demands(clause), max(similar, default=0.0)
        if most < enough and max(asked.values(), default=0.0) < _ASKED:
            continue  # a courtesy: "No hurry."
        scores = [
            (_ALIKE if name in asked else 1) * value / (most or 1) + asked.get(name, 0)
            for name, value in zip(names, similar, strict=True)
        ]
        orders.append(sorted(range(len(tools)), key=lambda at, scores=scores: -scores[at]))  # type: ignore[misc]
    best: dict[int, None] = {}
    for place in range(len(tools)):
        for order in orders:
            best.setdefault(order[place])
    return [tools[number] for number in best]


def _about(tool: Tool) -> Mapping[str, float]:
    """Features of what a tool says of itself, and of its hints, which need no related words."""
    own = _features(" ".join((tool.name, tool.description, *tool.parameters["properties"])))
    hinted = _features(tool.hints, related=False)
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
        if word in _STOP:
            continue
        stem = _stem(word)
        if word in _COMMON:
            found["word " + stem] += 2
            continue
        found["word " + stem] += 3
        found["start " + word[:5]] += 1.5
        for group in _groups().get(stem, ()) if related else ():
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
        for stem in dict.fromkeys(map(_stem, line.split())):
            found[stem].append(f"group {number}")
    return found


def _stem(word: str) -> str:
    """A word without its ending, if three letters or more are left."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending)
            break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] else word


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
