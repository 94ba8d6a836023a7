"""Forgetting runs: they are not learned from any more, and the versions that did learn from them are known.

The marks on versions are never written down: they follow from the forgotten runs and the data sheets, so that
they cannot disagree with them, whatever ends the process.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoagent.models.difference import config_of
from autoagent.models.lineage import ancestors, origin
from autoagent.models.versions import EMBEDDED, Version, Versions
from autoagent.store import Store
from autoagent.store.forgotten import forget, take_back
from autoagent.store.ids import DIGITS

SHEET = "datasheet.json"  # beside a version's weights, where there is one
_RUN = re.compile(rf"\br[{DIGITS}]{{11}}\b")


@dataclass(frozen=True)
class Mark:
    """A version that has learned from forgotten runs, itself or by descent."""

    version: str
    runs: tuple[str, ...]  # the forgotten ones among those it learned from
    through: str  # the version whose data sheet names them: itself, or the nearest such ancestor
    back: str  # the nearest before it that has learned from none of them: to go back to, and to start from
    config: Mapping[str, Any]  # how it was trained, {} where that is not on record
    created: float = 0.0  # seconds since the epoch

    @property
    def inherited(self) -> bool:
        return self.through != self.version


@dataclass(frozen=True)
class Forgotten:
    """What came of forgetting."""

    runs: tuple[str, ...]  # those named first, then those that came of them
    marks: tuple[Mark, ...]  # versions that have learned from these, oldest first
    in_use: str  # the version in use, "" where the pointer is damaged


def forget_runs(home: Path, runs: Sequence[str], *, undo: bool = False) -> Forgotten:
    """Never learn from these runs again, nor from those that were delegated by or branched from them.

    Args:
        home: The project's folder of records and versions.
        runs: Ids, beginnings of ids, or ``last``.
        undo: Take it back instead.

    Raises:
        UsageError: no run or several runs fit; with ``undo``, one was not forgotten.
        StoreError: the record cannot be read or written.
    """
    store, versions = Store(home), Versions(home)
    try:
        changed = take_back(store, runs) if undo else forget(store, runs)
    finally:
        store.close()
    marks = () if undo else marks_of(versions, changed)
    return Forgotten(changed, marks, versions.pointer())


def marks(home: Path) -> dict[str, Mark]:
    """The marked versions of a project, by name.

    Raises:
        StoreError: the record cannot be read.
    """
    store = Store(home)
    try:
        forgotten = store.forgotten()
    finally:
        store.close()
    return {mark.version: mark for mark in marks_of(Versions(home), forgotten)} if forgotten else {}


def marks_of(versions: Versions, forgotten: Collection[str]) -> tuple[Mark, ...]:
    """The versions that have learned from any of these runs, themselves or by descent, oldest first."""
    made = (_mark(versions, version, frozenset(forgotten)) for version in versions.list())
    return tuple(mark for mark in made if mark is not None)


def _mark(versions: Versions, version: Version, forgotten: frozenset[str]) -> Mark | None:
    line = (version, *ancestors(versions, version.name))
    learned = {each.name: learned_from(versions, each) & forgotten for each in line}
    guilty = [each.name for each in line if learned[each.name]]
    if not guilty:
        return None
    before = line[[each.name for each in line].index(guilty[-1]) + 1 :]  # all of them are clean
    there = {each.name for each in versions.list()}
    clean = [each.name for each in before if each.name in there]
    return Mark(
        version=version.name,
        runs=tuple(sorted(set().union(*learned.values()))),
        through=guilty[0],
        back=clean[0] if clean else _beginning(versions, version.name),
        config=next((config for each in line if (config := config_of(each))), {}),
        created=version.created,
    )


def _beginning(versions: Versions, name: str) -> str:
    """What the line of a version began with, unless that is a version nobody knows any more."""
    first = origin(versions, name)
    return EMBEDDED if re.fullmatch(r"v\d+-[0-9a-f]{8}", first) else first


def learned_from(versions: Versions, version: Version) -> frozenset[str]:
    """The runs that a version's own data sheet names, wherever in it."""
    told = json.dumps(version.data)
    with contextlib.suppress(OSError):
        told += (versions.folder / version.name / SHEET).read_text(encoding="utf-8", errors="replace")
    return frozenset(_RUN.findall(told))
