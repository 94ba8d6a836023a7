"""Reading calls and values out of an answer, and saying precisely what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from autoagent.models.parsing import split_calls
from autoagent.models.protocol import Calls, ToolSchema
from autoagent.models.remote.answer import RawCall
from autoagent.trajectory import ToolCall

_LONGEST = 300  # characters of a complaint


class Invalid(Exception):
    """A call or value cannot be used; the message is for the model."""


def read_calls(text: str, raw: Sequence[RawCall], expect: Calls) -> tuple[str, tuple[ToolCall, ...]]:
    """The text and the valid calls, the first ``at_most`` of them; both forms of calls are read.

    Raises:
        Invalid: a call is no JSON, names no tool that was offered, or does not fit its schema.
    """
    if raw:
        calls = tuple(_parsed(call) for call in raw)
    else:
        try:
            text, calls = split_calls(text)
        except ValueError as error:
            raise Invalid(f"the tool call is no valid JSON: {error}") from None
    calls = calls[: expect.at_most]
    schemas = {tool["function"]["name"]: tool for tool in expect.tools}
    for call in calls:
        _check_call(call, schemas)
    return text.strip(), calls


def read_value(text: str, schema: Mapping[str, Any]) -> Any:
    """The JSON value in ``text``; a fence or a sentence around it is forgiven.

    Raises:
        Invalid: there is none, or it does not fit the schema.
    """
    value = _first_value(text)
    _check(value, schema, "")
    return value


def _parsed(call: RawCall) -> ToolCall:
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError) as error:  # the latter: nested too deeply
        raise Invalid(f"{call.name}: the arguments are no valid JSON: {error}") from None
    if not isinstance(arguments, dict):
        raise Invalid(f"{call.name}: the arguments must be a JSON object")
    return ToolCall(name=call.name, arguments=arguments)


def _check_call(call: ToolCall, schemas: Mapping[str, ToolSchema]) -> None:
    if call.name not in schemas:
        raise Invalid(f"there is no tool {call.name!r}; there are {', '.join(schemas)}")
    _check(call.arguments, schemas[call.name]["function"].get("parameters", {}), f"{call.name}: ")


def _check(value: Any, schema: Mapping[str, Any], where: str) -> None:
    problem = best_match(Draft202012Validator(schema).iter_errors(value))
    if problem is not None:
        path = "".join(f"{part}: " for part in problem.absolute_path)
        message = f"{where}{path}{problem.message}"
        raise Invalid(message if len(message) <= _LONGEST else message[:_LONGEST] + "…")


def _first_value(text: str) -> Any:
    """The first JSON object in the text, or the text as a whole."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = str(error)
    place = text.find("{")
    while place >= 0:
        try:
            return json.JSONDecoder().raw_decode(text, place)[0]
        except (ValueError, RecursionError):
            place = text.find("{", place + 1)
    raise Invalid(f"the answer is no valid JSON: {reason}")
