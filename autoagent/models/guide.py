"""One reply's walk through a grammar, always with a valid way to the end in sight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from llguidance import LLMatcher

from autoagent.models.numbers import Place
from autoagent.models.vocabulary import Mask, Vocabulary


@dataclass
class Guide:
    """One reply's walk through a grammar. ``ended`` is True once an end-of-turn token was taken."""

    vocabulary: Vocabulary
    matcher: LLMatcher
    budget: int  # tokens left
    reserve: int  # tokens that a shortest reply needs, about
    inside: bool  # a call is open, or the whole reply is JSON
    ended: bool = False
    _said: bytes = b""  # until the first call opens
    _place: Place = Place()  # noqa: RUF009 - a tuple, so nothing is shared
    _allowed: Mask | None = None
    _way_out: list[int] | None = None  # the shortest end from here, known only where the budget is tight

    def begin(self) -> list[int]:
        """Return the tokens the reply must begin with."""
        forced = self._follow()
        if self._tight():
            self._way_out = self._shortest()
        return forced

    def allowed(self) -> Mask:
        """Which tokens may come next, (V,)."""
        if self._allowed is None:
            self._allowed = mask_of(self.matcher, self.vocabulary.size)
            if self._place.number:
                self.vocabulary.numeric.bound(self._allowed, self._place.number)
        return self._allowed

    def take(self, token: int) -> tuple[bool, list[int]]:
        """Take a chosen token: ``(True, forced tokens after it)``.

        ``(False, tokens)``: after the token no end would have fitted the budget; it was not taken, the
        tokens to the end of the reply were.
        """
        before = self.inside, self._said, self.budget, self._allowed, self._place
        self._consume(token)
        if self.ended:
            return True, []
        forced = self._follow()
        if self._tight():
            way = self._shortest() if not self.ended else [] if self.budget >= 0 else None
            if way is None and self._way_out is not None:
                self.matcher.rollback(1 + len(forced) - self.ended)  # it does not take the end itself
                self.inside, self._said, self.budget, self._allowed, self._place = before
                self.ended = False
                return False, self._leave(self._way_out)
            self._way_out = way
        return True, forced

    def _tight(self) -> bool:
        return self.budget <= 2 * self.reserve + 32

    def _shortest(self) -> list[int] | None:
        return shortest_end(self.vocabulary, self.matcher.deep_copy(), self.inside, self.budget, self._said)

    def _leave(self, way: list[int]) -> list[int]:
        for token in way:
            self._consume(token)
        return way

    def _follow(self) -> list[int]:
        """Take every token that is the only choice."""
        forced: list[int] = []
        while not self.ended:
            only = self.matcher.compute_ff_tokens() or self._only_choice()
            if not only:
                break
            forced += self._leave(only)
        return forced

    def _only_choice(self) -> list[int]:
        choices = np.flatnonzero(self.allowed())
        if choices.size == 1 or (choices.size and np.isin(choices, self.vocabulary.ends).all()):
            return [int(choices[0])]
        return []

    def _consume(self, token: int) -> None:
        self.budget -= 1
        self._allowed = None
        if token in self.vocabulary.ends:
            self.ended = True
        elif not self.matcher.consume_token(token):
            raise RuntimeError(f"the grammar refused token {token}: {self.matcher.get_error()}")
        elif self.inside:
            self._place = self._place.after(self.vocabulary.spell([token]))
        else:
            self.inside, self._said = _opened(self.vocabulary, token, self._said)


class Free:
    """A walk without a grammar: anything but control tokens, until an end-of-turn token."""

    def __init__(self, permitted: Mask, ends: Sequence[int]) -> None:
        self._permitted, self._ends, self.ended = permitted, frozenset(ends), False

    def begin(self) -> list[int]:
        return []

    def allowed(self) -> Mask:
        return self._permitted

    def take(self, token: int) -> tuple[bool, list[int]]:
        self.ended = token in self._ends
        return True, []


def shortest_end(
    vocabulary: Vocabulary, matcher: LLMatcher, inside: bool, limit: int, said: bytes = b""
) -> list[int] | None:
    """Walk ``matcher`` to the end of the reply by what closes soonest; None if over ``limit`` tokens."""
    way: list[int] = []
    while len(way) < limit:
        tokens = matcher.compute_ff_tokens()
        if not tokens:
            tokens = [vocabulary.nearest_end(mask_of(matcher, vocabulary.size), inside)]
        for token in tokens:
            way.append(token)
            if token in vocabulary.ends:
                return way if len(way) <= limit else None
            if not inside:
                inside, said = _opened(vocabulary, token, said)
        if not matcher.consume_tokens(tokens):
            return None
    return None


def _opened(vocabulary: Vocabulary, token: int, said: bytes) -> tuple[bool, bytes]:
    """Whether a call has been opened once ``token`` follows ``said``."""
    if vocabulary.opening is not None:
        return token == vocabulary.opening, said
    said += vocabulary.matching.decode_bytes([token])
    return vocabulary.marks.opening.encode("utf-8") in said, said


def mask_of(matcher: LLMatcher, size: int) -> Mask:
    bits = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
    return np.unpackbits(bits, bitorder="little")[:size].astype(np.bool_)
