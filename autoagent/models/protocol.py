"""The one seam to any GPT: a Model opens Sessions, a Session is an append-only, token-exact conversation."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from autoagent.config import Sampling
from autoagent.trajectory import Message, Reply

ToolSchema = dict[str, Any]  # {"type": "function", "function": {"name", "description", "parameters"}}


@dataclass(frozen=True)
class Text:
    """Expect free text."""


@dataclass(frozen=True)
class Json:
    """Expect one JSON value that validates against a JSON schema; it arrives parsed as ``Reply.value``."""

    schema: dict[str, Any]


@dataclass(frozen=True)
class Calls:
    """Expect a short text, then 1 to ``at_most`` calls of these tools."""

    tools: tuple[ToolSchema, ...]
    at_most: int = 1


Expect = Text | Json | Calls


class Session(Protocol):
    """An append-only conversation with one model."""

    used: int  # tokens of the window in use; what was appended since the latest reply may not count yet

    def append(self, message: Message) -> None:
        """Add a message from the system, the user or a tool; replies add themselves."""

    def generate(self, expect: Expect, *, sampling: Sampling, max_tokens: int) -> Generator[str, None, Reply]:
        """Yield text as it is made and return the whole reply (see :func:`complete`)."""
        ...

    def fork(self) -> Session:
        """An independent session with the same past."""
        ...

    def mark(self) -> int:
        """Where the conversation stands now."""
        ...

    def rewind(self, mark: int) -> None:
        """Go back to where :meth:`mark` was called: compaction, undo and practice build on it."""

    def close(self) -> None: ...


class Model(Protocol):
    """A GPT: local, remote, or scripted."""

    window: int  # tokens
    version: str  # hash of everything that shapes its answers

    def open(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> Session: ...

    def count(self, text: str) -> int:
        """Tokens in ``text``."""
        ...


T = TypeVar("T")


def complete(stream: Generator[Any, None, T]) -> T:
    """Run a generator to its end and return what it returns: ``complete(session.generate(...))``."""
    while True:
        try:
            next(stream)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
