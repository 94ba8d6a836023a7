"""Reading what a model said: reasoning, text and tool calls."""

from __future__ import annotations

import json
import re
from typing import Any

from autoagent.trajectory import ToolCall

CALL = "<tool_call>"  # opens one
_SPACE = re.compile(r"\s*")
_CLOSING = re.compile(r"\s*(?:</tool_call>)?\s*")


class Thought(str):
    """A piece of the model's reasoning, as ``generate`` yields it; what it says comes as plain ``str``."""

    __slots__ = ()


def split_reasoning(
    said: str, *, marks: tuple[str, str] = ("<think>", "</think>"), opened: bool = False
) -> tuple[str, str]:
    """Return ``(reasoning, rest)``. Only a mark at the head opens one; unclosed, it takes everything.

    ``opened``: the prompt has opened it already.
    """
    begin = said if opened else said.lstrip()
    if not opened and not begin.startswith(marks[0]):
        return "", said
    thought, _, rest = begin.removeprefix(marks[0]).partition(marks[1])
    return thought.strip(), rest


def split_calls(said: str) -> tuple[str, tuple[ToolCall, ...]]:
    """Return the text before the first call, as it stands, and the calls; ValueError for a broken call.

    What looks like markup inside an argument is part of the argument.
    """
    text, found, _ = said.partition(CALL)
    place, calls = len(text), []
    while found and said.startswith(CALL, place):
        start = _skip(_SPACE, said, place + len(CALL))
        block, end = _decoded(said, start)
        calls.append(_call(block))
        place = _skip(_CLOSING, said, end)
    return text, tuple(calls)


def split_own(said: str, opening: str, middle: str, link: str) -> tuple[str, tuple[ToolCall, ...]]:
    """The same for calls in a template's own form: ``opening NAME middle ARGUMENTS (link NAME …)``."""
    text, begin, rest = said.partition(opening)
    calls: list[ToolCall] = []
    while begin:
        name, found, rest = rest.partition(middle)
        if not found:
            raise ValueError(f"a call without arguments: {name!r}")
        arguments, end = _decoded(rest)
        calls.append(_call({"name": name, "arguments": arguments}))
        rest = rest[end:]
        begin = link if link and rest.startswith(link) else ""
        rest = rest.removeprefix(begin)
    return text, tuple(calls)


def _decoded(said: str, start: int = 0) -> tuple[Any, int]:
    """The JSON value that begins there, and where it ends; ValueError where it is none, or too deep."""
    try:
        return json.JSONDecoder().raw_decode(said, start)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None


def _skip(pattern: re.Pattern[str], said: str, place: int) -> int:
    match = pattern.match(said, place)
    return match.end() if match else place


def _call(block: Any) -> ToolCall:
    if not isinstance(block, dict) or not isinstance(block.get("name"), str):
        raise ValueError("a tool call is an object with a name and arguments")
    arguments = block.get("arguments", {})
    if not isinstance(arguments, dict):
        raise ValueError("the arguments of a tool call are an object")
    return ToolCall(name=block["name"], arguments=arguments)
