"""The conversation that every side of the episode benchmark has: the same tokens, of exact lengths."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from autoagent.models.chat import render
from autoagent.models.protocol import ToolSchema

_TEXT, _COUNT, _FLAG = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
# The tools of a coding agent; all arguments are required, as strict function calling has it. The grammar then
# forces as large a share of the tokens as was measured on 398 calls of real runs, 57 %.
_TOOLS: dict[str, dict[str, Any]] = {
    "search_files": {
        "text": _TEXT, "folder": _TEXT, "case_sensitive": _FLAG, "whole_words": _FLAG,
        "context_lines": _COUNT, "most_results": _COUNT,
    },
    "read_lines": {
        "path": _TEXT, "first_line": _COUNT, "last_line": _COUNT, "show_numbers": _FLAG, "reason": _TEXT,
    },
    "replace_text": {
        "path": _TEXT, "old_text": _TEXT, "new_text": _TEXT, "case_sensitive": _FLAG,
        "all_occurrences": _FLAG,
    },
    "run_command": {"command": _TEXT, "folder": _TEXT, "timeout_seconds": _COUNT, "keep_output": _FLAG},
    "write_file": {"path": _TEXT, "content": _TEXT, "overwrite": _FLAG, "create_folders": _FLAG},
}  # fmt: skip
_CALLS: list[tuple[str, str, dict[str, Any]]] = [  # tool, the argument that is filled up, arguments
    (
        "search_files",
        "text",
        {
            "folder": "src",
            "case_sensitive": False,
            "whole_words": True,
            "context_lines": 2,
            "most_results": 20,
        },
    ),
    ("read_lines", "reason", {"path": "report.py", "first_line": 1, "last_line": 80, "show_numbers": True}),
    (
        "replace_text",
        "new_text",
        {"path": "report.py", "old_text": "return total", "case_sensitive": True, "all_occurrences": False},
    ),
    ("run_command", "command", {"folder": ".", "timeout_seconds": 60, "keep_output": True}),
    ("write_file", "content", {"path": "summary.md", "overwrite": True, "create_folders": False}),
]


@dataclass(frozen=True)
class Script:
    """What is said. ``messages``: system, user, then one reply and one observation per step, in turn."""

    tools: list[ToolSchema]
    messages: list[dict[str, str]]
    replies: list[list[int]]  # the tokens of each step's reply, the end of the turn included
    first: int  # tokens before the first reply
    ids: list[int]  # all tokens in their places, which is how every side is told what to say next

    def before(self, step: int) -> list[dict[str, str]]:
        """The messages that the reply of ``step`` answers."""
        return self.messages[: 2 + 2 * step]


@dataclass(frozen=True)
class Lengths:
    """Tokens, the markup of the chat template included."""

    steps: int = 15
    system: int = 1_500
    generated: int = 60
    observed: int = 150


def write_script(tokenizer: Any, lengths: Lengths) -> Script:
    """Write a conversation of exactly these lengths; the filling is words that are one token each."""
    tools = [_schema(name, arguments) for name, arguments in _TOOLS.items()]
    words = random.Random(0).choices(_words(tokenizer), k=4_000)

    def count(messages: list[dict[str, str]], *, ask: bool = True) -> int:
        return len(tokenizer.encode(render(tokenizer, messages, tools, ask=ask), add_special_tokens=False))

    goal = {"role": "user", "content": "Mend the report and write down what was wrong."}

    def opening(filling: str) -> list[dict[str, str]]:
        return [{"role": "system", "content": f"You are a careful agent.{filling}"}, goal]

    messages = opening(_fill(lambda filling: count(opening(filling)), lengths.system, words))
    replies: list[list[int]] = []
    for step in range(lengths.steps):
        text = _call(tokenizer, step, lengths.generated, words[step:])
        replies.append([*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id])
        messages.append({"role": "assistant", "content": text})
        past, seen = list(messages), count(messages[:-1]) + lengths.generated

        def observed(filling: str, past: list[dict[str, str]] = past) -> list[dict[str, str]]:
            return [*past, {"role": "user", "content": f"Observation:{filling}"}]

        filling = _fill(lambda text: count(observed(text)), seen + lengths.observed, words[step:])
        messages = observed(filling)
    ids = tokenizer.encode(render(tokenizer, messages, tools, ask=True), add_special_tokens=False)
    return Script(tools, messages, replies, lengths.system, ids)


def _schema(name: str, arguments: dict[str, Any]) -> ToolSchema:
    properties = {key: {**kind, "description": key.replace("_", " ")} for key, kind in arguments.items()}
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    described = {"name": name, "description": name.replace("_", " ").capitalize() + "."}
    return {"type": "function", "function": {**described, "parameters": parameters}}


def _call(tokenizer: Any, step: int, length: int, words: list[str]) -> str:
    name, filled, given = _CALLS[step % len(_CALLS)]

    def text(filling: str) -> str:
        values = {**given, filled: f"step {step}{filling}"}
        ordered = {key: values[key] for key in _TOOLS[name]}
        return f"<tool_call>\n{json.dumps({'name': name, 'arguments': ordered})}\n</tool_call>"

    def count(filling: str) -> int:
        return len(tokenizer.encode(text(filling), add_special_tokens=False)) + 1

    return text(_fill(count, length, words))


def _fill(count: Callable[[str], int], target: int, words: list[str]) -> str:
    """The filling with which ``count`` says ``target``."""
    number = target - count("")
    for _ in range(20):
        filling = "".join(words[: max(0, number)])
        missing = target - count(filling)
        if missing == 0:
            return filling
        number += missing
    raise ValueError(f"no filling gives {target} tokens; choose other lengths")


def _words(tokenizer: Any) -> list[str]:
    spaced = (token.replace("Ġ", " ") for token in tokenizer.get_vocab())
    return sorted(token for token in spaced if re.fullmatch(" [a-z]{4,8}", token))
