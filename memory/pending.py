"""Texts that wait to be remembered: each a small file, taken in by whoever opens the memory next.

A memory has one user at a time. Who could not get it does not lose what it had to say: a text is on the disk
when ``put_aside`` returns, and stays until it is in the memory; being taken in twice changes nothing.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from autoagent.errors import StoreError
from autoagent.models import disk

if TYPE_CHECKING:
    from autoagent.memory.shelved import ShelvedMemory

FOLDER = "pending"
_MOST = 1_000  # taken in at once
_numbers = itertools.count()


def put_aside(folder: Path, text: str, kind: str, source: str, key: str = "") -> str:
    """Keep a text for the memory in ``folder``, and return the id it will have there.

    Raises:
        ValueError: the text is empty, or there is no such kind.
        StoreError: it cannot be written.
    """
    from autoagent.memory.ranking import clean, known, named  # brings numpy in

    text, source = clean(text), source.encode("utf-8", "replace").decode("utf-8")
    id = named(text, known(kind), source, key)
    waiting = folder / FOLDER
    place = waiting / f"{time.time_ns():020d}-{os.getpid()}-{next(_numbers)}.json"
    try:
        waiting.mkdir(parents=True, exist_ok=True)
        told = {"text": text, "kind": kind, "source": source, "key": key}
        disk.replace(place, json.dumps(told).encode("utf-8"))
    except OSError as error:
        raise StoreError(f"{waiting} cannot be written ({error.strerror}): free some space") from None
    return id


def take_in(folder: Path, memory: ShelvedMemory) -> int:
    """Put what waits into the memory, which the caller has open; returns how many texts there were."""
    count = 0
    while waiting := sorted((folder / FOLDER).glob("*.json"))[:_MOST]:
        memory.take_in([text for file in waiting if (text := _read(file)) is not None])
        for file in waiting:
            file.unlink(missing_ok=True)
        count += len(waiting)
    return count


def count(folder: Path) -> int:
    """How many texts wait."""
    return sum(1 for _ in (folder / FOLDER).glob("*.json"))


def _read(file: Path) -> tuple[str, str, str, str] | None:
    """None for one that tells nothing: they are written whole, so somebody changed it."""
    from autoagent.memory.ranking import clean, known

    try:
        told = json.loads(file.read_bytes())
        text, kind = clean(str(told["text"])), known(str(told["kind"]))
        return text, kind, str(told["source"]), str(told.get("key", ""))
    except (OSError, ValueError, KeyError, TypeError):
        return None
