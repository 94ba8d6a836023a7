"""How people word a goal: a pattern language with choices, and the looseness of real requests."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from autoagent.nano.words import Words, is_kept

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_QUESTION = re.compile(
    r"(?:(?:on|in|by|until|up to|down to|for|from|at|to) (?:what|which|whom|when|where)"
    r"|what|which|where|who|whose|whom|how|when|why|whereabouts|do|does|did|can|could|is|are|was|were|have|has"
    r"|may|should|will|would|any)\b",
    re.IGNORECASE,
)
_STATEMENT = re.compile(
    r"(?:i|i'm|i've|we|there|for|the|someone|somebody|in|on|at|from|my|our|this|it|if|once|after|before|here"
    r"|as|with|according|please|first|both|one|step|two|start with|to begin)\b",
    re.IGNORECASE,
)
_OPENERS = (
    "please|can you|could you|hey,|now|i need you to|i want you to|i'd like you to|would you|can you please"
    "|could you please|kindly|go ahead and|next,|ok,|okay, now|quickly|just|hi, can you|hello, please|hi!"
    "|you should|try to|first of all,|help me:|help me to|i have to|i would like to|we need to"
    "|do me a favour and|be so kind and|your task:|task:|to do:|todo -|goal:|so,|well,"
    "|time to|be a dear and|hey agent,|assistant,|one more thing:|right,"
    "|i want to|please try to|i'm asking you to|your job is to"
).split("|")
_CONTEXTS = (
    "For {name}|My boss asked|{name} wants to know|It's about the {word}|For the {word} project"
    "|I'm in {place} right now|{name} needs this|Before the meeting with {name}|We talked about {word}"
    "|Quick one|A question|As always|Here is what I need|This is for my {word}|I forgot about {word}"
    "|{name} is waiting|It's urgent|No hurry|I'm working on {word}|For the {word} of {name}|Homework"
).split("|")
_HELD_OUT = 6  # every sixth pattern, by hash
_SLIPS = 0.04  # of the wordings
_CLOSERS = (
    "please|thanks|for me|thank you|thx|if you can|right away|asap|would you|will you|now|when you can"
    "|cheers|many thanks|quickly|today|if possible|ok"
).split("|")


def is_held_out_wording(pattern: str) -> bool:
    """Whether a pattern, as it stands in the source with all its choices, is kept for measuring."""
    return is_kept(f"wording {pattern}", _HELD_OUT)


def on_side(patterns: Sequence[str], held_out: bool) -> list[str]:
    """Those of the patterns that are on a side of the split."""
    return [pattern for pattern in patterns if is_held_out_wording(pattern) == held_out]


def say(rng: random.Random, *patterns: str, held_out: bool = False, **values: object) -> str:
    """Draw one of the patterns of a side of the split and make it words, now and then with a slip.

    Where all patterns are on one side, they serve both.
    """
    pattern = _resolved(rng, rng.choice(on_side(patterns, held_out) or patterns))
    if rng.random() < _SLIPS:
        pattern = misspell(rng, pattern)
    return pattern.format(**values)


def phrase(rng: random.Random, *patterns: str, **values: object) -> str:
    """Draw one of the patterns, resolve its ``[a|b|]`` choices (innermost first) and fill in the values.

    >>> phrase(random.Random(0), "[Show|Print] {file}", file="a.txt") in ("Show a.txt", "Print a.txt")
    True
    """
    return _resolved(rng, rng.choice(patterns)).format(**values)


def _resolved(rng: random.Random, pattern: str) -> str:
    while match := _CHOICE.search(pattern):
        pattern = pattern[: match.start()] + rng.choice(match[1].split("|")) + pattern[match.end() :]
    return re.sub(r" {2,}", " ", pattern).strip()


def surfaces(pattern: str) -> int:
    """In how many ways a pattern can be worded, its values left open (texts that come out alike count twice).

    >>> surfaces("[Show|Print|Give me [all|]] {file}")
    4
    """
    ways, choices = [1], [0]  # by depth: of the sequence so far, of the alternatives before it
    for sign in pattern:
        if sign == "[":
            ways.append(1)
            choices.append(0)
        elif sign == "|" and len(ways) > 1:
            choices[-1] += ways[-1]
            ways[-1] = 1
        elif sign == "]":
            inner = choices.pop() + ways.pop()
            ways[-1] *= inner
    return ways[0]


@dataclass(frozen=True)
class Around:
    """What is known of a request, for what may stand around it.

    Attributes:
        names_first: It begins with a name or a value, which has to stay as it is.
        open_end: It ends with a text that is not in quotes; what followed it would be part of it.
        plain: Nobody and nothing else may be named, as a tool might be meant for that.
    """

    names_first: bool = False
    open_end: bool = False
    plain: bool = False


def loosen(
    rng: random.Random,
    text: str,
    words: Words,
    *,
    held_out: bool = False,
    around: Around = Around(),
) -> str:
    """What stands around a request: politeness, context, small letters at the start, a full stop or none.

    Args:
        rng: Draws.
        text: The request.
        words: For what the context mentions.
        held_out: Which side of the split the words around it are from.
        around: What may stand around it.
    """
    names_first = around.names_first
    is_question = text.endswith("?") or _QUESTION.match(text) is not None
    ordinary = not names_first and _STATEMENT.match(text) is None
    if not is_question and ordinary and rng.random() < 0.22:
        text = f"{rng.choice(on_side(_OPENERS, held_out))} {lower(text)}"
        text = text[0].upper() + text[1:]
        names_first = False
    elif not around.open_end and rng.random() < 0.08:
        closer = rng.choice(on_side(_CLOSERS, held_out))
        text = f"{text.rstrip('?')}, {closer}{'?' if is_question else ''}"
    if rng.random() < 0.08:
        contexts = [each for each in _CONTEXTS if not around.plain or "{" not in each]
        context = rng.choice(on_side(contexts, held_out))
        context = context.format(name=words.name(), word=words.word(), place=words.place())
        text = context + rng.choice((": ", ". ", ", ", " - ")) + text
    elif not names_first and rng.random() < 0.3:
        text = lower(text)
    if text.endswith("?"):
        text = text.rstrip("?").rstrip()
        return text + rng.choice(("?", "?", "?", "?", "?", "", "", " ?", "??"))
    ends = ("", "", "", "", "", "", ".", ".", ".", "!", "...")
    return text + rng.choice(ends[:-2] if around.open_end else ends)


def lower(text: str) -> str:
    """With a small letter at the start, unless it begins in capitals or with I."""
    return text if text[:2].isupper() or text[:2] in ("I ", "I'") else text[:1].lower() + text[1:]


def misspell(rng: random.Random, pattern: str) -> str:
    """One slip of the fingers in a word of a pattern; its values stay as they are."""
    places = [
        match.span()
        for match in re.finditer(r"[a-z]{4,}", pattern)
        if pattern.count("{", 0, match.start()) == pattern.count("}", 0, match.start())
    ]
    if not places:
        return pattern
    start, end = rng.choice(places)
    word, at = pattern[start:end], rng.randrange(1, end - start - 1)
    slips = (
        word[:at] + word[at + 1] + word[at] + word[at + 2 :],
        word[:at] + word[at + 1 :],
        word[:at] + word[at] + word[at:],
        word[:at] + rng.choice("abcdefghiklmnoprstuvwy") + word[at + 1 :],
    )
    return pattern[:start] + rng.choice(slips) + pattern[end:]


def quoted(rng: random.Random, text: str) -> str:
    """A text as it stands in a goal: in quotes that it does not hold, or bare where its end is clear."""
    kinds = [quote for quote in ('""', '""', "''", "''", "“”", "``") if not set(quote) & set(text)]
    if not kinds or (text[-1].isalnum() and not set(text) & set(".,;:!?\"'")):
        kinds += ["  ", "  "]
    quotes = rng.choice(kinds)
    return f"{quotes[0]}{text}{quotes[1]}".strip()
