"""One reply in the making, token by token: feed, mask, draw, follow what is forced, spell."""

from __future__ import annotations

import codecs
from collections.abc import Generator, Sequence
from itertools import chain

import numpy as np

from autoagent.config import Sampling
from autoagent.models.cache import KeysValues
from autoagent.models.engine import Engine
from autoagent.models.fast import FastKeysValues
from autoagent.models.guide import Guide
from autoagent.models.parsing import Thought
from autoagent.models.sampling import draw, log_softmax, penalized
from autoagent.models.thinking import Thinking, Walk
from autoagent.models.vocabulary import Floats, Vocabulary
from autoagent.trajectory import TokenTrace


class Writing:
    """One reply in the making.

    Args:
        engine: Computes.
        vocabulary: Of its tokenizer.
        cache: Holds the keys and values of the first tokens of ``context``; at least one is still unfed.
        context: All tokens before the reply.
        budget: Most tokens of the reply.
        sampling: How tokens are drawn.
    """

    def __init__(
        self,
        engine: Engine,
        vocabulary: Vocabulary,
        cache: KeysValues | FastKeysValues,
        context: Sequence[int],
        budget: int,
        sampling: Sampling,
    ) -> None:
        self._engine, self._vocabulary, self._cache, self._context = engine, vocabulary, cache, context
        self._budget, self._sampling = budget, sampling
        self._unfed = list(context[cache.length :])  # keys and values still to be computed
        self._row: Floats | None = None  # log-probabilities after everything fed, (V,)
        self._logits: Floats | None = None  # the same before normalisation, where a penalty needs them
        self.ids: list[int] = []
        self.origins = ""
        self.raw: list[float] = []  # of ids; of forced ones as soon as they are fed
        self.masked: list[float] = []
        self.ended = False

    def write(self, walk: Walk, dice: np.random.Generator) -> Generator[str, None, None]:
        """Sample and follow forced tokens until the end of the turn or of the budget; yield the text."""
        text = codecs.getincrementaldecoder("utf-8")("replace")
        thinking = isinstance(walk, Thinking) and walk.thinking
        forced = walk.begin()
        self._add_forced(forced)
        if forced:
            yield text.decode(self._vocabulary.spell(self.ids))
        while not walk.ended and len(self.ids) < self._budget:
            begin = len(self.ids)
            token, raw, masked = self._choose(walk, dice)
            taken, forced = walk.take(token)
            if taken:
                self._add(token, "s", raw, masked)
            self._add_forced(forced)
            if isinstance(walk, Thinking):
                thinking, piece = self._apart(walk, thinking, self.ids[begin:], text)
                yield from piece
            else:
                yield text.decode(self._vocabulary.spell(self.ids[begin:]))
        self.ended = walk.ended and self.ids[-1] in self._vocabulary.ends
        rest = text.decode(b"", final=True)
        if rest:
            yield Thought(rest) if thinking else rest
        self._score_tail()

    def _apart(
        self, walk: Thinking, thinking: bool, ids: list[int], text: codecs.IncrementalDecoder
    ) -> tuple[bool, list[str]]:
        """Spell new tokens, reasoning as Thought, the marks around it not at all."""
        assert self._vocabulary.think is not None
        spell, closing = self._vocabulary.spell, self._vocabulary.think[1]
        if not thinking:
            return walk.thinking, [] if walk.thinking else [text.decode(spell(ids))]
        if walk.thinking:
            return True, [Thought(text.decode(spell(ids)))]
        end = ids.index(closing)
        thought = text.decode(spell(ids[:end]), final=True)
        said = text.decode(spell(ids[end + 1 :]))
        return False, [*([Thought(thought)] if thought else []), *([said] if said else [])]

    def _choose(self, walk: Walk, dice: np.random.Generator) -> tuple[int, float, float]:
        """Draw the next token: its id, and its log-probability before and after the mask."""
        logs, allowed, sampling = self._next(), walk.allowed(), self._sampling
        chances = np.exp(logs)
        mass = float(chances[allowed].sum())
        if self._logits is not None:
            seen = chain(self._context, self.ids)
            chances = np.exp(penalized(self._logits, seen, sampling.repetition_penalty))
        if isinstance(walk, Guide) or (isinstance(walk, Thinking) and walk.guided):
            self._vocabulary.redirect(chances, allowed)
        chances *= allowed
        token = draw(chances if chances.any() else allowed.astype(np.float32), sampling, dice)
        return token, float(logs[token]), float(logs[token]) - float(np.log(max(mass, 1e-38)))

    def trace(self, kept: int, prompt_ids: list[int]) -> TokenTrace:
        """What this reply saw and made, for the record."""
        return TokenTrace(
            kept=kept,
            prompt_ids=tuple(prompt_ids),
            completion_ids=tuple(self.ids),
            origins=self.origins,
            logprobs=tuple(self.raw),
            masked_logprobs=tuple(self.masked),
        )

    def _add(self, token: int, origin: str, raw: float, masked: float) -> None:
        self.ids.append(token)
        self._unfed.append(token)
        self.origins += origin
        self.raw.append(raw)
        self.masked.append(masked)

    def _add_forced(self, tokens: list[int]) -> None:
        for token in tokens[: self._budget - len(self.ids)]:
            here = self._row if not self._unfed else None
            self._add(token, "f", np.nan if here is None else float(here[token]), 0.0)

    def _next(self) -> Floats:
        """Feed what is unfed and return the log-probabilities of the next token, (V,)."""
        forced = self._trailing()
        logits = self._engine.logits(self._unfed, self._cache, keep=forced + 1)  # (forced + 1, V)
        rows = log_softmax(logits)
        self._score(rows, forced)
        self._unfed, self._row = [], rows[-1]
        self._logits = logits[-1] if self._sampling.repetition_penalty != 1 else None
        return self._row

    def _score_tail(self) -> None:
        """Score the forced tokens at the end of the reply; their keys and values serve the next one."""
        forced = self._trailing()
        if forced:
            rows = self._engine.logits(self._unfed[:-1], self._cache, keep=forced)
            self._score(log_softmax(rows), forced)
            self._unfed = self._unfed[-1:]

    def _trailing(self) -> int:
        """How many forced tokens at the end have no log-probability yet."""
        scored = len(self.raw)
        while scored and np.isnan(self.raw[scored - 1]):
            scored -= 1
        return len(self.raw) - scored

    def _score(self, rows: Floats, forced: int) -> None:
        for place in range(forced):
            index = len(self.ids) - forced + place
            self.raw[index] = float(rows[place, self.ids[index]])
