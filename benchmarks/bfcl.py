"""Reading the Berkeley Function Calling Leaderboard: schemas as its users convert them, and gold calls."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoagent.models.protocol import ToolSchema

_KINDS = {  # what the leaderboard itself maps its type names to, except "any", which stays any
    "integer": "integer long short byte Bigint",
    "number": "number float double",
    "boolean": "boolean bool Boolean",
    "array": "array list tuple ArrayList Array Queue Stack",
    "object": "dict object HashMap Hashtable",
}
_KIND = {name: kind for kind, names in _KINDS.items() for name in names.split()}
_ABSENT = ""  # among the possible values: the argument may be left out


@dataclass(frozen=True)
class Call:
    """A gold call. ``possible`` has the acceptable values of each argument."""

    name: str
    possible: dict[str, list[Any]]


@dataclass(frozen=True)
class Question:
    """The functions on offer for one question, and the calls that answer it."""

    name: str
    tools: list[ToolSchema]
    gold: list[Call]


def questions(data: Path) -> Iterator[Question]:
    """Read all questions that come with functions, then the ones over several turns."""
    for file in sorted(data.glob("BFCL_*.json")):
        answers = {
            entry["id"]: entry["ground_truth"] for entry in _lines(data / "possible_answer" / file.name)
        }
        for entry in _lines(file):
            tools = [as_tool(function) for function in entry.get("function") or []]
            if tools:
                gold = [_gold(call) for call in answers.get(entry["id"], []) if isinstance(call, dict)]
                names = {tool["function"]["name"] for tool in tools}
                yield Question(entry["id"], tools, [call for call in gold if call.name in names])
    yield from _multi_turn(data)


def _multi_turn(data: Path) -> Iterator[Question]:
    """One question per class of functions, its gold calls from every turn that uses one of them."""
    said: dict[str, list[Call]] = {}
    for file in sorted((data / "possible_answer").glob("BFCL_*_multi_turn_*.json")):
        for entry in _lines(file):
            for line in (line for turn in entry["ground_truth"] for line in turn):
                call = _parsed(line)
                if call is not None:
                    said.setdefault(call.name, []).append(call)
    for file in sorted((data / "multi_turn_func_doc").glob("*.json")):
        tools = [as_tool(function) for function in _lines(file)]
        gold = [call for tool in tools for call in said.get(tool["function"]["name"], [])]
        different = {json.dumps([call.name, call.possible]): call for call in gold}
        yield Question(file.stem, tools, list(different.values()))


def _parsed(line: str) -> Call | None:
    """``mv(source='a', destination='b')`` as a call; None where the arguments are not plain and named."""
    node = ast.parse(line, mode="eval").body
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.args:
        return None
    try:
        return Call(node.func.id, {str(key.arg): [ast.literal_eval(key.value)] for key in node.keywords})
    except ValueError:
        return None


def _lines(file: Path) -> list[dict[str, Any]]:
    if not file.is_file():
        return []
    try:
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line]
    except ValueError:  # one file of settings is no list of questions
        return []


def _gold(entry: dict[str, Any]) -> Call:
    ((name, possible),) = entry.items()
    return Call(name, possible)


def as_tool(function: dict[str, Any]) -> ToolSchema:
    made = {"name": function["name"], "description": function.get("description", "")}
    return {"type": "function", "function": {**made, "parameters": as_schema(function["parameters"])}}


def as_schema(node: dict[str, Any]) -> dict[str, Any]:
    """Turn a BFCL schema into a JSON schema; objects that say what is in them have nothing else in them."""
    schema = {key: value for key, value in node.items() if key != "optional"}
    kind = schema.pop("type", "any")
    if kind.lower() != "any":
        schema["type"] = _KIND.get(kind, "string")
    if kind == "float":
        schema["format"] = "float"
    if "properties" in schema:
        schema.setdefault("additionalProperties", False)
        schema["properties"] = {name: as_schema(inner) for name, inner in schema["properties"].items()}
    if isinstance(schema.get("items"), dict):
        schema["items"] = as_schema(schema["items"])
    return schema


def alternatives(call: Call, schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Ways to fill the arguments, in the schema's order: as much as possible, as little as possible, and each
    acceptable value once."""
    seen: set[str] = set()
    for arguments in _filled(call.possible, schema):
        key = json.dumps(arguments)
        if key not in seen:
            seen.add(key)
            yield arguments


def _filled(possible: dict[str, list[Any]], schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    inner = schema.get("properties", {})
    order = sorted(possible, key=lambda name: list(inner).index(name) if name in inner else len(inner))
    choices = {
        name: [
            made
            for value in possible[name]
            if value != _ABSENT
            for made in _values(value, inner.get(name, {}))
        ]
        for name in order
    }
    required = set(schema.get("required", []))
    may_miss = {name for name in order if _ABSENT in possible[name] and name not in required}
    first = {name: options[0] for name, options in choices.items() if options}
    yield first
    yield {name: value for name, value in first.items() if name not in may_miss}
    for name, options in choices.items():
        for value in options[1:]:
            yield {key: value if key == name else other for key, other in first.items()}


def _values(value: Any, schema: dict[str, Any]) -> list[Any]:
    """An acceptable value may be an object whose members have acceptable values in turn."""
    if isinstance(value, dict) and all(isinstance(option, list) for option in value.values()):
        return list(_filled(value, schema))
    if isinstance(value, list) and value and all(isinstance(member, dict) for member in value):
        members = [_values(member, schema.get("items", {})) for member in value]
        return [[options[0] for options in members]]
    return [value]
