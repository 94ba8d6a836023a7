"""Tables for goals about them: what stands in them, and how they are written to a file."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from autoagent.nano.families.base import Maker

SHOWN_ROWS = 5  # by show_table
_NAMED = re.compile(r"\b(in|of|at|from|into|\])(?<!table) \{p\}")

_KEYS = "name item product city student player member person article team customer country id".split()

_PEOPLE = ("name", "student", "player", "member", "person", "customer")

_GROUPS = {
    "city": "Kyoto Nairobi Bogota Lagos Perth Seoul".split(),  # none of words.PLACES
    "colour": "red blue green black white yellow".split(),
    "group": "A B C D north south".split(),
    "status": "open closed paid new done late".split(),
    "type": "small large basic extra fresh old".split(),
    "team": "red blue tigers lions eagles bears".split(),
    "country": "Spain Norway Chile Japan Kenya Peru".split(),
    "department": "sales support finance research office".split(),
}

_FOOD = (
    "milk bread eggs butter cheese apples pears rice pasta coffee tea sugar salt flour honey soap juice"
    " tomatoes onions garlic carrots potatoes beans lentils oats yogurt cream olives lemons nuts"
).split()


@dataclass(frozen=True)
class Table:
    """A table in the workspace; its first column names the rows, no two values of a column of numbers tie."""

    path: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[str, ...]
    group: str = ""  # a column of words that repeat
    delimiter: str = ","

    @property
    def key(self) -> str:
        return self.header[0]

    @property
    def who(self) -> str:
        """What a question about one of its rows begins with."""
        return "who" if self.key in _PEOPLE else f"which {self.key}"

    def cells(self, column: str) -> list[str]:
        place = self.header.index(column)
        return [row[place] for row in self.rows]

    def pairs(self, row: Sequence[str], wanted: str) -> str:
        """A row with its headings, then the column that is wanted once more, as evidence."""
        cells = dict(zip(self.header, row, strict=True))
        listed = ", ".join(f"{name}: {cell}" for name, cell in cells.items())
        return f"{listed}; {wanted}: {cells[wanted]}"

    def content(self, rows: Sequence[Sequence[str]] | None = None) -> str:
        text = io.StringIO()
        writer = csv.writer(text, delimiter=self.delimiter, lineterminator="\n")
        writer.writerows([self.header, *(self.rows if rows is None else rows)])
        return text.getvalue().rstrip("\n")


def table(
    make: Maker,
    *,
    rows: tuple[int, int] = (2, 6),
    numeric: tuple[int, int] = (1, 3),
    grouped: bool = False,
    named: str = "",
    quoted: bool = True,
) -> Table:
    """A new table, put into the world.

    Args:
        rows: Fewest and most.
        numeric: Fewest and most columns of numbers.
        grouped: Whether it has a column of words that repeat.
        named: One of the columns of numbers, if it has to be a certain one.
        quoted: Whether its cells may be in quotes.
    """
    w, rng = make.words, make.rng
    key = rng.choice(_KEYS)
    group = rng.choice([name for name in _GROUPS if name != key]) if grouped else ""
    taken = {key, group, *_KEYS}
    columns: list[str] = [named] if named else []
    wanted = max(len(columns), rng.randint(*numeric))
    while len(columns) < wanted:
        name = w.column()
        if name not in taken and name not in columns:
            columns.append(name)
    rng.shuffle(columns)
    count = rng.randint(*rows)
    keys = _distinct(lambda: row_name(make, key), count)
    numbers = [_distinct(style(make, column), count) for column in columns]
    header, cells = [key, *columns], [keys, *numbers]
    if group:
        place = rng.randint(1, len(header))
        some = rng.sample(_GROUPS[group], min(count, rng.randint(2, 3)))
        header.insert(place, group)
        cells.insert(place, [rng.choice(some) for _ in range(count)])
    delimiter = ";" if rng.random() < 0.15 else ","
    found = Table(
        make.new_file("csv"),
        tuple(header),
        tuple(zip(*cells, strict=True)),
        tuple(columns),
        group,
        delimiter,
    )
    content = found.content()
    if quoted and rng.random() < 0.05:
        content = "\n".join(
            delimiter.join(f'"{cell}"' for cell in line.split(delimiter)) for line in content.split("\n")
        )
    make.put(found.path, content)
    return found


def row_name(make: Maker, key: str) -> str:
    w, rng = make.words, make.rng
    if key in _PEOPLE:
        return w.name()
    if key in ("city", "country"):
        return w.place()
    if key == "id":
        return (
            str(rng.randint(1, 999)) if rng.random() < 0.5 else f"{rng.choice('ABCDEF')}{rng.randint(1, 99)}"
        )
    return w.word() if rng.random() < 0.6 else w.pick(_FOOD)


def style(make: Maker, column: str) -> Callable[[], str]:
    """How the numbers of one column are drawn."""
    rng, w = make.rng, make.words
    if column in ("price", "cost", "budget", "salary") and rng.random() < 0.6:
        return lambda: f"{rng.uniform(0.2, 90):.2f}"
    kind = rng.random()
    if kind < 0.35:
        return lambda: str(rng.randint(1, 99))
    if kind < 0.65:
        return lambda: str(w.number())
    if kind < 0.8:
        return lambda: str(w.decimal())
    if kind < 0.9:
        return lambda: f"{rng.uniform(0.2, 90):.2f}"
    if kind < 0.95:
        return lambda: str(rng.randint(-20, 40))
    return lambda: str(1000 * rng.randint(1, 90))


def _distinct(draw: Callable[[], str], count: int) -> list[str]:
    """Values of which no two are alike, as words or as numbers."""
    found: dict[str | float, str] = {}
    while len(found) < count:
        text = draw()
        try:
            found.setdefault(float(text), text)
        except ValueError:
            found.setdefault(text.casefold(), text)
    return list(found.values())


def of_table(patterns: Sequence[str]) -> list[str]:
    """Patterns in which table p may also be called a table or a file."""
    return [_NAMED.sub(r"\1 [the table |the file |]{p}", pattern) for pattern in patterns]


def bracketed(number: str) -> str:
    """A negative number as it stands after a sign."""
    return f"({number})" if number.startswith("-") else number


def capital(text: str) -> str:
    """A large letter at the start, unless a name stands there: of a file or a column, say."""
    return text[0].upper() + text[1:] if text.startswith(("who", "which")) else text
