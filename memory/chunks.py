"""Documents in parts that can be recalled one by one: whole paragraphs where they fit, lines always known."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser

from autoagent.memory.protocol import Chunk

SIZE = 800  # characters of a chunk, about 200 tokens: small sentence embedders read 256
OVERLAP = 100  # characters of the end of one chunk that the next begins with, in whole lines
ENOUGH = 200  # characters after which a heading or a new definition begins a chunk

_HEADING = re.compile(r"#{1,6} |={3,}\s*$|-{3,}\s*$")
_DEFINITION = re.compile(r"(?:async def|def|class|func|fn|function|pub|public|export|type|struct|impl)\b")
_BREAK = re.compile(r"[\s,;]")


class _Builder:
    """Lines in, chunks out; ``title`` is repeated on top of chunks that begin without one."""

    def __init__(self) -> None:
        self.title = ""
        self._lines: list[tuple[int, str]] = []  # number, text
        self._fresh = False  # whether there is more than what the last chunk ended with

    def size(self) -> int:
        return sum(len(text) + 1 for _, text in self._lines)

    def put(self, number: int, text: str) -> None:
        self._lines.append((number, text))
        self._fresh = self._fresh or bool(text.strip())

    def flush(self, *, overlap: bool) -> Iterator[Chunk]:
        """Yield what there is; with ``overlap`` its last lines stay."""
        lines = [line for line in self._lines if line[1].strip()]
        if lines and self._fresh:
            text = "\n".join(text for number, text in self._lines if lines[0][0] <= number <= lines[-1][0])
            shown = text if not self.title or self.title in text else f"{self.title}\n{text}"
            yield Chunk(shown, lines[0][0], lines[-1][0])
        kept: list[tuple[int, str]] = []
        while (
            overlap and self._lines and sum(len(t) + 1 for _, t in kept) + len(self._lines[-1][1]) < OVERLAP
        ):
            kept.insert(0, self._lines.pop())
        self._lines, self._fresh = kept, False


def chunks(text: str, kind: str = "") -> list[Chunk]:
    """Return the parts of a document, in order.

    Args:
        text: The whole document.
        kind: Its file name's ending: ``.html`` is read as a page, the first line of ``.csv`` and ``.tsv`` and
            the headings of other text stand on top of every part below them.
    """
    lines = _page_lines(text) if kind in (".html", ".htm", ".xhtml") else text.splitlines()
    table, headed = kind in (".csv", ".tsv"), kind not in (".py", ".sh", ".yaml", ".yml", ".toml", ".ini")
    builder = _Builder()
    found: list[Chunk] = []
    for number, line in enumerate(lines, start=1):
        heading = not table and headed and _HEADING.match(line) is not None and line.startswith("#")
        begins = heading or (not table and _DEFINITION.match(line) is not None)
        if begins and (heading or builder.size() >= ENOUGH):
            found += builder.flush(overlap=False)
        elif not line.strip() and builder.size() >= SIZE * 3 // 4:
            found += builder.flush(overlap=False)  # the end of a paragraph is the best place to part
        if heading or (table and number == 1):
            builder.title = line.strip()[:OVERLAP]
        for piece in _pieces(line):
            if builder.size() and builder.size() + len(piece) > SIZE:
                found += builder.flush(overlap=not table)
            builder.put(number, piece)
    return found + list(builder.flush(overlap=False))


def _pieces(line: str) -> Iterator[str]:
    """Yield the line, or parts of at most ``SIZE`` characters, cut between words where there are any."""
    while len(line) > SIZE:
        at = max((match.end() for match in _BREAK.finditer(line, SIZE // 2, SIZE)), default=SIZE)
        yield line[:at]
        line = line[at:]
    yield line


class _Page(HTMLParser):
    """Collects the readable text of a page by the line it stands in."""

    _HIDDEN = frozenset({"script", "style", "template", "noscript", "svg"})
    _INLINE = frozenset(
        {
            "a",
            "abbr",
            "b",
            "code",
            "em",
            "i",
            "kbd",
            "mark",
            "s",
            "small",
            "span",
            "strong",
            "sub",
            "sup",
            "u",
        }
    )

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.lines: dict[int, str] = {}
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: Iterable[tuple[str, str | None]]) -> None:
        self._hidden += tag in self._HIDDEN
        if re.fullmatch(r"h[1-6]", tag):
            self._say(self.getpos()[0], "# ")
        elif tag not in self._INLINE:
            self._say(self.getpos()[0], " ")

    def handle_endtag(self, tag: str) -> None:
        self._hidden = max(0, self._hidden - (tag in self._HIDDEN))

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            for number, part in enumerate(data.split("\n"), start=self.getpos()[0]):
                self._say(number, part)

    def _say(self, number: int, text: str) -> None:
        self.lines[number] = re.sub(r"\s+", " ", self.lines.get(number, "") + text).lstrip()


def _page_lines(text: str) -> list[str]:
    """The text of an HTML page, one line for each of its lines."""
    page = _Page()
    page.feed(text)
    page.close()
    return [page.lines.get(number, "") for number in range(1, len(text.splitlines()) + 1)]
