"""A GPT on this machine: any Hugging Face causal LM, its own chat template, grammar-bound and token-exact."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Generator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from autoagent.config import Sampling
from autoagent.errors import ContextFull, ModelError
from autoagent.models.chat import Audit, audit, render
from autoagent.models.engine import Engine, load_engine
from autoagent.models.fingerprint import fingerprint
from autoagent.models.grammar import Grammars
from autoagent.models.needs import release_memory
from autoagent.models.parsing import split_calls, split_own, split_reasoning
from autoagent.models.protocol import Calls, Expect, Json, Session, Text, ToolSchema
from autoagent.models.thinking import Thinking, Walk
from autoagent.models.vocabulary import Vocabulary, control_tokens, disarmed
from autoagent.models.writing import Writing
from autoagent.trajectory import Counts, Message, Reply, ToolCall

SHORTEST_REPLY = 16  # tokens that must be free for a reply to be tried
SMALLEST_WINDOW = 64  # tokens


class LocalModel:
    """A loaded model. ``window`` is in tokens; ``version`` hashes all that shapes its answers.

    ``warnings`` are lines for the user: what about this model will make runs go badly.
    """

    def __init__(
        self, engine: Engine, version: str, *, window: int | None = None, thinking: bool = True
    ) -> None:
        self.engine, self.version, self.folder = engine, version, engine.folder
        self.window = min(window or engine.window, engine.window)
        self._control = control_tokens(engine.tokenizer)
        self.audit: Audit = audit(engine.tokenizer, _stops(engine), thinking=thinking)
        self.vocabulary = Vocabulary(
            engine.tokenizer, engine.width, self.audit.ends, self.audit.marks, self.audit.thought
        )
        self.grammars = Grammars(self.vocabulary)
        self.warnings = self.audit.warnings(self.window)

    @classmethod
    def load(
        cls,
        source: str | Path,
        *,
        device: str = "auto",
        dtype: str = "auto",
        trust_remote_code: bool = False,
        prompts: str = "",
        window: int | None = None,
        thinking: bool = True,
    ) -> LocalModel:
        """Load a folder or a hub id. A folder that exists is never looked up anywhere else.

        Args:
            source: Folder or hub id.
            device: ``auto`` (the first GPU, else the processor), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
            dtype: ``auto`` (what is exact or fast there), ``float32``, ``bfloat16``, ``float16``.
            trust_remote_code: Run Python code that comes with the model.
            prompts: Hash of the prompt set in use, part of ``version``.
            window: Use fewer tokens than the model could, to save memory.
            thinking: False asks a reasoning model, where its template can, to answer at once.

        Raises:
            ModelError: it cannot be used; one line.
        """
        if window is not None and window < SMALLEST_WINDOW:
            raise ModelError(f"a window of {window} tokens holds no run; give at least {SMALLEST_WINDOW}")
        engine = load_engine(source, device=device, dtype=dtype, trust_remote_code=trust_remote_code)
        version = fingerprint(engine.folder, prompts=prompts if thinking else prompts + " no thinking")
        if window is not None and window > engine.window:
            raise ModelError(
                f"the model in {engine.folder} has a window of {engine.window} tokens, not {window}"
            )
        return cls(engine, version, window=window, thinking=thinking)

    def open(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> LocalSession:
        """A session with this past, which may hold answers and calls of the assistant, too."""
        return LocalSession(self, [self.shaped(message) for message in messages], list(tools))

    def take_over(self, session: Session) -> LocalSession | None:
        """A session that goes on with another model's conversation, token by token; all of it is read anew.

        None where the tokens of the other mean nothing to this model, or its template says things otherwise.
        """
        if not isinstance(session, LocalSession) or not _alike(session.model.engine, self.engine):
            return None
        return session.twin(self)

    def shaped(self, message: Message) -> dict[str, Any]:
        """The message for the template; control tokens spelled out in it become ordinary text.

        A file that contains ``<|im_end|>`` must not be able to end its own turn and begin another.
        """
        shaped = message.for_template()
        return {key: value if key == "role" else self.disarmed(value) for key, value in shaped.items()}

    def disarmed(self, value: Any) -> Any:
        """The same text, object or list without control tokens."""
        if isinstance(value, str):
            return disarmed(value, self._control)
        if isinstance(value, dict):
            return {self.disarmed(key): self.disarmed(inner) for key, inner in value.items()}
        return [self.disarmed(inner) for inner in value] if isinstance(value, list) else value

    def count(self, text: str) -> int:
        return len(self.vocabulary.encode(text))

    def walk(self, expect: Expect, prompt: str, budget: int) -> Walk:
        """Begin a reply of at most ``budget`` tokens after ``prompt``; a reasoning model may think first."""
        thought = self.audit.thought
        opened = thought is not None and prompt.rstrip().endswith(thought[0])
        closed = thought is not None and prompt.rstrip().endswith(thought[1])
        if self.vocabulary.think is None or closed or (budget < 64 and not opened):
            return self.grammars.guide(expect, budget)
        free = isinstance(expect, Text)
        return Thinking(
            self.vocabulary,
            opened=opened,
            budget=budget,
            follow=lambda left: self.grammars.guide(expect, left),
            blank=[] if free else self.vocabulary.encode_after("\n\n"),
        )


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
        self._began = datetime.now()  # what the template takes for now, all through the conversation
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

    @property
    def model(self) -> LocalModel:
        return self._model

    def fork(self) -> LocalSession:
        """Return an independent session with the same past; the keys and values are copied."""
        twin = self.twin(self._model)
        twin._cache = self._cache.copied()
        return twin

    def twin(self, model: LocalModel) -> LocalSession:
        """The same past with a model that has the same tokenizer, nothing of it computed yet."""
        twin = LocalSession(model, copy.copy(self._messages), self._tools)
        twin._ids, twin._text, twin.used = list(self._ids), self._text, self.used
        twin._began = self._began
        if self._dice is not None:
            twin._dice = self._dice[0], copy.deepcopy(self._dice[1])
        return twin

    def close(self) -> None:
        """Free the keys and values. Closing twice is fine; generating afterwards is not."""
        if self._open:
            self._cache.crop(0)
            release_memory()
        self._open = False

    def generate(self, expect: Expect, *, sampling: Sampling, max_tokens: int) -> Generator[str, None, Reply]:
        """Yield the reply's text as it is made, markup included; return the parsed reply.

        Pieces of reasoning are yielded as :class:`Thought`. Raises ContextFull where fewer than 16 tokens of
        the window, or no memory, are left for it.
        """
        if not self._open:
            raise RuntimeError("generate() on a closed session")
        began = time.perf_counter()
        prompt = self._rendered()
        kept, prompt_ids = self._extension(prompt)
        context = [*self._ids[:kept], *prompt_ids]
        room = self._room(len(context))
        self._cache.crop(min(kept, len(context) - 1))
        cached = self._cache.length
        budget = min(max_tokens, room)
        walk = self._model.walk(expect, prompt, budget)
        writing = Writing(self._model.engine, self._model.vocabulary, self._cache, context, budget, sampling)
        finished = False
        try:
            yield from writing.write(walk, self._roll(sampling))
            finished = True
        finally:
            if not finished:
                self._cache.crop(min(kept, cached))
        reply = self._read(writing, expect, prompt)
        self._ids = context + writing.ids
        self._text = prompt + self._decode_after(writing.ids)
        self.used = len(self._ids)
        counts = Counts(
            cached=cached,
            prefilled=len(context) - cached,
            forced=writing.origins.count("f"),
            sampled=writing.origins.count("s"),
        )
        seconds = time.perf_counter() - began
        trace = writing.trace(kept, prompt_ids)
        return reply.model_copy(update={"counts": counts, "trace": trace, "seconds": seconds})

    def _rendered(self) -> str:
        tokenizer, form = self._model.engine.tokenizer, self._model.audit.form
        return render(tokenizer, self._messages, self._tools, ask=True, form=form, now=self._began)

    def _room(self, used: int) -> int:
        """Tokens left for a reply."""
        window = self._model.window
        if window - used >= SHORTEST_REPLY:
            return window - used
        if not any(message["role"] in ("assistant", "tool") for message in self._messages):
            raise ContextFull(
                f"system prompt, tools and goal exceed the model's window: {used} of {window} tokens; "
                "shorten the goal, show fewer tools, or choose a model with a larger window"
            )
        raise ContextFull(
            f"the conversation fills the model's window: {used} of {window} tokens; "
            "shorten the goal or the observations"
        )

    def _extension(self, prompt: str) -> tuple[int, list[int]]:
        """How many tokens of the past stay, and which follow them, so that the context spells ``prompt``."""
        if prompt.startswith(self._text):
            kept, rest = len(self._ids), prompt[len(self._text) :]
        else:
            kept = self._common(prompt)
            rest = prompt[len(self._decode(self._ids[:kept])) :]
        vocabulary = self._model.vocabulary
        return kept, vocabulary.encode_after(rest) if kept else vocabulary.encode(rest)

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
        special = self._model.vocabulary.special
        while low and (low == len(self._ids) or self._ids[low] not in special):
            low -= 1
        return low

    def _decode(self, ids: Sequence[int]) -> str:
        return str(
            self._model.engine.tokenizer.decode(
                list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
        )

    def _decode_after(self, ids: Sequence[int]) -> str:
        """What ids spell after others: some tokenizers drop the space before the first word of all."""
        vocabulary = self._model.vocabulary
        if not vocabulary.anchor:
            return self._decode(ids)
        return self._decode([vocabulary.ends[0], *ids]).removeprefix(vocabulary.anchor)

    def _read(self, writing: Writing, expect: Expect, prompt: str) -> Reply:
        """Parse what was said, and take it into the conversation as it was said."""
        said = self._decode_after(writing.ids[:-1] if writing.ended else writing.ids)
        thought = self._model.audit.thought or ("<think>", "</think>")
        reasoning, text = split_reasoning(said, marks=thought, opened=prompt.rstrip().endswith(thought[0]))
        message: dict[str, Any] = {"role": "assistant"}
        if reasoning:
            text = text.lstrip("\n")
            message["reasoning_content"] = reasoning
        reply = Reply(text=text.strip(), reasoning=reasoning, complete=writing.ended)
        if not writing.ended:
            text = text if thought[1] in said or not reasoning else ""
        elif isinstance(expect, Json):
            reply = reply.model_copy(update={"value": json.loads(text)})
        elif isinstance(expect, Calls):
            text, calls = self._calls(text)
            reply = reply.model_copy(update={"text": text, "calls": calls})  # exact, so it can be resumed
            message |= Message(role="assistant", content="", calls=calls).for_template()
        self._messages.append(self._model.disarmed(message | {"content": text}))
        return reply

    def _calls(self, said: str) -> tuple[str, tuple[ToolCall, ...]]:
        """Text and calls of a reply that a grammar has shaped."""
        marks = self._model.audit.marks
        if marks.hermes:
            text, calls = split_calls(said)
        else:
            text, calls = split_own(said, marks.opening, marks.middle, marks.link)
        return text.removesuffix(marks.before), calls

    def _roll(self, sampling: Sampling) -> np.random.Generator:
        """The session's dice: one sequence per seed, begun anew when the seed changes."""
        if self._dice is None or self._dice[0] != sampling.seed:
            self._dice = sampling.seed, np.random.default_rng(sampling.seed)
        return self._dice[1]


def _alike(one: Engine, other: Engine) -> bool:
    """Whether tokens and chat template mean the same to both."""
    a, b = one.tokenizer, other.tokenizer
    if a.chat_template != b.chat_template or not (a.is_fast and b.is_fast):
        return False
    return bool(a.backend_tokenizer.to_str() == b.backend_tokenizer.to_str())


def _stops(engine: Engine) -> list[int]:
    """The end-of-output ids that tokenizer and generation configuration name."""
    said = getattr(engine.model.generation_config, "eos_token_id", None)
    stops = [engine.tokenizer.eos_token_id, *(said if isinstance(said, list) else [said])]
    return [int(stop) for stop in dict.fromkeys(stops) if stop is not None]
