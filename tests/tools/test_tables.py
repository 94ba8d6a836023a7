"""CSV tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autoagent.errors import InvalidCall, ToolError

from .conftest import Use

PRICES = "item,price,note\nmilk,1.5,\nbread,2,fresh\nsalt,-0.25,\n"


@pytest.fixture(autouse=True)
def _tables(root: Path) -> None:
    (root / "prices.csv").write_text(PRICES, encoding="utf-8")


@pytest.mark.parametrize(
    ("column", "figure", "result"),
    [
        ("price", "sum", "3.25"),
        ("price", "mean", "1.083333"),
        ("price", "min", "-0.25"),
        ("price", "max", "2"),
        ("price", "count", "3"),
        (" PRICE ", "max", "2"),
        ("note", "count", "1"),
    ],
)
def test_figures_of_a_column(use: Use, column: str, figure: str, result: str) -> None:
    assert use("column_figure", path="prices.csv", column=column, figure=figure) == result


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfprice;item\n1;a\n2;b\n",
        b"price\titem\r\n1\ta\r\n2\tb\r\n",
        b'price,item\n1,"a, b"\n\n2,"c\nd"\n',
        b"price\n1\n2",
        b"price,item\n1 000,a\n-997,b\n",
    ],
    ids=["byte order mark, semicolons", "tabs, line ends of Windows", "quotes", "one column", "thousands"],
)
def test_tables_of_many_makes(use: Use, root: Path, content: bytes) -> None:
    (root / "t.csv").write_bytes(content)
    assert use("column_figure", path="t.csv", column="price", figure="sum") == "3"


def test_the_first_rows(use: Use, root: Path) -> None:
    assert use("show_table", path="prices.csv") == PRICES.replace(",", ", ").removesuffix("\n")
    (root / "long.csv").write_text("n\n" + "\n".join(map(str, range(100))), encoding="utf-8")
    assert use("show_table", path="long.csv").splitlines() == [
        "n",
        "0",
        "1",
        "2",
        "3",
        "4",
        "… 100 rows in all",
    ]


@pytest.mark.parametrize(
    ("content", "arguments", "said"),
    [
        (b"a,b\n", {"column": "a"}, "column a of t.csv is empty"),
        (b"a,b\n1,2\n", {"column": "c"}, "t.csv has no column c; its columns are a, b"),
        (b"a\nx\n", {"column": "a"}, "column a of t.csv is not all numbers: .*'x'"),
        (b"a\n1\nnan\n", {"column": "a"}, "not a finite number"),
        (b"", {"column": "a"}, "t.csv is empty"),
        (b"a\n\xff\n", {"column": "a"}, "t.csv is not UTF-8 text"),
        (b"a\n" + b"9" * 200_000, {"column": "a"}, "t.csv is not a table: field larger than field limit"),
        (b"a\n1\n", {"path": "u.csv", "column": "a"}, "no such file: u.csv"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(
    use: Use, root: Path, content: bytes, arguments: dict[str, Any], said: str
) -> None:
    (root / "t.csv").write_bytes(content)
    with pytest.raises(ToolError, match=said):
        use("column_figure", **{"path": "t.csv", "figure": "sum", **arguments})


def test_other_figures_are_no_valid_call(use: Use) -> None:
    with pytest.raises(InvalidCall, match="column_figure: figure: Input should be 'count', 'sum'"):
        use("column_figure", path="prices.csv", column="price", figure="median")


@pytest.mark.parametrize(
    ("content", "column", "order", "after"),
    [
        ("n,p\na,10\nb,9\nc,-1\n", "P", "ascending", "n,p\nc,-1\nb,9\na,10\n"),
        ("n,p\na,10\nb,9\nc,11\n", "p", "descending", "n,p\nc,11\na,10\nb,9\n"),
        ("n;p\r\nb;\r\nc;2\r\na;1\r\n", "p", "descending", "n;p\r\nc;2\r\na;1\r\nb;\r\n"),
        ('\ufeffn,p\nb,"x, y"\nB,2\na,3\n', "n", "ascending", '\ufeffn,p\na,3\nb,"x, y"\nB,2\n'),
        (
            "d\n2026-02-01\n2025-12-31\n2026-01-10\n",
            "d",
            "ascending",
            "d\n2025-12-31\n2026-01-10\n2026-02-01\n",
        ),
        ("n,p\na\nb,1\nc,0\n", "p", "ascending", "n,p\nc,0\nb,1\na\n"),
    ],
    ids=["numbers", "descending", "empty cells last", "words", "dates", "short rows"],
)
def test_a_table_is_sorted(use: Use, root: Path, content: str, column: str, order: str, after: str) -> None:
    path = root / "t.csv"
    path.write_bytes(content.encode())
    assert use("sort_table", path="t.csv", column=column, order=order) == "Sorted 3 rows of t.csv."
    assert path.read_bytes() == after.encode()


def test_a_table_that_cannot_be_sorted_is_left_as_it_is(use: Use, root: Path) -> None:
    with pytest.raises(ToolError, match=r"prices\.csv has no column age; its columns are item, price, note"):
        use("sort_table", path="prices.csv", column="age")
    (root / "t.json").write_text('[{"a": 1}]', encoding="utf-8")
    with pytest.raises(ToolError, match=r"t\.json is JSON; only CSV and TSV tables can be sorted"):
        use("sort_table", path="t.json", column="a")
    assert (root / "prices.csv").read_text(encoding="utf-8") == PRICES
