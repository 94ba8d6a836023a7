"""A GPT on this machine: any Hugging Face causal LM, its own chat template, grammar-bound and token-exact."""

from __future__ import annotations

import codecs
import copy
import json
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from autoagent.config import Sampling
from autoagent.errors import ContextFull
from autoagent.models.chat import Audit, audit, render
from autoagent.models.engine import Engine, load_engine
from autoagent.models.fingerprint import fingerprint
from autoagent.models.grammar import Grammars
from autoagent.models.guide import Free, Guide
from autoagent.models.parsing import split_calls, split_reasoning
from autoagent.models.protocol import Calls, Expect, Json, ToolSchema
from autoagent.models.sampling import draw, log_softmax
from autoagent.models.vocabulary import Floats, Vocabulary
from autoagent.trajectory import Counts, Message, Reply, TokenTrace

SHORTEST_REPLY = 16  # tokens that must be free for a reply to be tried


class LocalModel:
    """A loaded model. ``window`` is in tokens; ``version`` hashes all that shapes its answers."""

    def __init__(self, engine: Engine, version: str) -> None:
        self.engine, self.version = engine, version
        self.window = engine.window
        self._control = [str(token) for token in engine.tokenizer.all_special_tokens if len(str(token)) > 1]
        self.audit: Audit = audit(engine.tokenizer, _stops(engine))
        self.vocabulary = Vocabulary(engine.tokenizer, engine.width, self.audit.ends, self.audit.marks)
        self.grammars = Grammars(self.vocabulary)

    @classmethod
    def load(
        cls,
        source: str | Path,
        *,
        device: str = "auto",
        dtype: str = "auto",
        trust_remote_code: bool = False,
        prompts: str = "",
    ) -> LocalModel:
        """Load a folder or a hub id. A folder that exists is never looked up anywhere else.

        ``prompts`` is the hash of the prompt set in use, part of ``version``. Raises ModelError, one line.
        """
        engine = load_engine(source, device=device, dtype=dtype, trust_remote_code=trust_remote_code)
        return cls(engine, fingerprint(engine.folder, prompts=prompts))

    def open(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> LocalSession:
        return LocalSession(self, [self.shaped(message) for message in messages], list(tools))

    def shaped(self, message: Message) -> dict[str, Any]:
        """The message for the template; control tokens spelled out in it become ordinary text.

        A file that contains ``<|im_end|>`` must not be able to end its own turn and begin another.
        """
        content = message.content
        for mark in self._control:
            content = content.replace(mark, f"{mark[0]}\u2060{mark[1:]}")  # a word joiner: invisible
        return message.model_copy(update={"content": content}).for_template()

    def count(self, text: str) -> int:
        return len(self.vocabulary.encode(text))


class LocalSession:
    """A conversation whose tokens and keys and values are kept from reply to reply.

    One thread at a time. A generator closed before its end leaves the session as it was before.
    """

    def __init__(self, model: LocalModel, messages: list[dict[str, Any]], tools: list[ToolSchema]) -> None:
        self._model, self._messages, self._tools = model, messages, tools
        self._ids: list[int] = []  # all tokens the model has seen or said
        self._text = ""  # what they spell
        self._cache = model.engine.cache()
        self._dice: tuple[int, np.random.Generator] | None = None
        self._open = True
        self.used = 0

    def append(self, message: Message) -> None:
        self._messages.append(self._model.shaped(message))

    def mark(self) -> int:
        """Where the conversation stands, for :meth:`rewind`."""
        return len(self._messages)

    def rewind(self, mark: int) -> None:
        """Take back every message after ``mark``; what was computed for those before it is kept."""
        del self._messages[mark:]

    def fork(self) -> LocalSession:
        """Return an independent session with the same past; the keys and values are copied."""
        twin = LocalSession(self._model, copy.copy(self._messages), self._tools)
        twin._ids, twin._text, twin.used = list(self._ids), self._text, self.used
        twin._cache = self._cache.copied()
        return twin

    def close(self) -> None:
        """Free the keys and values. Closing twice is fine; generating afterwards is not."""
        self._open = False
        self._cache.crop(0)

    def generate(self, expect: Expect, *, sampling: Sampling, max_tokens: int) -> Generator[str, None, Reply]:
        """Yield the reply's text as it is made, markup included; return the parsed reply.

        Raises ContextFull where fewer than 16 tokens of the window are left for it.
        """
        if not self._open:
            raise RuntimeError("generate() on a closed session")
        began = time.perf_counter()
        prompt = render(self._model.engine.tokenizer, self._messages, self._tools, ask=True)
        kept, prompt_ids = self._extension(prompt)
        context = [*self._ids[:kept], *prompt_ids]
        room = self._model.window - len(context)
        if room < SHORTEST_REPLY:
            raise ContextFull(
                f"the conversation fills the model's window: {len(context)} of {self._model.window} tokens; "
                "shorten the goal or the observations"
            )
        self._cache.crop(min(kept, len(context) - 1))
        cached = self._cache.length
        writing = _Writing(self, context[cached:], min(max_tokens, room), sampling)
        finished = False
        try:
            yield from writing.write(self._model.grammars.guide(expect, writing.budget))
            finished = True
        finally:
            if not finished:
                self._cache.crop(min(kept, cached))
        reply = self._read(writing, expect)
        self._ids = context + writing.ids
        self._text = prompt + self._decode(writing.ids)
        self.used = len(self._ids)
        return reply.model_copy(
            update={
                "counts": Counts(
                    cached=cached,
                    prefilled=len(context) - cached,
                    forced=writing.origins.count("f"),
                    sampled=writing.origins.count("s"),
                ),
                "trace": writing.trace(kept, prompt_ids),
                "seconds": time.perf_counter() - began,
            }
        )

    def _extension(self, prompt: str) -> tuple[int, list[int]]:
        """How many tokens of the past stay, and which follow them, so that the context spells ``prompt``."""
        if prompt.startswith(self._text):
            return len(self._ids), self._model.vocabulary.encode(prompt[len(self._text) :])
        kept = self._common(prompt)
        return kept, self._model.vocabulary.encode(prompt[len(self._decode(self._ids[:kept])) :])

    def _common(self, prompt: str) -> int:
        """The most tokens of the past that ``prompt`` begins with, up to a special token.

        Special tokens are the only places where a text can be cut and tokenised in two parts to the same ids.
        """
        low, high = 0, len(self._ids)
        while low < high:
            middle = (low + high + 1) // 2
            if prompt.startswith(self._decode(self._ids[:middle])):
                low = middle
            else:
                high = middle - 1
        special = set(self._model.engine.tokenizer.all_special_ids)
        while low and (low == len(self._ids) or self._ids[low] not in special):
            low -= 1
        return low

    def _decode(self, ids: Sequence[int]) -> str:
        return str(
            self._model.engine.tokenizer.decode(
                list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
        )

    def _read(self, writing: _Writing, expect: Expect) -> Reply:
        """Parse what was said, and take it into the conversation as it was said."""
        said = self._decode(writing.ids[:-1] if writing.ended else writing.ids)
        message: dict[str, Any] = {"role": "assistant", "content": said}
        reasoning, text = split_reasoning(said)
        if not writing.ended:
            self._messages.append(message)
            return Reply(text=text.strip(), reasoning=reasoning, complete=False)
        if reasoning:
            text = text.lstrip("\n")
            message["reasoning_content"] = reasoning
        reply = Reply(text=text.strip(), reasoning=reasoning)
        if isinstance(expect, Json):
            reply = reply.model_copy(update={"value": json.loads(text)})
        elif isinstance(expect, Calls):
            text, calls = split_calls(text)
            text = text.removesuffix(self._model.audit.marks.before)
            reply = reply.model_copy(update={"text": text.strip(), "calls": calls})
            message |= {
                "tool_calls": Message(role="assistant", content="", calls=calls).for_template()["tool_calls"]
            }
        self._messages.append(message | {"content": text})
        return reply

    def _roll(self, sampling: Sampling) -> np.random.Generator:
        """The session's dice: one sequence per seed, begun anew when the seed changes."""
        if self._dice is None or self._dice[0] != sampling.seed:
            self._dice = sampling.seed, np.random.default_rng(sampling.seed)
        return self._dice[1]

    def _feed(self, ids: Sequence[int], keep: int) -> Floats:
        return log_softmax(self._model.engine.logits(ids, self._cache, keep=keep))


@dataclass
class _Writing:
    """One reply in the making. ``unfed`` are the tokens whose keys and values are still to be computed."""

    session: LocalSession
    unfed: list[int]
    budget: int  # tokens
    sampling: Sampling
    ids: list[int] = field(default_factory=list)
    origins: str = ""
    raw: list[float] = field(default_factory=list)  # of ids; of forced ones as soon as they are fed
    masked: list[float] = field(default_factory=list)
    row: Floats | None = None  # log-probabilities after everything fed, (V,)
    ended: bool = False

    def write(self, guide: Guide | Free) -> Generator[str, None, None]:
        """Sample and follow forced tokens until the end of the turn or of the budget; yield the text."""
        vocabulary, text = self.session._model.vocabulary, codecs.getincrementaldecoder("utf-8")("replace")
        dice = self.session._roll(self.sampling)
        forced = guide.begin()
        self._add_forced(forced)
        if forced:
            yield text.decode(vocabulary.spell(self.ids))
        while not guide.ended and len(self.ids) < self.budget:
            logs = self._next()
            allowed = guide.allowed()
            chances = np.exp(logs)
            mass = float(chances[allowed].sum())
            vocabulary.redirect(chances, allowed)
            chances *= allowed
            token = draw(chances if mass > 0 else allowed.astype(np.float32), self.sampling, dice)
            taken, forced = guide.take(token)
            if taken:
                self._add(
                    token, "s", float(logs[token]), float(logs[token]) - float(np.log(max(mass, 1e-38)))
                )
            self._add_forced(forced)
            yield text.decode(vocabulary.spell([token, *forced] if taken else forced))
        self.ended = guide.ended and self.ids[-1] in vocabulary.ends
        self._score_tail()

    def trace(self, kept: int, prompt_ids: list[int]) -> TokenTrace:
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
        self.unfed.append(token)
        self.origins += origin
        self.raw.append(raw)
        self.masked.append(masked)

    def _add_forced(self, tokens: list[int]) -> None:
        for token in tokens[: self.budget - len(self.ids)]:
            here = self.row if not self.unfed else None
            self._add(token, "f", np.nan if here is None else float(here[token]), 0.0)

    def _next(self) -> Floats:
        """Feed what is unfed and return the log-probabilities of the next token, (V,)."""
        forced = self._trailing()
        rows = self.session._feed(self.unfed, keep=forced + 1)  # (forced + 1, V)
        self._score(rows, forced)
        self.unfed, self.row = [], rows[-1]
        return self.row

    def _score_tail(self) -> None:
        """Score the forced tokens at the end of the reply; their keys and values serve the next one."""
        forced = self._trailing()
        if forced:
            self._score(self.session._feed(self.unfed[:-1], keep=forced), forced)
            self.unfed = self.unfed[-1:]

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


def _stops(engine: Engine) -> list[int]:
    """The end-of-output ids that tokenizer and generation configuration name."""
    said = getattr(engine.model.generation_config, "eos_token_id", None)
    stops = [engine.tokenizer.eos_token_id, *(said if isinstance(said, list) else [said])]
    return [int(stop) for stop in dict.fromkeys(stops) if stop is not None]
