"""Reading conversations that were not made here: ``messages`` and ``tools`` as JSON, checked line by line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator

from autoagent.errors import UsageError
from autoagent.evals.words import first_of
from autoagent.trajectory import Message, ToolCall

Dict = dict[str, Any]


class FaultyLine(Exception):
    """What is wrong with one entry of a file, without the place."""


@dataclass(frozen=True)
class Entry:
    """One entry of a file, not looked into yet."""

    path: Path
    number: int  # from 1: of the line, or of the entry where the file is one JSON list
    text: str | bytes | None  # None: ``value`` was read already
    value: Any = None

    @property
    def place(self) -> str:
        """For messages: ``chats.jsonl, line 3``."""
        return f"{self.path}, {'line' if self.text is not None else 'entry'} {self.number}"

    @property
    def source(self) -> str:
        """For the data sheet: ``chats.jsonl:3``."""
        return f"{self.path.name}:{self.number}"

    def read(self) -> Dict:
        """The JSON object; FaultyLine where there is none."""
        value = self.value
        if self.text is not None:
            try:
                value = json.loads(self.text)
            except UnicodeDecodeError:
                raise FaultyLine("is not UTF-8 text") from None
            except (ValueError, RecursionError) as error:
                said = str(error).partition(": line ")[0]
                raise FaultyLine(f"is no JSON ({said}): every line must be one whole object") from None
        if not isinstance(value, dict):
            raise FaultyLine(f"must be a JSON object, found {type(value).__name__}")
        return value


def entries(path: Path) -> Iterator[Entry]:
    """The entries of a JSON Lines file, or of a file that is one JSON list.

    Raises:
        UsageError: the file cannot be read, or is one list that is no JSON.
    """
    try:
        with path.open("rb") as file:
            start = file.read(256).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
            file.seek(0)
            if start == b"[":
                values = json.loads(file.read())
                yield from (Entry(path, number, None, value) for number, value in enumerate(values, start=1))
                return
            for number, line in enumerate(file, start=1):
                line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                if line.strip():
                    yield Entry(path, number, line)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}, line {error.lineno}: is no JSON ({error.msg})") from None


@dataclass(frozen=True)
class Chat:
    """One conversation as chat templates take it.

    ``messages`` are in the shape of ``Message.for_template``; assistant turns at ``untrained`` places are
    context only.
    """

    messages: tuple[Dict, ...]
    tools: tuple[Dict, ...] = ()
    untrained: frozenset[int] = frozenset()

    @property
    def goal(self) -> str:
        """What was wanted: the first thing the user said, or else the first thing of all."""
        asked = (each["content"] for each in self.messages if each["role"] == "user")
        return next(asked, str(self.messages[0]["content"]))


def read_chat(entry: Mapping[str, Any]) -> Chat:
    """A line of ``messages`` and ``tools`` in OpenAI's shape, as a conversation; FaultyLine where it is none.

    Arguments may be an object or JSON text; ``weight: 0`` keeps an assistant message out of training.
    """
    try:
        line = _Line.model_validate(entry)
    except ValidationError as failure:
        raise FaultyLine(first_of(failure).removeprefix(": ")) from None
    names: dict[str, str] = {}
    messages = []
    for message in line.messages:
        names |= {call.id: call.function.name for call in message.tool_calls or () if call.id}
        messages.append(_shaped(message, names))
    untrained = (n for n, each in enumerate(line.messages) if each.weight == 0)
    tools = tuple(_tool(each) for each in line.tools or ())
    return Chat(tuple(messages), tools, frozenset(untrained))


def _flat(content: Any) -> Any:
    """Text given as a list of parts, as one text."""
    if content is None:
        return ""
    if not isinstance(content, list):
        return content
    for part in content:
        if not isinstance(part, dict) or not isinstance(part.get("text"), str):
            kind = part.get("type", "unknown") if isinstance(part, dict) else type(part).__name__
            raise ValueError(f"a part of it is no text ({kind}): only text can be learned from")
    return "".join(part["text"] for part in content)


def _object(arguments: Any) -> Any:
    """Arguments given as JSON text, as an object."""
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        raise ValueError("is no JSON") from None


def _outdated(value: Any) -> Any:
    """The shape before ``tool_calls``."""
    if value is not None:
        raise ValueError("is outdated: write tool_calls")
    return value


class _Function(BaseModel):
    name: str = Field(min_length=1)
    arguments: Annotated[Dict, BeforeValidator(_object)] = Field(default_factory=dict)


class _Call(BaseModel):
    type: Literal["function"] = "function"
    id: str | None = None
    function: _Function


class _Message(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Annotated[str, BeforeValidator(_flat)] = ""
    reasoning_content: str | None = None
    tool_calls: tuple[_Call, ...] | None = None
    function_call: Annotated[None, BeforeValidator(_outdated)] = None
    tool_call_id: str | None = None
    name: str | None = None
    weight: Literal[0, 1] | None = None

    @model_validator(mode="after")
    def _fits_its_role(self) -> Self:
        if self.role != "assistant" and self.tool_calls:
            raise ValueError(f"only the assistant makes tool_calls, not {self.role}")
        if self.role == "assistant" and not (self.content or self.tool_calls):
            raise ValueError("the assistant neither says nor calls anything")
        return self


class _Schema(BaseModel):
    name: str = Field(min_length=1)
    description: str = ""
    parameters: Dict = Field(default_factory=lambda: {"type": "object", "properties": {}})


class _Tool(BaseModel):
    type: Literal["function"] = "function"
    function: _Schema


class _Line(BaseModel):
    messages: tuple[_Message, ...]
    tools: tuple[_Tool, ...] | None = None

    @model_validator(mode="after")
    def _something_to_learn(self) -> Self:
        if not any(each.role == "assistant" and each.weight != 0 for each in self.messages):
            raise ValueError("no message of the assistant is to be learned")
        return self


def _shaped(message: _Message, names: Mapping[str, str]) -> Dict:
    calls = tuple(
        ToolCall(name=call.function.name, arguments=call.function.arguments)
        for call in message.tool_calls or ()
    )
    name = message.name if message.name is not None else names.get(message.tool_call_id or "")
    shaped = Message(
        role="system" if message.role == "developer" else message.role,
        content=message.content,
        calls=calls,
        name=name if message.role == "tool" else None,
    ).for_template()
    thought = message.reasoning_content
    return shaped | ({"reasoning_content": thought} if thought and message.role == "assistant" else {})


def _tool(tool: _Tool) -> Dict:
    return {"type": "function", "function": tool.function.model_dump()}


def said_by_assistant(messages: Sequence[Dict]) -> Iterator[str]:
    """All text that the assistant says in a conversation, arguments of calls included."""
    for message in messages:
        if message["role"] == "assistant":
            yield str(message["content"])
            yield str(message.get("reasoning_content", ""))
            yield from (
                json.dumps(call["function"], ensure_ascii=False) for call in message.get("tool_calls", ())
            )
