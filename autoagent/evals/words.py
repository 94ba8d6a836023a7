"""How the messages about a faulty suite are worded."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from autoagent.errors import AutoagentError, ConfigError

_LONGEST = 60  # characters of what somebody wrote, in a message


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
    key = ".".join(str(part) for part in first["loc"] if part not in ("str", "[key]"))
    message = first["msg"].removeprefix("Value error, ")
    found = "" if first["type"] in ("missing", "value_error") else f", found {cut(repr(first['input']))}"
    return f"{key}: {message[:1].lower()}{message[1:]}{found}"


def cut(text: str) -> str:
    """The beginning of a text, for a message."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
