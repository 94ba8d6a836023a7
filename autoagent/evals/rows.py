"""Parameter tables: one ``[[task]]`` with ``each`` is as many tasks as that has rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from autoagent.errors import ConfigError
from autoagent.evals.words import did_you_mean

_BRACES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def expanded(entry: Mapping[str, Any], where: str) -> Iterator[dict[str, Any]]:
    """The tasks an entry stands for: itself, or one for each row of its ``each``.

    In every text of such an entry, keys included, ``{city}`` is the row's value of ``city``, and a brace that
    stands for itself is doubled. An id without a placeholder is numbered from 1.

    Raises:
        ConfigError: the rows are no rows, or their keys are not those of the placeholders.
    """
    if "each" not in entry:
        yield dict(entry)
        return
    rows = entry["each"]
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) and row for row in rows):
        raise ConfigError(f"{where}: each: write one [[task.each]] with its values for each repetition")
    pattern = {key: value for key, value in entry.items() if key != "each"}
    named = set(_named(pattern))
    for number, row in enumerate(rows, start=1):
        at = f"{where}: each, row {number}"
        values = {name: _text(value, f"{at}: {name}") for name, value in row.items()}
        filled = {key: _filled(value, values, f"{at}: {key}") for key, value in pattern.items()}
        if idle := [name for name in values if name not in named]:
            raise ConfigError(f"{at}: no text of the task has {{{idle[0]}}}: put it where the value belongs")
        if filled.get("id") == pattern.get("id") and isinstance(filled.get("id"), str):
            filled["id"] += f"-{number}"
        yield filled


def _named(node: Any) -> Iterator[str]:
    """The names in the placeholders of all its texts."""
    if isinstance(node, str):
        yield from (found[1].strip() for found in _BRACES.finditer(node) if found[1] is not None)
    elif isinstance(node, (list, dict)):
        for each in (*node, *node.values()) if isinstance(node, dict) else node:
            yield from _named(each)


def _text(value: object, where: str) -> str:
    """A value of a row as it stands in a text."""
    if isinstance(value, (dict, list)):
        raise ConfigError(f"{where}: a row holds texts and numbers, no tables or lists")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _filled(node: Any, values: Mapping[str, str], where: str) -> Any:
    """The same with every text filled in; ``where`` grows by the key, for messages."""
    if isinstance(node, str):
        return _BRACES.sub(lambda found: _value(found, values, where), node)
    if isinstance(node, list):
        return [_filled(each, values, where) for each in node]
    if not isinstance(node, dict):
        return node
    filled: dict[str, Any] = {}
    for key, value in node.items():
        name = _filled(key, values, where)
        if name in filled:
            raise ConfigError(f'{where}: two keys become "{name}"')
        filled[name] = _filled(value, values, f"{where}.{key}")
    return filled


def _value(found: re.Match[str], values: Mapping[str, str], where: str) -> str:
    text, name = found[0], found[1]
    if text in ("{{", "}}"):
        return text[0]
    if name is None:
        raise ConfigError(f"{where}: a single {text}: double it where it stands for itself")
    if name.strip() not in values:
        hint = did_you_mean(name.strip(), values) or f": the keys of the row are {', '.join(values)}"
        raise ConfigError(f"{where}: {text} is not in the row{hint}; a brace of the text itself is doubled")
    return values[name.strip()]
