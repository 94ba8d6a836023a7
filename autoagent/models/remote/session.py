"""A conversation with a remote model, and the bounded repair of what it says."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from autoagent.config import Sampling
from autoagent.errors import ContextFull
from autoagent.models.parsing import split_reasoning
from autoagent.models.protocol import Calls, Expect, Json, ToolSchema
from autoagent.models.remote.answer import Answer, sound
from autoagent.models.remote.checking import Invalid, read_calls, read_value
from autoagent.models.remote.server import Spoiled
from autoagent.trajectory import Counts, Message, Reply

if TYPE_CHECKING:
    from autoagent.models.remote.model import RemoteModel

REPAIRS = 2  # times an invalid call or value is sent back with what is wrong with it
SHORTEST_REPLY = 16  # tokens that must be free for a reply to be tried
_BYTES_PER_TOKEN = 3.5  # of UTF-8; an estimate where the server lends no tokenizer


class RemoteSession:
    """A conversation, sent whole with every request; the server may keep what it has seen.

    One thread at a time. A generator closed before its end leaves the session as it was before.
    """

    def __init__(self, model: RemoteModel, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> None:
        self._model, self._tools = model, list(tools)
        self._messages: list[Message] = []
        self._sizes: list[int] = [estimate(json.dumps(tools)) if tools else 0]  # tokens, after each message
        self.used = self._sizes[0]
        for message in messages:
            self.append(message)

    def append(self, message: Message) -> None:
        self._grow(message, self.used + _size(message))

    def mark(self) -> int:
        return len(self._messages)

    def rewind(self, mark: int) -> None:
        del self._messages[mark:]
        del self._sizes[mark + 1 :]
        self.used = self._sizes[-1]

    def fork(self) -> RemoteSession:
        twin = RemoteSession(self._model, (), self._tools)
        twin._messages, twin._sizes, twin.used = [*self._messages], [*self._sizes], self.used
        return twin

    def close(self) -> None:
        """Nothing is held on the server."""

    def generate(self, expect: Expect, *, sampling: Sampling, max_tokens: int) -> Generator[str, None, Reply]:
        """Yield the answer as it comes, markup included, and "" while the server says nothing.

        An invalid call or value is sent back, with what is wrong, up to twice; what that took is in
        ``counts`` and does not stay in the conversation. Where it stays invalid, the reply has no calls (no
        value), and its text shows what was said.

        Raises:
            ContextFull: the conversation does not fit the model's window.
            ServerError: the server was lost, or answers nonsense.
            ModelError: it refuses the key, the model's name, or the request as such.
        """
        began = time.perf_counter()
        counts, repair = Counts(), list[Message]()
        for attempt in range(REPAIRS + 1):
            used = self.used + sum(_size(message) for message in repair)
            answer = Answer()
            try:
                answer = yield from self._model.answer(
                    [*self._messages, *repair], self._tools, expect, sampling, self._room(used, max_tokens)
                )
                reply = _read(answer, expect)
            except Spoiled:
                if attempt == REPAIRS:
                    raise
                repair += _correction("", "the call could not be read")
            except Invalid as problem:
                reply = Reply(text=_as_said(answer), reasoning=sound(answer.reasoning).strip())
                repair += _correction(reply.text, str(problem))
            else:
                break
            finally:
                spent = answer.counts(prompt=used, completion=math.ceil(answer.size / _BYTES_PER_TOKEN))
                counts += spent
            if attempt < REPAIRS:
                yield "\n"
        message = reply.as_message()
        told = spent.cached + spent.prefilled + spent.sampled
        self._grow(message, self.used + _size(message) if repair else told)
        return reply.model_copy(update={"counts": counts, "seconds": time.perf_counter() - began})

    def _grow(self, message: Message, used: int) -> None:
        self._messages.append(message)
        self._sizes.append(used)
        self.used = used

    def _room(self, used: int, max_tokens: int) -> int:
        """Tokens the answer may have. A window that nobody named is left to the server to defend."""
        if self._model.window_from == "assumed":
            return max_tokens
        room = self._model.window - used
        if room < SHORTEST_REPLY:
            raise ContextFull(
                f"the conversation fills the model's window: about {used} of {self._model.window} tokens; "
                "shorten the goal or the observations"
            )
        return min(max_tokens, room)


def _correction(said: str, problem: str) -> list[Message]:
    """What was said, and what is wrong with it."""
    wrong = [Message(role="assistant", content=said)] if said else []
    return [*wrong, Message(role="user", content=f"Not valid: {problem}. Correct it.")]


def estimate(text: str) -> int:
    """Tokens in a text, about."""
    return math.ceil(len(text.encode("utf-8", "replace")) / _BYTES_PER_TOKEN)


def _size(message: Message) -> int:
    return estimate(json.dumps(message.for_template(), ensure_ascii=False))


def _read(answer: Answer, expect: Expect) -> Reply:
    """The reply an answer comes to; one that was cut has no calls and no value.

    Raises:
        Invalid: a call or the value cannot be used.
    """
    inline, text = split_reasoning(sound(answer.text))
    reasoning = sound(answer.reasoning).strip() or inline
    reply = Reply(text=text.strip(), reasoning=reasoning, complete=answer.whole)
    if not answer.whole:
        return reply
    if isinstance(expect, Json):
        return reply.model_copy(update={"value": read_value(text, expect.schema)})
    if isinstance(expect, Calls):
        text, calls = read_calls(text, answer.calls, expect)
        return reply.model_copy(update={"text": text, "calls": calls})
    return reply


def _as_said(answer: Answer) -> str:
    """Text and calls as one text, for a reply whose calls cannot be used."""
    text = split_reasoning(sound(answer.text))[1].strip()
    return "\n".join([text, *(sound(call.as_text()) for call in answer.calls)]).strip()
