"""Which words of goals go with which words of tools: a vector a word, learned from requests of people.

"Will I need an umbrella" asks for a tool that "tells the weather", though they share no word.
``vectors.json`` is made by ``python -m autoagent.nano vectors`` from the training part of the requests, and
never from intents that are held out; see docs/nano.md.
"""

from __future__ import annotations

import base64
import functools
import json
import math
import operator
from array import array
from collections.abc import Mapping
from importlib import resources
from typing import NamedTuple

from autoagent.tools.learned import tokens
from autoagent.tools.stems import STOP, stem

SIZE = 32  # of a vector; each value is stored as one byte


def roots(text: str, *, kinds: bool = True) -> tuple[str, ...]:
    """The words of a text that have vectors, if any have: stems, each once, and kinds like ``<date>``.

    >>> roots("Which bills are due on 2026-12-01?")
    ('which', 'bil', 'due', '<date>', '?')
    """
    found = dict.fromkeys(stem(each) for each in tokens(text) if each not in STOP)
    return tuple(each for each in found if kinds or each.isalpha())


def fit(goal: str, tool: str) -> float:
    """How well the words of a goal go with those of a tool, beyond their likeness: 0 where none is known.

    The dot product of two texts, each the sum of its words' vectors by the square root of their number.
    """
    return math.fsum(map(operator.mul, _vector(goal), _vector(tool, kinds=False)))


class _Table(NamedTuple):
    unit: float
    words: Mapping[str, str]  # SIZE signed bytes each, base64


@functools.lru_cache(maxsize=4096)
def _vector(text: str, *, kinds: bool = True) -> tuple[float, ...]:
    table = _table()
    words = [table.words[each] for each in roots(text, kinds=kinds) if each in table.words]
    known = [array("b", base64.b64decode(each)) for each in words]
    scale = table.unit / math.sqrt(len(known) or 1)
    return tuple(scale * sum(values) for values in zip(*known, strict=True))


@functools.cache
def _table() -> _Table:
    text = resources.files("autoagent.tools").joinpath("vectors.json").read_text(encoding="utf-8")
    return _Table(**json.loads(text))
