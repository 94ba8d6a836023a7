"""How people word a goal: a pattern language with choices, and the looseness of real requests."""

from __future__ import annotations

import random
import re

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_QUESTION = re.compile(
    r"(?:what|which|where|who|how|when|why|do|does|did|can|could|is|are|on what|on which|in what|in which)\b",
    re.IGNORECASE,
)
_OPENERS = (
    "please",
    "can you",
    "could you",
    "hey,",
    "now",
    "i need you to",
    "i want you to",
    "i'd like you to",
)
_CLOSERS = ("please", "thanks", "for me", "thank you")


def say(rng: random.Random, *patterns: str, **values: object) -> str:
    """Draw one of the patterns, resolve its ``[a|b|]`` choices (innermost first) and fill in the values.

    >>> say(random.Random(0), "[Show|Print] {file}", file="a.txt") in ("Show a.txt", "Print a.txt")
    True
    """
    pattern = rng.choice(patterns)
    while match := _CHOICE.search(pattern):
        pattern = pattern[: match.start()] + rng.choice(match[1].split("|")) + pattern[match.end() :]
    return re.sub(r" {2,}", " ", pattern.format(**values)).strip()


def loosen(rng: random.Random, text: str) -> str:
    """Politeness, small letters at the start, and a full stop or none, as people type."""
    is_question = text.endswith("?") or _QUESTION.match(text) is not None
    if not is_question and rng.random() < 0.2:
        text = f"{rng.choice(_OPENERS)} {text[0].lower()}{text[1:]}"
        text = text[0].upper() + text[1:]
    elif rng.random() < 0.06:
        text = f"{text.rstrip('?')}, {rng.choice(_CLOSERS)}{'?' if is_question else ''}"
    if rng.random() < 0.25:
        text = text[0].lower() + text[1:]
    if text.endswith("?"):
        return text.rstrip("?").rstrip() if rng.random() < 0.2 else text
    return text + "." if rng.random() < 0.35 else text


def quoted(rng: random.Random, text: str) -> str:
    """A piece of text as it stands in a goal: in quotes of one kind or another, or bare."""
    kind = rng.randrange(6)
    return (f'"{text}"', f'"{text}"', f"'{text}'", f"'{text}'", text, text)[kind]
