"""Reading what a model said: reasoning, text and Hermes/Qwen tool calls."""

from __future__ import annotations

import json
import re
from typing import Any

from autoagent.trajectory import ToolCall

_CALL = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)
_THOUGHT = re.compile(r"<think>(.*?)</think>", re.DOTALL)


def split_reasoning(said: str) -> tuple[str, str]:
    """Return ``(reasoning, rest)``; an unclosed ``<think>`` takes everything after it."""
    thoughts = [thought.strip() for thought in _THOUGHT.findall(said)]
    rest = _THOUGHT.sub("", said)
    head, unclosed, tail = rest.partition("<think>")
    if unclosed:
        thoughts.append(tail.strip())
    return "\n".join(filter(None, thoughts)), head


def split_calls(said: str) -> tuple[str, tuple[ToolCall, ...]]:
    """Return the text before the first call, as it stands, and the calls; ValueError for a broken call."""
    text = said.partition("<tool_call>")[0]
    return text, tuple(_call(json.loads(block)) for block in _CALL.findall(said))


def _call(block: Any) -> ToolCall:
    if not isinstance(block, dict) or not isinstance(block.get("name"), str):
        raise ValueError("a tool call is an object with a name and arguments")
    arguments = block.get("arguments", {})
    if not isinstance(arguments, dict):
        raise ValueError("the arguments of a tool call are an object")
    return ToolCall(name=block["name"], arguments=arguments)
