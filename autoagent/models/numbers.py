"""Where a walk through JSON stands, to keep numbers finite.

A JSON schema cannot say how many digits a number may have without losing the exponent, and a model that has
lost its way writes digits until its budget ends.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# What a number may begin with: 20 digits, 20 decimals, an exponent below 200. All 64-bit integers and all
# that Python's repr() makes of floats below 1e200 fit, and nothing that fits is infinite.
_BEGINNING = re.compile(rb"-?(0|[1-9]\d{0,19})?(\.\d{0,20})?(e[+-]?(\d{0,2}|1\d\d))?", re.IGNORECASE)
_LETTERS = frozenset(b"0123456789+-.eE")


class Place(NamedTuple):
    """Where the walk stands: in a string, behind a backslash in it, or in the ``number`` so far."""

    quoted: bool = False
    escaped: bool = False
    number: bytes = b""

    def after(self, text: bytes) -> Place:
        """The place after ``text``."""
        quoted, escaped, number = self
        for letter in text:
            if quoted:
                quoted, escaped = escaped or letter != 0x22, not escaped and letter == 0x5C
            else:
                quoted = letter == 0x22
                number = number + bytes([letter]) if letter in _LETTERS else b""
        return Place(quoted, escaped, b"" if quoted else number)


class Numeric:
    """The tokens of a vocabulary that can go on in a number."""

    def __init__(self, texts: Sequence[bytes]) -> None:
        self._heads = {token: text[: _run(text)] for token, text in enumerate(texts) if _run(text)}
        self._ids = np.array(list(self._heads), dtype=np.int64)

    def bound(self, allowed: NDArray[np.bool_], number: bytes) -> None:
        """Take those tokens off the mask, (V,), with which ``number`` would get too long.

        Nothing is taken where nothing would be left: a schema may ask for a number that is longer.
        """
        long = [
            token
            for token in self._ids[allowed[self._ids]].tolist()
            if not _BEGINNING.fullmatch(number + self._heads[token])
        ]
        if long and len(long) < allowed.sum():
            allowed[long] = False


def _run(text: bytes) -> int:
    return next((place for place, letter in enumerate(text) if letter not in _LETTERS), len(text))
