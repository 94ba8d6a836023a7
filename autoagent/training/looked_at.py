"""Which verified runs were looked at for a training, and judged with it: the others are new.

A data sheet names the runs that were trained on. Others were looked at, too, and set aside: their goals
measure, they repeat others, or they have nothing to learn from. These stand beside the version.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from autoagent.errors import StoreError
from autoagent.models.difference import sheet_of
from autoagent.models.lineage import ancestors
from autoagent.models.versions import Version, Versions

SELECTED = "selected.json"  # beside a version that was judged: all verified runs of its selection


def keep(versions: Versions, name: str, runs: Iterable[str]) -> None:
    """Write down that these runs were looked at for this version, besides those noted before.

    Raises:
        StoreError: it cannot be written, or what is there is damaged.
    """
    every = sorted({*_noted(versions, name), *runs})
    versions.attach(name, {SELECTED: json.dumps({"verified": every}, indent=1) + "\n"})


def looked_at(versions: Versions) -> frozenset[str]:
    """The runs that any judged version, or the line of the one in use, was made with or without.

    A version that was not judged yet does not count: the training goes on with it.

    Raises:
        StoreError: a file that says so is damaged.
    """
    in_use = line(versions)
    judged = [version for version in versions.list() if version.gate is not None]
    found: set[str] = set()
    for version in judged:
        found.update(_noted(versions, version.name))
    return frozenset(found.union(*(learned_runs(version) for version in (*judged, *in_use))))


def line(versions: Versions) -> tuple[Version, ...]:
    """The version in use and those it descends from, the nearest first; none where it is the embedded one."""
    name = versions.pointer()
    own = [version for version in versions.list() if version.name == name]
    return (*own, *ancestors(versions, name))


def learned_runs(version: Version) -> frozenset[str]:
    """The runs a version was trained on, as examples to follow or to avoid."""
    sheet = sheet_of(version)
    return frozenset(str(run) for key in ("runs", "negative_runs") for run in sheet.get(key) or ())


def _noted(versions: Versions, name: str) -> frozenset[str]:
    file = versions.folder / name / SELECTED
    if not file.exists():
        return frozenset()
    try:
        return frozenset(map(str, json.loads(file.read_text(encoding="utf-8"))["verified"]))
    except (OSError, ValueError, KeyError, TypeError):
        raise StoreError(f"{file} is damaged: remove it, and its runs count as new again") from None
