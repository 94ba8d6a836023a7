"""Reading what a model said: reasoning, text and Hermes/Qwen tool calls."""

from __future__ import annotations

import json
import re
from typing import Any

from autoagent.trajectory import ToolCall

_OPENING = "<tool_call>"
_SPACE = re.compile(r"\s*")
_CLOSING = re.compile(r"\s*(?:</tool_call>)?\s*")
_THOUGHT = re.compile(r"\s*<think>(.*?)(?:</think>|$)", re.DOTALL)


def split_reasoning(said: str) -> tuple[str, str]:
    """Return ``(reasoning, rest)``. Only a ``<think>`` at the head is one; unclosed, it takes everything."""
    match = _THOUGHT.match(said)
    return (match[1].strip(), said[match.end() :]) if match else ("", said)


def split_calls(said: str) -> tuple[str, tuple[ToolCall, ...]]:
    """Return the text before the first call, as it stands, and the calls; ValueError for a broken call.

    What looks like markup inside an argument is part of the argument.
    """
    text, found, _ = said.partition(_OPENING)
    place, calls = len(text), []
    while found and said.startswith(_OPENING, place):
        start = _skip(_SPACE, said, place + len(_OPENING))
        block, end = json.JSONDecoder().raw_decode(said, start)
        calls.append(_call(block))
        place = _skip(_CLOSING, said, end)
    return text, tuple(calls)


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
