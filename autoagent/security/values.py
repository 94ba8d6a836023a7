"""Whether a value was said by the user: decided by the value itself, wherever the model took it from.

A value is held when all of it occurs in a text of the user's, standing for itself: ``ann@x.org`` is not held
by ``joann@x.org``, ``13`` not by ``13:00``, ``x.org`` not by ``x.org.evil.example``. Numbers are compared as
numbers.

What is not covered: whether the user meant the value that way. A name in the goal is a name in the goal.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

_LONGEST = 200_000  # characters of one text that are looked through
_NUMBER = re.compile(r"(?<![\w.,:/-])[-+]?\d[\d,]*(?:\.\d+)?(?![\w:/-]|[.,]\d)")
_PLAIN_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?")
_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?|\d{1,2}:\d\d(?::\d\d)?"
)
_BEFORE = r"(?:(?<![\w.\-/\\+%@])|(?<=\s@)|(?<=^@))"
_AFTER = r"(?![\w@/\\+%?&=]|[.\-:]\w)"
_SCHEME = re.compile(r"\bhttps?://", re.IGNORECASE)
_LINK = re.compile(r"(?:https?://|www\.)[^\s<>\"')\]]+", re.IGNORECASE)
_DOMAIN = re.compile(r"(?<![\w@./-])(?:[A-Za-z0-9-]+\.)+([a-z]{2,12})(?:/[^\s<>\"')\]]*)?(?![\w@])")
_FILES = frozenset(  # endings of names that are files more often than hosts
    "txt md py pdf doc docx odt csv tsv json jsonl xml html htm yaml yml toml ini log xls xlsx ppt pptx png"
    " jpg jpeg gif svg zip gz tar mp mov js ts css rs go java c h cpp sh sql tex eg ie etc am pm".split()
)


class Words:
    """What the user said, to look values up in; or what somebody else did.

    Args:
        longest: How many characters of each text are looked through; None: all.
    """

    def __init__(self, longest: int | None = _LONGEST) -> None:
        self._longest = longest
        self._texts: dict[str, int] = {}  # in order, each with its number
        self._numbers: dict[float, int] = {}  # with that of the first text that has it

    def __len__(self) -> int:
        """The number of different texts."""
        return len(self._texts)

    def add(self, text: str) -> None:
        """Take in one more text."""
        plain = _plain(_SCHEME.sub(" ", text[: self._longest]))
        if plain and plain not in self._texts:
            for each in _NUMBER.findall(plain):
                self._numbers.setdefault(_as_number(each), len(self._texts))
            self._texts[plain] = len(self._texts)

    def hold(self, value: object, first: int | None = None) -> bool:
        """Whether all of a value was said, standing for itself; ``first``: in the first so many texts."""
        among = len(self._texts) if first is None else first
        if isinstance(value, (int, float)):
            return self._numbers.get(float(value), among) < among
        text = _plain(_SCHEME.sub("", str(value))).rstrip("/")
        if not text:
            return True
        if _PLAIN_NUMBER.fullmatch(text) and self._numbers.get(_as_number(text), among) < among:
            return True
        found = re.compile(f"{_BEFORE}{re.escape(text)}/?{_AFTER}")
        return any(found.search(each) for each in itertools.islice(self._texts, among))


def leaves(value: object, known: frozenset[str] = frozenset()) -> Iterator[object]:
    """The single values in an argument: strings, numbers. Keys count, too, except ``known`` ones.

    Truth values, nothing, and moments (a date, a time) are left out: they say whether and when, not where.
    """
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if isinstance(value, Mapping):
        for key, each in value.items():
            if key not in known:
                yield str(key)
            yield from leaves(each, known)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for each in value:
            yield from leaves(each, known)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value
    elif value is not None and not isinstance(value, bool):
        text = str(getattr(value, "value", value)).strip()
        if text and not _MOMENT.fullmatch(text):
            yield text


def without(text: str, parts: Iterable[str]) -> str:
    """The text without these parts of it where they stand for themselves: what is left is no part of them."""
    left = _plain(text)
    for part in sorted({_plain(each) for each in parts} - {""}, key=len, reverse=True):
        left = re.sub(f"{_BEFORE}{re.escape(part)}{_AFTER}", " … ", left)
    return left


def links(text: str) -> list[str]:
    """Web addresses in a text, also those without ``https://``."""
    found = [match[0].rstrip(".,;:!?") for match in _LINK.finditer(text)]
    rest = _LINK.sub(" ", text)
    found += [match[0].rstrip(".,;:!?") for match in _DOMAIN.finditer(rest) if match[1] not in _FILES]
    return list(dict.fromkeys(found))


def vocabulary(schema: Mapping[str, Any]) -> tuple[frozenset[str], frozenset[str]]:
    """The names of properties in a JSON schema, and the values it lists to choose from."""
    names: set[str] = set()
    choices: set[str] = set()
    _gather(schema, names, choices)
    return frozenset(names), frozenset(choices)


def _gather(node: object, names: set[str], choices: set[str]) -> None:
    if isinstance(node, Mapping):
        properties = node.get("properties")
        names |= set(properties) if isinstance(properties, Mapping) else set()
        listed = node.get("enum")
        choices |= {str(each) for each in listed} if isinstance(listed, Sequence) else set()
        if "const" in node:
            choices.add(str(node["const"]))
        for each in node.values():
            _gather(each, names, choices)
    elif isinstance(node, list):
        for each in node:
            _gather(each, names, choices)


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _as_number(text: str) -> float:
    return float(text.replace(",", ""))
