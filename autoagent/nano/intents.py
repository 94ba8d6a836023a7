"""What the intents of the human requests are called as tools, read from ``intents.txt`` beside this file."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

_SMALL = frozenset(
    "a an the of in on at to for from by with and or that this is are was be it its user what how much many"
    " when where which who whether if there one some new so not has have does do can tell say".split()
)
# Held-out intents that are nearly the same as a seen one of another data set: their figures count apart, too.
TWINS = frozenset(
    "hwu64/audio_volume_down hwu64/calendar_query hwu64/general_affirm hwu64/general_repeat hwu64/play_music"
    " clinc150/tell_joke clinc150/uber snips/BookRestaurant".split()
)


@dataclass(frozen=True)
class Intent:
    """An intent as a tool: what it may be described as, and named."""

    source: str
    name: str
    scenario: str
    descriptions: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def key(self) -> str:
        return f"{self.source}/{self.name}"


@functools.cache
def catalogue() -> dict[str, Intent]:
    """All intents by ``source/intent``, in the order of the file."""
    return _read()[0]


@functools.cache
def argument_names() -> dict[str, tuple[str, ...]]:
    """What a slot may be called as an argument, by slot."""
    return _read()[1]


@functools.cache
def _read() -> tuple[dict[str, Intent], dict[str, tuple[str, ...]]]:
    intents: dict[str, Intent] = {}
    slots: dict[str, tuple[str, ...]] = {}
    source = scenario = ""
    for line in (Path(__file__).parent / "intents.txt").read_text(encoding="utf-8").splitlines():
        if heading := re.fullmatch(r"\[(\w+)(?: / (\w+))?\]", line):
            source, scenario = heading[1], heading[2] or ""
        elif line.strip() and not line.startswith("#"):
            name, _, rest = line.partition(": ")
            if source == "slots":
                slots[name] = tuple(rest.split(", "))
            else:
                told, _, names = rest.partition(" = ")
                made = Intent(source, name, scenario, tuple(told.split("; ")), tuple(names.split(", ")))
                intents[made.key] = made
    return intents, slots


def name_from(description: str) -> str:
    """A tool's name made of the first telling words of a description.

    >>> name_from("Wake the user at a time")
    'wake_time'
    """
    words = [word for word in re.findall(r"[a-z0-9]+", description.lower()) if word not in _SMALL]
    return "_".join(words[:3]) or "do_it"
