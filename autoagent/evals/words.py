"""How the messages about a faulty suite are worded."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from autoagent.errors import AutoagentError, ConfigError

_LONGEST = 60  # characters of what somebody wrote, in a message
_WANTED = {  # by pydantic's name of what is wrong
    "string_type": "a text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "mapping_type": "a table",
    "dict_type": "a table",
    "model_type": "a table",
}
_WITH_BRACKETS = ("tools", "follow_ups")  # keys whose tables are a list


def did_you_mean(word: str, known: Iterable[str]) -> str:
    close = get_close_matches(word, list(known), n=1)
    return f': did you mean "{close[0]}"?' if close else ""


def only(values: Mapping[str, Any], known: Collection[str], *, where: str) -> None:
    """Refuse the first key that is not known.

    Raises:
        ConfigError: there is one.
    """
    for key in values:
        if key not in known:
            hint = did_you_mean(key, known) or f": the keys here are {', '.join(known)}"
            raise ConfigError(f'{where}: unknown key "{key}"{hint}')


def label(number: int, name: object) -> str:
    """A task as it is named in messages."""
    return f'task {number} "{name}"' if isinstance(name, str) and name else f"task {number}"


@contextmanager
def blamed(where: str, key: str) -> Iterator[None]:
    """Say which task and key an error is about."""
    try:
        yield
    except AutoagentError as error:
        raise ConfigError(f"{where}: {key}: {error}") from None


def first_of(failure: ValidationError) -> str:
    """The first of what is wrong with an entry, in one line."""
    first = failure.errors()[0]
    kind, message, found = first["type"], first["msg"].removeprefix("Value error, "), first["input"]
    if kind == "missing":
        said = "is missing"
    elif kind in _WANTED:
        said = f"must be {_WANTED[kind]}, found {_written(found)}{_instead(kind, first['loc'], found)}"
    elif kind == "literal_error":
        said = f"must be {first['ctx']['expected']}, found {_written(found)}"
    else:
        said = f"{message[:1].lower()}{message[1:]}"
    return f"{_place(first['loc'])}: {said}"


def _written(value: object) -> str:
    """A value about as TOML has it."""
    return cut(json.dumps(value, ensure_ascii=False, default=str))


def _instead(kind: str, place: tuple[int | str, ...], found: object) -> str:
    """What was most likely meant by a value of another type, to go behind the message; empty if unknown."""
    key = str(place[-1])
    if kind == "string_type" and key in ("expected", "policy"):
        return f": {key} belongs to [[task]], so write it above this table"
    if kind == "string_type" and isinstance(found, dict) and found:
        return f': a name with a dot is quoted, "{key}.{next(iter(found))}"'
    if kind == "string_type" and not isinstance(found, (dict, list, bool)):
        return f': write "{found}"'
    if kind == "tuple_type" and isinstance(found, str):
        return f": write [{_written(found)}]"
    if kind == "tuple_type" and isinstance(found, dict) and key in _WITH_BRACKETS:
        return f": write [[task.{key}]] with two brackets"
    if kind == "model_type" and key == "expected" and isinstance(found, str):
        return f": write expected.answer = {_written(found)}"
    if kind == "model_type" and "arguments" in place and isinstance(found, str):
        return f": write {{ {'type' if found in ('text', 'number') else 'description'} = {_written(found)} }}"
    return ""


def _place(parts: Iterable[int | str]) -> str:
    """Where something is in an entry, like ``tools 2.arguments.city``: lists count from 1."""
    place = ""
    for part in parts:
        if isinstance(part, int):
            place += f" {part + 1}"
        elif part not in ("str", "[key]"):
            place += f".{part}" if place else part
    return place


def cut(text: str, longest: int = _LONGEST) -> str:
    """The beginning of a text, for a message."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
