"""Reasoning before a reply: free text in its own marks, within a budget; then the grammar begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np

from autoagent.models.guide import Guide
from autoagent.models.vocabulary import Mask, Vocabulary

SHARE = 0.75  # of the reply's tokens that may go into reasoning


class Walk(Protocol):
    """One reply's way from token to token: a Guide, Free, or Thinking around one of them."""

    @property
    def ended(self) -> bool: ...
    def begin(self) -> list[int]: ...
    def allowed(self) -> Mask: ...
    def take(self, token: int) -> tuple[bool, list[int]]: ...


class Thinking:
    """A walk that may begin with a thought.

    Args:
        vocabulary: Of the model; it has both marks as single tokens.
        opened: The prompt itself has begun the thought; otherwise the first token decides.
        budget: Tokens of the whole reply.
        follow: Makes the walk of what comes after the thought, for so many tokens.
        blank: Tokens between the thought's end and what follows, where the model is bound to them.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        *,
        opened: bool,
        budget: int,
        follow: Callable[[int], Walk],
        blank: list[int],
    ) -> None:
        assert vocabulary.think is not None
        self._vocabulary, self._follow, self._blank = vocabulary, follow, blank
        self._opening, self._closing = vocabulary.think
        self.state: Literal["choice", "thought", "reply"] = "thought" if opened else "choice"
        self._inner = follow(budget)
        needed = 2 * getattr(self._inner, "reserve", 0) + 48  # tokens, for the reply itself
        self._budget, self._spent, self._most = budget, 0, min(int(SHARE * budget), budget - needed)
        self._first: list[int] = []  # what the reply must begin with
        self._free = vocabulary.permitted.copy()
        self._free[self._closing] = True

    @property
    def ended(self) -> bool:
        return self.state == "reply" and self._inner.ended

    @property
    def thinking(self) -> bool:
        """Whether the next token belongs to the thought."""
        return self.state == "thought"

    @property
    def guided(self) -> bool:
        """Whether a grammar masks the next token."""
        return self.state == "reply" and isinstance(self._inner, Guide)

    def begin(self) -> list[int]:
        if self.state == "choice":
            self._first = self._inner.begin()
        return []

    def allowed(self) -> Mask:
        if self.state == "reply":
            return self._inner.allowed()
        if self.state == "thought":
            return self._free
        mask = np.zeros_like(self._free)
        if self._first:
            mask[self._first[0]] = True
        else:
            mask |= self._inner.allowed()
        mask[self._opening] = self._most > 1
        return mask

    def take(self, token: int) -> tuple[bool, list[int]]:
        self._spent += 1
        if self.state == "reply":
            return self._inner.take(token)
        if self.state == "thought":
            return self._think(token)
        if token == self._opening:
            self.state = "thought"
            return True, []
        self.state = "reply"
        return (True, self._first[1:]) if self._first else self._inner.take(token)

    def _think(self, token: int) -> tuple[bool, list[int]]:
        """A thought ends where the model ends it, or its turn, or where its budget does."""
        taken = token not in self._vocabulary.ends
        if taken and token != self._closing and self._spent < self._most:
            return True, []
        rest = [] if token == self._closing else [self._closing]
        rest += self._blank
        self._spent += len(rest) if taken else len(rest) - 1
        self.state = "reply"
        self._inner = self._follow(max(self._budget - self._spent, 1))
        return taken, rest + self._inner.begin()
