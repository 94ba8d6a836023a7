"""Automatic recall: what long-term memory has to say about a goal, and nothing where it has nothing."""

from __future__ import annotations

from collections.abc import Iterator

from autoagent.memory.fit import fit, sameness
from autoagent.memory.protocol import Memory, Recalled

# Set on held-out training questions; what it lets through and misses: docs/memory.md.
GOOD_FIT = 0.5
SAME = 0.8  # two texts that have this much in common say the same
LOOK_AT = 4  # times k candidates are judged


def recall_block(memory: Memory, query: str, k: int = 3, max_chars: int = 1_600) -> list[Recalled]:
    """Return up to ``k`` memories that fit ``query`` well enough to be shown unasked, best first.

    Of two of a kind that say the same, the better one is kept. All texts and citations together have at
    most ``max_chars`` characters, and no text more than half of that.

    Raises:
        StoreError: the memory cannot be used; the run may go on without and should say so.
    """
    chosen: list[Recalled] = []
    left = max_chars
    for each in _fitting(memory, query, k):
        room = left - len(each.citation)
        if len(chosen) == k or room < min(len(each.text), 80):
            break
        if not any(each.kind == other.kind and sameness(each.text, other.text) >= SAME for other in chosen):
            chosen.append(each.cut(min(room, max_chars // 2)))
            left = room - len(chosen[-1].text)
    return chosen


def _fitting(memory: Memory, query: str, k: int) -> Iterator[Recalled]:
    """What is alike enough, by words or, where the embedder knows meanings, by that."""
    for each in memory.recall(query, LOOK_AT * k):
        if each.alike or fit(query, each.text) >= GOOD_FIT:
            yield each
