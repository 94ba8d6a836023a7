"""What is asked of a server: the messages in its shape, and options that it may refuse."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoagent.config import Sampling
from autoagent.models.protocol import Calls, Expect, Json, ToolSchema
from autoagent.models.remote.server import Refused
from autoagent.trajectory import Message

_MISSING = "This call was not carried out."


@dataclass(frozen=True)
class Option:
    """What a server may refuse. ``forms``: how to ask for it, best first; after the last it is left out."""

    name: str
    forms: tuple[dict[str, Any], ...]


Levels = Mapping[str, int]  # by option: how many of its forms were refused


def merged(options: Iterable[Option], levels: Levels) -> dict[str, Any]:
    """The options as fields of a request, each in its best form that was not refused."""
    body: dict[str, Any] = {}
    for option in options:
        for form in option.forms[levels.get(option.name, 0) :][:1]:
            body |= form
    return body


def next_levels(options: Sequence[Option], levels: Levels, refusal: Refused) -> Levels | None:
    """Less of what the refusal names, else of the likeliest; None where nothing is left to give up."""
    left = [option for option in options if levels.get(option.name, 0) < len(option.forms)]
    named = [option for option in left if _names(option.forms[levels.get(option.name, 0)], refusal)]
    for option in named or left:
        return {**levels, option.name: levels.get(option.name, 0) + 1}
    return None


def _names(form: Mapping[str, Any], refusal: Refused) -> bool:
    said = f"{refusal.parameter} {refusal}"
    return any(re.search(rf"(?<!\w){re.escape(key)}(?!\w)", said) for key in form)


def options_for(
    expect: Expect, tools: Sequence[ToolSchema], sampling: Sampling, max_tokens: int
) -> list[Option]:
    """Everything that is asked for beside the messages, what is refused most often first."""
    options = [*_shape_options(expect, tools), *_sampling_options(sampling)]
    options.append(Option("usage", ({"stream_options": {"include_usage": True}},)))
    options.append(Option("length", ({"max_tokens": max_tokens}, {"max_completion_tokens": max_tokens})))
    return options


def _shape_options(expect: Expect, tools: Sequence[ToolSchema]) -> list[Option]:
    options = []
    if isinstance(expect, Calls):
        options.append(Option("tool choice", ({"tool_choice": "required"}, {"tool_choice": "auto"})))
        if expect.at_most == 1:
            options.append(Option("one call", ({"parallel_tool_calls": False},)))
        return options
    if isinstance(expect, Json):
        schema = {"name": "reply", "schema": expect.schema}
        forms = ({"type": "json_schema", "json_schema": schema}, {"type": "json_object"})
        options.append(Option("format", tuple({"response_format": form} for form in forms)))
    if tools:  # known while the model plans; and servers keep a prompt that stays the same
        options.append(Option("tools shown", ({"tools": list(tools), "tool_choice": "none"},)))
    return options


def _sampling_options(sampling: Sampling) -> list[Option]:
    options = [
        Option("temperature", ({"temperature": sampling.temperature},)),
        Option("seed", ({"seed": sampling.seed},)),
    ]
    if sampling.temperature == 0 and sampling.repetition_penalty == 1:
        return options
    penalty = sampling.repetition_penalty
    settings: dict[str, tuple[bool, dict[str, Any]]] = {
        "top_k": (sampling.top_k > 0, {"top_k": sampling.top_k}),
        "top_p": (sampling.top_p < 1, {"top_p": sampling.top_p}),
        "min_p": (sampling.min_p > 0, {"min_p": sampling.min_p}),
        # the first name is that of vLLM and SGLang, the second that of llama.cpp
        "penalty": (penalty != 1, {"repetition_penalty": penalty, "repeat_penalty": penalty}),
    }
    return [Option(name, (form,)) for name, (wanted, form) in settings.items() if wanted] + options


def on_the_wire(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """The conversation in OpenAI's shape: every call has an id, and an answer right after it.

    Ids are nine letters and digits, the only form that all models' templates take.
    """
    wire: list[dict[str, Any]] = []
    waiting: list[str] = []  # ids of calls without an answer
    number = 0
    for message in messages:
        if message.role != "tool" or not waiting:
            wire += _unanswered(waiting)
            waiting = []
        if message.role == "tool" and waiting:
            wire.append({"role": "tool", "tool_call_id": waiting.pop(0), "content": message.content})
            continue
        role = "user" if message.role == "tool" else message.role
        shaped: dict[str, Any] = {"role": role, "content": message.content}
        for call in message.calls:
            number += 1
            waiting.append(f"call{number:05d}")
            function = {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)}
            asked = {"id": waiting[-1], "type": "function", "function": function}
            shaped.setdefault("tool_calls", []).append(asked)
        wire.append(shaped)
    return wire + _unanswered(waiting)


def _unanswered(waiting: Iterable[str]) -> list[dict[str, Any]]:
    return [{"role": "tool", "tool_call_id": each, "content": _MISSING} for each in waiting]
