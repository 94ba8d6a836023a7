"""The one ranking of every memory: nearest vectors and BM25, fused by reciprocal rank."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from autoagent.memory.lexical import Lexical
from autoagent.memory.protocol import KINDS, Entry

# Of reciprocal rank fusion: larger trusts the first places less. Of 0, 2, 5, 10, 20 and the customary 60,
# chosen on questions held out of training after 60 had fallen behind BM25 in recall@5: see docs/memory.md.
RANK_OFFSET = 5
MIN_DEPTH = 64  # places of each list that take part


def clean(text: str) -> str:
    """Return ``text`` as it is kept: trimmed, and valid Unicode.

    Raises:
        ValueError: nothing is left.
    """
    kept = text.encode("utf-8", "replace").decode("utf-8").strip()
    if not kept:
        raise ValueError("There is nothing to remember: the text is empty.")
    return kept


def known(kind: str) -> str:
    """Return ``kind``.

    Raises:
        ValueError: there is no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"There is no kind {kind!r}: choose one of {', '.join(KINDS)}.")
    return kind


def identify(text: str, kind: str, source: str, lines: str = "") -> str:
    """Return the id of an entry: a hash of what makes it one entry and not two, 16 hex digits."""
    parts = (kind, source, text, lines) if lines else (kind, source, text)
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "replace")).hexdigest()[:16]


def named(text: str, kind: str, source: str, key: str) -> str:
    """Return the id of a text that is added: with a key, the same for all texts of that key and kind."""
    return identify(f"\x1e{key}", kind, "") if key else identify(text, kind, source)


def depth(k: int) -> int:
    """Return how many nearest vectors a recall of ``k`` texts needs.

    Raises:
        ValueError: ``k`` is below 1.
    """
    if k < 1:
        raise ValueError(f"k must be 1 or more, not {k}.")
    return max(MIN_DEPTH, 2 * k)


class Shelf:
    """What is known of all entries without their texts: ids, kinds, sources and the word index.

    Entries are rows in the order of their age. Vectors and texts are the owner's.
    """

    def __init__(self) -> None:
        self.lexical = Lexical()
        self.last_age = 0
        self._rows: dict[str, int] = {}  # id -> row
        self._ids: list[str] = []  # row -> id, also of removed rows
        self._groups: dict[tuple[str, str], int] = {}  # (kind, source) -> number
        self._group_of = array("I")  # row -> number of its group

    def __contains__(self, id: str) -> bool:
        return id in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def dropped(self) -> int:
        """How many entries were removed whose rows are still there."""
        return len(self._ids) - len(self._rows)

    def put(self, entry: Entry) -> None:
        """Take in an entry, newer than all others."""
        self._rows[entry.id] = self.lexical.add(entry.text)
        self._ids.append(entry.id)
        self._group_of.append(self._groups.setdefault((entry.kind, entry.source), len(self._groups)))
        self.last_age = max(self.last_age, entry.age)

    def drop(self, id: str) -> None:
        """Remove an entry that is kept."""
        self.lexical.remove(self._rows.pop(id))

    def chosen(self, kind: str = "", source: str = "") -> list[str]:
        """Return the ids, oldest first; of this kind and this source, where they are given."""
        inside = self._inside(kind, source) & self.lexical.alive()
        return [self._ids[row] for row in np.flatnonzero(inside)]

    def counts(self) -> dict[tuple[str, str], int]:
        """Return how many entries there are by (kind, source)."""
        living = np.array(self._group_of, dtype=np.uint32)[self.lexical.alive()]
        sizes = np.bincount(living, minlength=len(self._groups)).tolist()
        return {group: sizes[number] for group, number in self._groups.items() if sizes[number]}

    def fused(
        self, query: str, similar: Mapping[str, float], k: int, kind: str
    ) -> list[tuple[str, float, bool]]:
        """Rank by BM25 and by ``similar``: cosines of at least the nearest ``depth(k)`` of that kind.

        Returns:
            Id, fused score (0..1) and whether a word is shared, best first.
        """
        scores = np.round(self.lexical.scores(query), 5)
        if kind:
            scores[~self._inside(kind, "")] = 0
        cosines = {self._rows[id]: cosine for id, cosine in similar.items() if id in self._rows}
        near, nearness = np.array(list(cosines), dtype=np.int64), np.array(list(cosines.values()), np.float64)
        places = (
            _first(near, np.round(nearness, 5), depth(k)),
            _first(np.flatnonzero(scores), scores[scores > 0], depth(k)),
        )
        fused: dict[int, float] = {}
        for rows in places:
            for place, row in enumerate(rows, start=1):
                fused[row] = fused.get(row, 0.0) + (RANK_OFFSET + 1) / (RANK_OFFSET + place) / 2
        order = sorted(fused, key=lambda row: (-round(fused[row], 5), -row))
        return [(self._ids[row], round(fused[row], 6), bool(scores[row])) for row in order]

    def packed(self) -> dict[str, npt.NDArray[Any]]:
        """Return everything as arrays for ``unpacked``."""
        living = np.array(self._group_of, dtype=np.uint32)[self.lexical.alive()]
        used, groups = np.unique(living, return_inverse=True)
        groups_by_number = list(self._groups)
        about = {
            "last_age": self.last_age,
            "groups": [groups_by_number[number] for number in used.tolist()],
            "ids": self.chosen(),
        }
        described = np.frombuffer(json.dumps(about).encode("utf-8"), dtype=np.uint8)
        return {**self.lexical.packed(), "group_of": groups.astype(np.uint32), "about": described}

    @classmethod
    def unpacked(cls, packed: Mapping[str, npt.NDArray[Any]]) -> Shelf:
        """Return the shelf that ``packed`` was made from."""
        shelf = cls()
        about = json.loads(packed["about"].tobytes())
        shelf.lexical = Lexical.unpacked(packed)
        shelf.last_age = about["last_age"]
        shelf._ids = about["ids"]
        shelf._rows = {id: row for row, id in enumerate(shelf._ids)}
        shelf._groups = {(kind, source): number for number, (kind, source) in enumerate(about["groups"])}
        shelf._group_of = array("I", packed["group_of"].astype(np.uint32).tobytes())
        return shelf

    def _inside(self, kind: str, source: str) -> npt.NDArray[np.bool_]:
        """Tell which rows are of this kind and this source, (rows,); empty stands for any."""
        fits = [
            (not kind or kind == group[0]) and (not source or source == group[1]) for group in self._groups
        ]
        return np.array(fits, dtype=np.bool_)[np.array(self._group_of, dtype=np.uint32)]


def _first(rows: npt.NDArray[np.int64], scores: npt.NDArray[np.floating[Any]], most: int) -> Iterable[int]:
    """Return the rows, highest score first, newer first among equals; stores differ in the last bits."""
    if len(rows) > most:
        best = scores >= np.partition(scores, -most)[-most]
        rows, scores = rows[best], scores[best]
    order: list[int] = rows[np.lexsort((-rows, -scores))[:most]].tolist()
    return order
