"""Which tools fit a goal: word overlap and character n-grams of name, description, arguments and hints.

The same ranking orders the tools in training and at run time, so a model learns when to trust it.
"""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autoagent.tools.base import Tool

_KINDS = (
    ("<table>", re.compile(r"[\w./-]+\.(?:csv|tsv)\b")),
    ("<file>", re.compile(r"[\w./-]*\w\.[a-z]{2,4}\b|\b\w+/(?!\w)")),
    ("<date>", re.compile(r"\b\d{4}-\d\d-\d\d\b")),
    ("<sum>", re.compile(r"\d\s*[-+*/^()%×÷]+\s*\d|%")),
    ("<number>", re.compile(r"\d+")),
)
# Words that say nothing about which tool is meant.
_STOP = frozenset(
    "a an the of in on at to for from by with and or then it its is are was be me my i you your please can"
    " could would that this as into do does".split()
)
_READ = 4_000  # characters of a goal; the patterns below take the square of a word's length
_CLAUSES = re.compile(
    r"(?:[,;.]\s+|\s+)(?:and then|then|and|after that|afterwards)\s+|[;.]\s+", re.IGNORECASE
)


def rank(goal: str, tools: Sequence[Tool]) -> list[Tool]:
    """The tools, best first. Each clause of a goal ("… and then …") gets its say in turn.

    Ties keep the order given, so the result is deterministic.
    """
    goal = goal[:_READ]
    clauses = [goal, *(part for part in _CLAUSES.split(goal) if part.strip() and part != goal)]
    texts = [_features(_about(each)) for each in tools]
    rarity = _rarity(texts)
    orders = []
    for clause in clauses:
        wanted = _features(clause)
        scores = [_similarity(wanted, text, rarity) for text in texts]
        orders.append(sorted(range(len(tools)), key=lambda number: -scores[number]))
    best: dict[int, None] = {}
    for place in range(len(tools)):
        for order in orders:
            best.setdefault(order[place])
    return [tools[number] for number in best]


def _about(tool: Tool) -> str:
    return " ".join((tool.name, tool.description, *tool.parameters["properties"], tool.hints))


@functools.lru_cache(maxsize=4096)
def _features(text: str) -> Counter[str]:
    """Stemmed words, and the character trigrams of words, which forgive inflection and spelling.

    A file name, date, number or sign of arithmetic counts as its kind, whatever its letters are.
    """
    text = text.lower()
    found: Counter[str] = Counter()
    for kind, pattern in _KINDS:
        text, hits = pattern.subn(" ", text)
        if hits:
            found[kind] += 3
    for word in re.findall(r"[^\W_]+", text):
        if word in _STOP:
            continue
        found["word " + word[:5]] += 3
        padded = f" {word} "
        for start in range(len(padded) - 2):
            found[padded[start : start + 3]] += 1
    return found


def _rarity(texts: Sequence[Counter[str]]) -> dict[str, float]:
    """Inverse document frequency over the tools at hand."""
    seen = Counter(feature for text in texts for feature in text)
    return {feature: math.log(1 + len(texts) / count) for feature, count in seen.items()}


def _similarity(wanted: Counter[str], text: Counter[str], rarity: dict[str, float]) -> float:
    shared = sum(
        min(count, text[feature]) * rarity[feature] for feature, count in wanted.items() if feature in text
    )
    length = sum(count * rarity[feature] for feature, count in text.items()) ** 0.3 or 1.0
    return shared / length
