"""What the built-in tools are asked for with: weights of words and pairs of words, learned from goals.

``learned.json`` is made by ``python -m autoagent.nano rank`` out of the wordings that the embedded model is
trained with (never those that are held out); see docs/nano.md. Tools that are not in it score nothing.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Mapping
from importlib import resources

TABLE = re.compile(r"[\w./-]+\.(?:csv|tsv)\b")
FILE = re.compile(r"[\w./-]*\w\.[a-z]{2,4}\b|\b\w+/(?!\w)")
DATE = re.compile(r"\b\d{4}-\d\d-\d\d\b")
SUM = re.compile(r"\d\s*[-+*/^()%×÷]+\s*\d|%")
_KINDS = (
    ("<quoted>", re.compile(r"""["“][^"”]{0,200}["”]|`[^`]{1,200}`|(?<!\w)'[^']{1,200}'(?!\w)""")),
    ("<table>", TABLE),
    ("<json>", re.compile(r"[\w./-]+\.jsonl?\b")),
    ("<date>", DATE),
    ("<file>", FILE),
    ("<sum>", SUM),
    ("<number>", re.compile(r"\d[\d.,]*")),
)
_TOKEN = re.compile(r"<\w+>|[^\W\d_]+|[?:]")
_SCALE = 7.0  # log-odds of -7 are no demand at all
_LONGEST = 2_000  # characters; the patterns above take their time on longer ones


def tokens(text: str) -> list[str]:
    """Words in small letters, with files, dates, numbers and the like as their kinds."""
    text = text[:_LONGEST].lower()
    for kind, pattern in _KINDS:
        text = pattern.sub(f" {kind} ", text)
    return _TOKEN.findall(text)


def features(text: str) -> set[str]:
    """What the weights go by: each token, and each pair of neighbours."""
    found = ["^", *tokens(text)]
    return {*found[1:], *(" ".join(pair) for pair in itertools.pairwise(found))}


def demands(text: str) -> dict[str, float]:
    """By built-in tool, how much a goal worded like this asks for it: 1 where it is as likely as not, 0..2.

    It falls with the logarithm of the odds, so that of unlikely tools, too, the likelier come first. Nothing
    is said of a goal that has no known word.
    """
    seen = features(text)
    weights = _weights()
    if not any(each in known for known in weights.values() for each in seen):
        return {}
    return {name: _demand(known, seen) for name, known in weights.items()}


def _demand(weights: Mapping[str, float], seen: set[str]) -> float:
    odds = weights.get("", 0.0) + sum(weights.get(each, 0.0) for each in seen)  # their logarithm
    return min(2.0, max(0.0, 1 + odds / _SCALE))


@functools.cache
def _weights() -> Mapping[str, Mapping[str, float]]:
    """By tool, the weight of each feature; that of the empty one is added always."""
    text = resources.files("autoagent.tools").joinpath("learned.json").read_text(encoding="utf-8")
    found: Mapping[str, Mapping[str, float]] = json.loads(text)
    return found
