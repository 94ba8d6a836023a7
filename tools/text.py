"""Text of files: count, extract, replace everywhere, compare."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from autoagent.errors import ToolError
from autoagent.tools.base import Context, tool
from autoagent.tools.files import raw_text, read_text, store_text
from autoagent.tools.tables import counted

_SHOWN_LINES = 20  # of each file that the other has not
_LARGEST = 100 * 2**20  # characters of a text after replacing

_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?"
_EMAIL = r"(?<![\w.+-])[\w.+-]++@[\w-]++(?:\.[\w-]++)++"
_LINK = r"\b(?:https?://|www\.)[^\s<>\"'()\[\]{}|]*[^\s<>\"'()\[\]{}|.,;:!?]"
_DATE = (
    r"(?<![\w-])(?:[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|[0-9]{1,2}([./])[0-9]{1,2}\1(?:[0-9]{4}|[0-9]{2})"
    rf"|[0-9]{{1,2}}(?:st|nd|rd|th)?\.? {_MONTH} [0-9]{{4}}"
    rf"|{_MONTH} [0-9]{{1,2}}(?:st|nd|rd|th)?,? [0-9]{{4}})(?![\w-])"
)
_NUMBER = (
    r"(?:(?<![\w.])[-+])?(?<![\w.])(?:[0-9]{1,3}(?:,[0-9]{3})++|[0-9]++)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?"
    r"(?!\.?[0-9])"
)
_KINDS = {
    "emails": re.compile(_EMAIL),
    "links": re.compile(_LINK),
    "dates": re.compile(_DATE),
    "numbers": re.compile(_NUMBER),
}
_TIME = re.compile(r"(?<![\w:])[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?(?![\w:])")


@tool(hints="how many number of long length letters word line notes.txt")
def count_text(path: str, what: Literal["lines", "words", "characters"], *, ctx: Context) -> str:
    """Count the lines, words or characters of a file."""
    text = read_text(ctx, path)
    if what == "lines":
        return str(len(text.splitlines()))
    return str(len(text.split()) if what == "words" else len(text.removesuffix("\n")))


@tool(hints="how many times number occurrences occur appear mention contain frequency word notes.txt")
def count_matches(path: str, text: str, *, ctx: Context) -> str:
    """Count how often a text stands in a file."""
    if not text:
        raise ToolError("the text is empty: say what to count")
    return str(read_text(ctx, path).lower().count(text.lower()))


@tool(hints="e-mail mail address addresses urls url date list all which pull collect contain notes.txt")
def extract_text(path: str, kind: Literal["emails", "numbers", "dates", "links"], *, ctx: Context) -> str:
    """Extract emails, numbers, dates or links from a file."""
    text = read_text(ctx, path)
    if kind == "numbers":  # those of a date, a time or an address are not numbers of their own
        for other in (_KINDS["emails"], _KINDS["links"], _KINDS["dates"], _TIME):
            text = other.sub(" ", text)
    found = [match[0] for match in _KINDS[kind].finditer(text)]
    if kind != "numbers":  # a number that stands twice counts twice in a sum
        known: dict[str, str] = {}
        for each in found:
            known.setdefault(each.casefold(), each)
        found = list(known.values())
    return "\n".join(found) or f"There are no {kind}."


@tool(
    effects=("write",),
    hints="all throughout each change swap substitute with for fill in placeholder notes.txt",
)
def replace_all(path: str, old: str, new: str, *, ctx: Context) -> str:
    """Replace every occurrence of a text in a file."""
    text = raw_text(ctx, path)
    if "\r\n" in text:  # the model was shown the text without the \r
        old, new = (part.replace("\r\n", "\n").replace("\n", "\r\n") for part in (old, new))
    found = text.count(old) if old else 0
    if not found:
        raise ToolError(f"{old!r} does not stand in {path}; read it and name a text that does")
    if len(text) + found * (len(new) - len(old)) > _LARGEST:
        raise ToolError(f"{path} would become too large")
    store_text(ctx, path, text.replace(old, new))
    return f"Replaced {counted(found, 'time')} in {path}."


@tool(
    hints="diff difference differ changed between same identical equal only lines not other old.txt new.txt"
)
def compare_files(first: str, second: str, *, ctx: Context) -> str:
    """Compare two files."""
    one, two = (read_text(ctx, name).splitlines() for name in (first, second))
    if one == two:
        return "They are the same."
    only = [*_only_in(first, one, two), *_only_in(second, two, one)]
    return "\n".join(only) or "They have the same lines in another order."


def _only_in(name: str, lines: Sequence[str], others: Sequence[str]) -> list[str]:
    """The lines that the others have not, or not as often, in order."""
    left = Counter(others)
    missing = []
    for line in lines:
        left[line] -= 1
        if left[line] < 0:
            missing.append(f"Only in {name}: {line or '(an empty line)'}")
    more = len(missing) - _SHOWN_LINES
    return missing[:_SHOWN_LINES] + ([f"… {more} more lines only in {name}"] if more > 0 else [])


TOOLS = [count_text, count_matches, extract_text, replace_all, compare_files]
