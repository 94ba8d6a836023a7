"""A tokenizer as grammars see it: which tokens open, close and end things."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import llguidance.hf
import numpy as np
from numpy.typing import NDArray

from autoagent.models.numbers import Numeric

Mask = NDArray[np.bool_]  # (V,)
Floats = NDArray[np.float32]  # (V,)


@dataclass(frozen=True)
class Marks:
    """How the chat template writes tool calls; found out when a model is loaded.

    A turn is ``opening head NAME middle ARGUMENTS tail closing``. Further calls stand between: in Hermes form
    each has opening and closing of its own, in other forms ``link NAME middle ARGUMENTS`` follows.
    """

    opening: str = "<tool_call>"
    closing: str = "</tool_call>"
    before: str = ""  # between the text and the first call
    between: str = "\n"  # between two calls in Hermes form
    many: bool = True  # the template can render several calls in one turn
    hermes: bool = True
    head: str = '\n{"name": "'
    middle: str = '", "arguments": '
    tail: str = "}\n"
    link: str = ""  # between two calls in other forms
    words: bool = True  # text may stand before the first call


class Vocabulary:
    """A tokenizer as grammars see it. ``size``: width of the logits; ``ends``: the end-of-turn ids."""

    def __init__(
        self,
        tokenizer: Any,
        size: int,
        ends: Sequence[int],
        marks: Marks,
        thought: tuple[str, str] | None = None,
    ) -> None:
        self.size, self.ends, self.marks = size, tuple(ends), marks
        self.matching = llguidance.hf.from_tokenizer(tokenizer, n_vocab=size, eos_token=list(ends))
        self._tokenizer = tokenizer
        anchor = str(tokenizer.convert_ids_to_tokens(self.ends[0]))
        apart = self.encode("a"), self.encode(anchor + "a")[1:]
        # What a tokenizer with a rule for the first word needs before a text that is not the first.
        self.anchor = "" if apart[0] == apart[1] else anchor
        self._added = _added_tokens(tokenizer)
        self.opening = _single(tokenizer, marks.opening) if marks.hermes else self._leading(marks.opening)
        self.closing = _single(tokenizer, marks.closing)
        self.think = _pair(tokenizer, thought)
        texts = [self.matching.decode_bytes([token]) for token in range(min(size, len(tokenizer)))]
        self.special = special_ids(tokenizer)
        for token in self.special:
            texts[token] = tokenizer.convert_ids_to_tokens(token).encode("utf-8")
        self._texts = texts
        self.numeric = Numeric(texts)
        self._ranks = self._rank_before(texts), self._rank_inside(texts)
        self._wishes = self._terminators(texts)
        self.permitted = np.zeros(size, dtype=np.bool_)
        self.permitted[: len(texts)] = True
        self.permitted[[i for i in (*self.special, *(self.think or ())) if i < size]] = False
        self.permitted[list(ends)] = True

    def encode(self, text: str) -> list[int]:
        """The ids of a text of its own. Safe in threads, unlike the tokenizer's own method."""
        return list(self._tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids)

    def encode_after(self, text: str) -> list[int]:
        """The ids of a text that follows another; some tokenizers put a space before the first."""
        return self.encode(self.anchor + text)[1:] if self.anchor else self.encode(text)

    def lark(self, text: str) -> str:
        """The text as a Lark rule, its control tokens as such; at least one character."""
        parts = re.split("(" + "|".join(map(re.escape, self._added)) + ")", text) if self._added else [text]
        return " ".join(
            f"<[{self._added[part]}]>" if part in self._added else json.dumps(part, ensure_ascii=False)
            for part in parts
            if part
        )

    def _leading(self, text: str) -> int | None:
        """The control token that a text begins with."""
        return next((number for token, number in self._added.items() if text.startswith(token)), None)

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
        ranks, first = np.full(self.size, 3, dtype=np.int8), self.marks.opening.encode("utf-8")[:1]
        for token, text in enumerate(texts):
            if text[:1] == first:
                ranks[token] = 1
            elif text[:1] == b"\n":
                ranks[token] = 2
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

        first = self.marks.opening.encode("utf-8")[:1]
        quotes, openings = ids(b'"'), ids(first) if self.opening is None else np.array([self.opening])
        ends = [*self.ends, *([] if self.closing is None else [self.closing])]
        return [
            (ids(b'"}', b'"]', b'",', b'"\n'), [quotes]),
            (ids(b"}", b"]"), [ids(b",")]),
            (np.array(ends), [openings, quotes, ids(b"}"), ids(b",")]),
        ]


def control_tokens(tokenizer: Any) -> tuple[str, ...]:
    """The control tokens as text; one of a single sign is left to be that sign."""
    names = map(str, tokenizer.convert_ids_to_tokens(sorted(special_ids(tokenizer))))
    return tuple(name for name in names if len(name) > 1)


def disarmed(text: str, control: Iterable[str]) -> str:
    """The same text, in which nothing is read as one of these control tokens any more."""
    for token in control:
        if token in text:
            text = text.replace(token, f"{token[0]}\u2060{token[1:]}")  # a word joiner: invisible
    return text


def special_ids(tokenizer: Any) -> frozenset[int]:
    """Control tokens: those the tokenizer has a name for (``eos_token``) and those only marked as such."""
    marked = (number for number, token in tokenizer.added_tokens_decoder.items() if token.special)
    return frozenset([*map(int, tokenizer.all_special_ids), *map(int, marked)])


def _added_tokens(tokenizer: Any) -> dict[str, int]:
    """Tokens that are never a part of ordinary text, the longest first."""
    added = {str(token): int(number) for number, token in tokenizer.added_tokens_decoder.items()}
    return {token: added[token] for token in sorted(added, key=len, reverse=True) if token}


def _pair(tokenizer: Any, texts: tuple[str, str] | None) -> tuple[int, int] | None:
    """The ids of two texts where each is one token, else None."""
    if texts is None:
        return None
    first, last = (_single(tokenizer, text) for text in texts)
    return None if first is None or last is None else (first, last)


def _single(tokenizer: Any, text: str) -> int | None:
    """The id of ``text`` where it is one token, else None."""
    ids = tokenizer.encode(text, add_special_tokens=False)
    return int(ids[0]) if len(ids) == 1 else None
