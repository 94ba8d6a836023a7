"""Where text goes: two consoles, and words made safe for a terminal."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

# Escape sequences and the like in a file's text must not reach the user's terminal, and what cannot be seen
# must not hide in a path or an address. Joiners stay: emoji and several scripts need them.
_UNSAFE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064"
    r"\u2066-\u206f\ufeff\U000e0000-\U000e007f]"
)
LONGEST_VALUE = 160  # characters


def out() -> Console:
    """Standard output; colour on a terminal only, and not where NO_COLOR is set."""
    return Console(file=sys.stdout, highlight=False, markup=False, emoji=False)


def err() -> Console:
    """Standard error, for progress, notes and questions."""
    return Console(file=sys.stderr, highlight=False, markup=False, emoji=False)


def clean(text: str) -> str:
    """The text without what would move the cursor, change colours, turn letters around or hide."""
    return _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n")).expandtabs(4)


def cut(text: str, longest: int) -> str:
    """The text, its end replaced by an ellipsis when it is longer than so many characters."""
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def call_text(name: str, arguments: Mapping[str, Any]) -> Text:
    """A call as people write it: ``read_file(path="notes.txt")``, long values cut."""
    text = Text(clean(name), style="bold cyan")
    text.append("(", style="not bold default")
    for number, (key, value) in enumerate(arguments.items()):
        text.append(", " if number else "", style="not bold default")
        text.append(f"{clean(key)}=", style="not bold default dim")
        shown = json.dumps(value, ensure_ascii=False)
        text.append(clean(cut(shown, LONGEST_VALUE)), style="not bold default")
    text.append(")", style="not bold default")
    return text
