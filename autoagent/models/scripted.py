"""A model that follows a script: the public test double, and the hand of the expert that is trained on."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

from autoagent.config import Sampling
from autoagent.models.protocol import Expect, Json, ToolSchema
from autoagent.trajectory import Counts, Message, Reply, ToolCall

Line = str | dict[str, object] | list[str] | ToolCall | tuple[str, ToolCall] | Reply
Author = Callable[[Sequence[Message], Expect], Line]


@dataclass
class ScriptedModel:
    """Replies come from a list, or from a function of the messages so far.

    A line is a plan (list of sub-goals), a call, a (text, call) pair, plain text, a dict for ``Json``, or a
    Reply.

    >>> model = ScriptedModel([["add"], ToolCall(name="finish", arguments={"answer": "4"})])
    """

    script: Sequence[Line] | Author
    window: int = 4096
    version: str = "scripted"

    def open(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> ScriptedSession:
        author = self.script if callable(self.script) else _read_aloud(self.script)
        return ScriptedSession(author, list(messages), list(tools))

    def count(self, text: str) -> int:
        return len(text.split())


@dataclass
class ScriptedSession:
    """Holds the messages; ``messages`` and ``tools`` are open for tests to look at."""

    author: Author
    messages: list[Message]
    tools: list[ToolSchema] = field(default_factory=list)
    used: int = 0

    def append(self, message: Message) -> None:
        self.messages.append(message)

    def generate(self, expect: Expect, *, sampling: Sampling, max_tokens: int) -> Generator[str, None, Reply]:
        reply = as_reply(self.author(tuple(self.messages), expect), expect)
        yield reply.text
        self.messages.append(reply.as_message())
        return reply

    def mark(self) -> int:
        return len(self.messages)

    def rewind(self, mark: int) -> None:
        del self.messages[mark:]

    def fork(self) -> ScriptedSession:
        return ScriptedSession(self.author, list(self.messages), list(self.tools))

    def close(self) -> None: ...


def as_reply(line: Line, expect: Expect) -> Reply:
    """Shape one script line as the reply a real model would give."""
    if isinstance(line, Reply):
        return line
    if isinstance(line, list):
        line = {"plan": line}
    if isinstance(line, dict):
        return Reply(text=json.dumps(line, ensure_ascii=False), value=line, counts=Counts(sampled=1))
    if isinstance(line, ToolCall):
        line = ("", line)
    if isinstance(line, tuple):
        return Reply(text=line[0], calls=(line[1],), counts=Counts(sampled=1))
    return Reply(
        text=line, value=json.loads(line) if isinstance(expect, Json) else None, counts=Counts(sampled=1)
    )


def _read_aloud(script: Sequence[Line]) -> Author:
    lines = iter(script)

    def author(messages: Sequence[Message], expect: Expect) -> Line:
        try:
            return next(lines)
        except StopIteration:
            raise LookupError(f"the script of {len(script)} lines ended, but the run went on") from None

    return author
