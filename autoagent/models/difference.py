"""What two model versions have in common and what not, beside their weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoagent.models.lineage import lineage
from autoagent.models.versions import EMBEDDED, Version, Versions


@dataclass(frozen=True)
class Difference:
    """Two versions, ``old`` and ``new``, side by side."""

    old: tuple[str, ...]  # names from the version back to where its line began
    new: tuple[str, ...]
    common: str | None  # the nearest both descend from
    runs_added: tuple[str, ...]  # learned from by the new line only
    runs_removed: tuple[str, ...]
    settings: Mapping[str, tuple[Any, Any]]  # those that differ; None where one has none
    gate: Mapping[str, tuple[Any, Any]]  # numbers of the gates, those of them that are there


def difference(versions: Versions, old: str, new: str) -> Difference:
    """Compare two versions by name, ``embedded`` among them.

    Raises:
        ModelError: there is no such version.
    """
    first, second = (None if name == EMBEDDED else versions.get(name) for name in (old, new))
    lines = lineage(versions, old), lineage(versions, new)
    learned = [_runs(versions, line) for line in lines]
    settings = [dict(flat(config_of(each))) for each in (first, second)]
    gates = [dict(_numbers(each)) for each in (first, second)]
    return Difference(
        old=lines[0],
        new=lines[1],
        common=next((name for name in lines[1] if name in lines[0]), None),
        runs_added=tuple(run for run in learned[1] if run not in learned[0]),
        runs_removed=tuple(run for run in learned[0] if run not in learned[1]),
        settings=_pairs(settings, differing=True),
        gate=_pairs(gates, differing=False),
    )


def config_of(version: Version | None) -> Mapping[str, Any]:
    """The settings a version was trained with, ``{}`` where they are not on record."""
    found = (version.data or {}).get("config") if version else None
    return found if isinstance(found, Mapping) else {}


def sheet_of(version: Version | None) -> Mapping[str, Any]:
    """The data sheet of a version, ``{}`` where it has none."""
    found = (version.data or {}).get("sheet") if version else None
    return found if isinstance(found, Mapping) else {}


def _runs(versions: Versions, line: Sequence[str]) -> dict[str, None]:
    """The runs that a line of versions has learned from, in order."""
    known = {version.name: version for version in versions.list()}
    found = (known.get(name) or versions.removed(name) for name in reversed(line))
    return dict.fromkeys(str(run) for version in found for run in sheet_of(version).get("runs", ()))


def flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings by dotted names."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _numbers(version: Version | None) -> Iterator[tuple[str, Any]]:
    """What the gate measured of a version, as far as it is there."""
    gate = version.gate if version and version.gate else {}
    for key, inner in (
        ("old", "success"),
        ("new", "success"),
        ("comparison", "difference"),
        ("comparison", "p"),
    ):
        part = gate.get(key)
        if isinstance(part, Mapping) and isinstance(part.get(inner), (int, float)):
            yield f"{key} {inner}" if key != "comparison" else inner, part[inner]
    if isinstance(gate.get("suite"), str):
        yield "suite", gate["suite"]


def _pairs(values: Sequence[Mapping[str, Any]], *, differing: bool) -> dict[str, tuple[Any, Any]]:
    old, new = values
    names = dict.fromkeys([*old, *new])
    pairs = {name: (old.get(name), new.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if not differing or pair[0] != pair[1]}
