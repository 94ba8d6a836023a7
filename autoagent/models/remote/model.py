"""A GPT behind an OpenAI-compatible server, as a :class:`Model` like any other."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from typing import Any

from autoagent.config import Sampling
from autoagent.errors import ModelError, ServerError
from autoagent.models.protocol import Calls, Expect, ToolSchema
from autoagent.models.remote.answer import Answer
from autoagent.models.remote.facts import Facts, count_tokens, find_out
from autoagent.models.remote.request import Levels, merged, next_levels, on_the_wire, options_for
from autoagent.models.remote.server import BrokenOff, Refused, Server
from autoagent.models.remote.session import RemoteSession, estimate
from autoagent.trajectory import Message

REOPENED = 2  # times an answer is asked for again after the connection was lost in its middle
ASSUMED_WINDOW = 8192  # tokens, where neither the user nor the server names a window
_RUNAWAY = 40  # characters a token at most; a server that sends more ignores the limit


class RemoteModel:
    """A model on a server. ``window`` is in tokens, ``window_from`` says who told it.

    ``version`` hashes address, name and what the server tells: it cannot know that the server changed its
    weights. Threads may share a model, each with sessions of its own.
    """

    def __init__(self, server: Server, facts: Facts, *, window: int | None = None, prompts: str = "") -> None:
        self.server, self.name = server, facts.name
        self.window = window or facts.window or ASSUMED_WINDOW
        self.window_from = "user" if window else "server" if facts.window else "assumed"
        self.version = facts.version(server.url, prompts)
        self._levels: Levels = {}  # what the server refused so far
        self._counts = True  # until the server shows that it lends no tokenizer

    @classmethod
    def load(
        cls,
        name: str,
        base_url: str,
        *,
        api_key: str | None = None,
        window: int | None = None,
        timeout: float = 300.0,
        prompts: str = "",
    ) -> RemoteModel:
        """Find the server and what it tells about the model.

        Args:
            name: The model's name on the server; empty: the only one it has.
            base_url: Where the API is, like ``http://127.0.0.1:8000/v1``.
            api_key: For servers that want one; it is sent there and shown nowhere.
            window: Tokens of its window, where the server does not tell, or to use less of it.
            timeout: Longest silence of the server that is put up with, in seconds.
            prompts: Hash of the prompt set in use, part of ``version``.

        Raises:
            ModelError: the server cannot be reached, refuses the key, or is no such server.
        """
        server = Server(base_url, api_key=api_key, timeout=timeout)
        return cls(server, find_out(server, name), window=window, prompts=prompts)

    @property
    def refused(self) -> tuple[str, ...]:
        """What the server turned out not to take, and is no longer asked for in its best form."""
        return tuple(sorted(self._levels))

    def open(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> RemoteSession:
        return RemoteSession(self, messages, tools)

    def count(self, text: str) -> int:
        """By the server's tokenizer where it lends one, else an estimate: 3.5 bytes of UTF-8 a token."""
        found = count_tokens(self.server, self.name, text) if self._counts else None
        self._counts = found is not None
        return estimate(text) if found is None else found

    def answer(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSchema],
        expect: Expect,
        sampling: Sampling,
        max_tokens: int,
    ) -> Generator[str, None, Answer]:
        """One answer, yielded as it comes: text, thoughts as Thought, "" while nothing comes."""
        offered = expect.tools if isinstance(expect, Calls) else tools
        body: dict[str, Any] = {"model": self.name, "messages": on_the_wire(messages), "stream": True}
        if isinstance(expect, Calls):
            body["tools"] = list(expect.tools)
        options = options_for(expect, offered, sampling, max_tokens)
        levels, first, broken = self._levels, None, 0
        while True:
            try:
                answer = yield from self._stream(body | merged(options, levels), max_tokens)
            except Refused as refusal:
                first = first or refusal
                lower = next_levels(options, levels, refusal)
                if lower is None:
                    raise ModelError(str(first)) from None
                levels = lower
            except BrokenOff:
                broken += 1
                if broken > REOPENED:
                    raise
                time.sleep(0.5 * broken)
                yield "\n"
            else:
                self._levels = {**self._levels, **levels}
                return answer

    def _stream(self, body: dict[str, Any], max_tokens: int) -> Generator[str, None, Answer]:
        answer, url = Answer(), self.server.url
        chunks = self.server.chat(body)
        for chunk in chunks:
            yield from ("",) if chunk is None else answer.take(chunk, url)
            if answer.size > _RUNAWAY * max_tokens:
                chunks.close()
                answer.finish = "length"
                break
        if answer.finish is None and not answer.calls and not answer.size:
            raise ServerError(f"the server at {url} answered with nothing: is it OpenAI-compatible?")
        if answer.finish is None and answer.usage is None:
            raise BrokenOff(f"the server at {url} broke off its answer")
        return answer
