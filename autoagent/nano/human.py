"""Requests that people wrote, from data sets in a folder of the user's: nothing of them is in the package.

Read are hwu64 (slots inline), snips (slot spans) and clinc150 (no slots, and requests out of every intent's
scope), in the layout of their public releases:

    FOLDER/hwu64/{train,test}.jsonl                            scenario, intent, annotated
    FOLDER/snips/{train,validate}_INTENT.json
    FOLDER/clinc150/data_full.json
    FOLDER/tldr/pages.md                                       for words only

A fifth of the intents, chosen by their hash, is held out: training never sees their requests, descriptions
or names, as goals or among the distractors.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from autoagent.errors import UsageError
from autoagent.nano.words import is_kept

SOURCES = ("hwu64", "clinc150", "snips")
OUT_OF_SCOPE = "out of scope"  # intent of the clinc150 requests that no intent covers
_HELD_OUT = 5  # every fifth intent, by hash
_FREQUENT = 0.03  # share of an intent's requests that have a slot, for it to count
_SLOT = re.compile(r"\[\s*(\w+)\s*:\s*([^\[\]:]+?)\s*\]")
_PARTS = {"train": "train", "test": "test", "validate": "test", "oos_train": "train", "oos_test": "test"}

Part = Literal["train", "test"]
Slots = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Request:
    """What somebody asked for, what was meant, and the values in it."""

    text: str
    intent: str
    source: str
    part: Part
    slots: Slots = ()

    @property
    def key(self) -> str:
        return f"{self.source}/{self.intent}"


def is_held_out_intent(source: str, intent: str) -> bool:
    """Whether an intent is kept for measuring, decided by its hash alone."""
    return is_kept(f"{source}/{intent}", _HELD_OUT)


def requests(folder: Path) -> list[Request]:
    """All requests of the data sets that are in ``folder``; those with broken marks are left out.

    Raises:
        UsageError: none of the data sets is there, or a file of theirs is damaged.
    """
    found: list[Request] = []
    for source, read in (("hwu64", _hwu64), ("clinc150", _clinc150), ("snips", _snips)):
        if (folder / source).is_dir():
            found += read(folder / source)
    if not found:
        raise UsageError(f"{folder} has no human requests: it needs a folder hwu64, clinc150 or snips")
    return list(dict.fromkeys(found))


def _hwu64(folder: Path) -> Iterator[Request]:
    for part in ("train", "test"):
        for row in _read(folder / f"{part}.jsonl", lambda text: map(json.loads, text.splitlines())):
            marked = row["annotated"]
            text = " ".join(_SLOT.sub(r"\2", marked).split())
            slots = tuple((name, " ".join(value.split())) for name, value in _SLOT.findall(marked))
            if text and not re.search(r"[\[\]]", text):
                yield Request(text, f"{row['scenario']}_{row['intent']}", "hwu64", _part(part), slots)


def _clinc150(folder: Path) -> Iterator[Request]:
    data = _read(folder / "data_full.json", json.loads)
    for part in ("train", "test", "oos_train", "oos_test"):
        for text, intent in data[part]:
            if text.strip():
                meant = OUT_OF_SCOPE if intent == "oos" else intent
                yield Request(" ".join(text.split()), meant, "clinc150", _part(part))


def _snips(folder: Path) -> Iterator[Request]:
    for file in sorted(folder.glob("*.json")):
        part, _, intent = file.stem.partition("_")
        encoding = "latin-1" if file.name == "train_PlayMusic.json" else "utf-8"
        if part not in _PARTS:
            continue
        for row in _read(file, json.loads, encoding)[intent]:
            text = " ".join("".join(piece["text"] for piece in row["data"]).split())
            spans = [(piece["entity"], piece["text"]) for piece in row["data"] if "entity" in piece]
            slots = tuple((name, " ".join(value.split())) for name, value in spans)
            if text and "\ufffd" not in text and all(value and value in text for _, value in slots):
                yield Request(text, intent, "snips", _part(part), slots)


def _part(name: str) -> Part:
    return "test" if _PARTS[name] == "test" else "train"


def _read(file: Path, parse: Callable[[str], Any], encoding: str = "utf-8") -> Any:
    try:
        return parse(file.read_text(encoding=encoding))
    except OSError as problem:
        raise UsageError(f"{file} cannot be read: {problem.strerror}") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as problem:
        raise UsageError(f"{file} is damaged: {problem}") from None


def frequent_slots(rows: Iterable[Request], *, most: int = 4) -> dict[str, float]:
    """Slots in at least 3 % of the requests of an intent, most frequent first, with their share."""
    rows = list(rows)
    counts = Counter(name for row in rows for name in dict(row.slots))
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    shares = {name: count / len(rows) for name, count in ordered if count / len(rows) >= _FREQUENT}
    return dict(list(shares.items())[:most])


def words(folder: Path) -> tuple[str, ...]:
    """English words of three letters or more, in small letters: of training requests and tldr pages."""
    text = [
        row.text
        for row in requests(folder)
        if row.part == "train" and row.source != "snips" and not is_held_out_intent(row.source, row.intent)
    ]
    pages = folder / "tldr" / "pages.md"
    if pages.exists():
        lines = _read(pages, str.splitlines)
        text += [re.sub(r"`[^`]*`|\[|\]", "", line) for line in lines if line.startswith((">", "- "))]
    found = Counter(re.findall(r"(?<![\w'/.-])[a-z]{3,}(?![\w'/-])", " ".join(text)))
    return tuple(sorted(word for word, count in found.items() if count >= 2))
