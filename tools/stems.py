"""Words as the ranking of tools compares them: without their endings, and without those that say nothing."""

from __future__ import annotations

# Words that say nothing about which tool is meant.
STOP = frozenset(
    "a an the of in on at to for from by with and or then it its is are was be me my i you your please can"
    " could would that this as into do does".split()
)
_ENDINGS = (
    *("ations", "ation", "ments", "ment", "ings", "ing", "ies", "ied", "ers", "er", "ed", "es", "s"),
    *("e", "y"),
)


def stem(word: str) -> str:
    """A word without its ending, if three letters or more are left."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending)
            break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] else word
