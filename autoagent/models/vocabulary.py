"""A tokenizer as grammars see it: which tokens open, close and end things."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import llguidance.hf
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]  # (V,)
Floats = NDArray[np.float32]  # (V,)


@dataclass(frozen=True)
class Marks:
    """How the chat template writes tool calls; found out when a model is loaded."""

    opening: str = "<tool_call>"
    closing: str = "</tool_call>"
    before: str = ""  # between the text and the first call
    between: str = "\n"  # between two calls
    many: bool = True  # the template can render several calls in one turn


class Vocabulary:
    """A tokenizer as grammars see it. ``size``: width of the logits; ``ends``: the end-of-turn ids."""

    def __init__(self, tokenizer: Any, size: int, ends: Sequence[int], marks: Marks) -> None:
        self.size, self.ends, self.marks = size, tuple(ends), marks
        self.matching = llguidance.hf.from_tokenizer(tokenizer, n_vocab=size, eos_token=list(ends))
        self._tokenizer = tokenizer
        self.opening = _single(tokenizer, marks.opening)
        self.closing = _single(tokenizer, marks.closing)
        self.think = _single(tokenizer, "<think>"), _single(tokenizer, "</think>")
        texts = [self.matching.decode_bytes([token]) for token in range(min(size, len(tokenizer)))]
        for token in tokenizer.all_special_ids:
            texts[token] = tokenizer.convert_ids_to_tokens(token).encode("utf-8")
        self._texts = texts
        self._ranks = self._rank_before(texts), self._rank_inside(texts)
        self._wishes = self._terminators(texts)
        self.permitted = np.zeros(size, dtype=np.bool_)
        self.permitted[: len(texts)] = True
        self.permitted[[i for i in tokenizer.all_special_ids if i < size and i not in self.think]] = False
        self.permitted[list(ends)] = True

    def encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False, verbose=False))

    def spell(self, ids: Sequence[int]) -> bytes:
        """The UTF-8 bytes of these tokens, without end-of-turn tokens."""
        return b"".join(self._texts[token] for token in ids if token not in self.ends)

    def nearest_end(self, allowed: Mask, inside: bool) -> int:
        """Return the allowed token that leads to the end of the reply soonest."""
        return int(np.argmin(np.where(allowed, self._ranks[inside], 127)))

    def redirect(self, chances: Floats, allowed: Mask) -> None:
        """Move the probability of forbidden terminators to the allowed token that goes on as required.

        A model that wants to close an object whose required argument is missing would otherwise babble: its
        next best token is a random continuation of the value it thinks is over.
        """
        for wishes, ways in self._wishes:
            lost = float(chances[wishes[~allowed[wishes]]].sum())
            for way in ways if lost > 0 else ():
                options = way[allowed[way]]
                if options.size:
                    chances[options[np.argmax(chances[options])]] += lost
                    break

    def _rank_before(self, texts: list[bytes]) -> NDArray[np.int8]:
        """Rank tokens by how soon they lead from free text to a call; 0 is best."""
        ranks = np.full(self.size, 3, dtype=np.int8)
        for token, text in enumerate(texts):
            if text[:1] == b"<":
                ranks[token] = 1
            elif text[:1] == b"\n":
                ranks[token] = 2
        special = [token for token in self.think[1:] if token is not None]
        ranks[special] = 1
        if self.opening is not None:
            ranks[self.opening] = 0
        return ranks

    def _rank_inside(self, texts: list[bytes]) -> NDArray[np.int8]:
        """Rank tokens by how soon they close a JSON value. Quotes first: in a string "}" is just text."""
        starts = (b'"}', b'"]', b'"', b"}", b"]", b",", b"0123456789", b"abcdefghijklmnopqrstuvwxyz")
        ranks = np.full(self.size, 20, dtype=np.int8)
        for token, text in enumerate(texts):
            for rank, start in enumerate(starts):
                if text.startswith(start) if len(start) < 3 else text[:1] in start and text:
                    ranks[token] = 2 * rank + (len(text) > 1)
                    break
        ranks[list(self.ends)] = -1
        return ranks

    def _terminators(self, texts: list[bytes]) -> list[tuple[NDArray[np.int64], list[NDArray[np.int64]]]]:
        def ids(*starts: bytes) -> NDArray[np.int64]:
            return np.array([i for i, text in enumerate(texts) if text.startswith(starts)], dtype=np.int64)

        quotes, openings = ids(b'"'), ids(b"<") if self.opening is None else np.array([self.opening])
        ends = [*self.ends, *([] if self.closing is None else [self.closing])]
        return [
            (ids(b'"}', b'"]', b'",', b'"\n'), [quotes]),
            (ids(b"}", b"]"), [ids(b",")]),
            (np.array(ends), [openings, quotes, ids(b"}"), ids(b",")]),
        ]


def _single(tokenizer: Any, text: str) -> int | None:
    """The id of ``text`` where it is one token, else None."""
    ids = tokenizer.encode(text, add_special_tokens=False)
    return int(ids[0]) if len(ids) == 1 else None
