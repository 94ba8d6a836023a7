"""Who descends from whom among model versions, removed ones included."""

from __future__ import annotations

from autoagent.models.versions import EMBEDDED, Version, Versions


def ancestors(versions: Versions, name: str) -> tuple[Version, ...]:
    """The versions that a version was trained from, the nearest first; removed ones as far as known."""
    known = {version.name: version for version in versions.list()}
    found: list[Version] = []
    at = known.get(name) or versions.removed(name)
    while at is not None and at.parent and at.parent not in (name, *(each.name for each in found)):
        at = known.get(at.parent) or versions.removed(at.parent)
        found += [at] if at is not None else []
    return tuple(found)


def origin(versions: Versions, name: str) -> str:
    """What the first version of a line was trained from: ``embedded``, a folder or a hub id."""
    line = ancestors(versions, name)
    if name == EMBEDDED:
        return EMBEDDED
    first = line[-1] if line else versions.get(name)
    return first.parent or EMBEDDED


def lineage(versions: Versions, name: str) -> tuple[str, ...]:
    """The names from a version back to where its line began, such as ``v2-…, v1-…, embedded``."""
    if name == EMBEDDED:
        return (EMBEDDED,)
    return (name, *(each.name for each in ancestors(versions, name)), origin(versions, name))


def descendants(versions: Versions, name: str) -> tuple[str, ...]:
    """The versions that were trained from this one, or from one that was, oldest first."""
    return tuple(
        version.name
        for version in versions.list()
        if name in (each.name for each in ancestors(versions, version.name))
    )
