"""JSON and the rows of tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoagent.errors import ToolError

from .conftest import Use

CSV = "name; price\nTea;3.5\nrice;2\nTEA;4\n"
JSON = '[{"name": "Tea", "price": 3.5}, {"name": "rice", "price": 2, "stock": null}]'


@pytest.fixture(autouse=True)
def _files(root: Path) -> None:
    for name, text in {
        "a.csv": CSV,
        "p.csv": "name,price,day\na,3,2026-01-01\nb,10,2025-01-01\nc,10,2026-02-01\nd,,\ne\n",
        "a.json": JSON,
        "a.jsonl": '{"x": 1}\n\n{"x": 2}\n',
        "set.json": '{"servers": [{"name": "one", "port": 80}], "a.b": 1, "on": true}',
        "bad.json": "{",
        "list.json": "[1, 2]",
        "none.json": "[]",
    }.items():
        (root / name).write_text(text, encoding="utf-8")


def test_rows_that_have_a_value_are_shown(use: Use) -> None:
    shown = use("select_rows", path="a.csv", column="Name", value=" tea")
    assert shown == "name: Tea, price: 3.5\nname: TEA, price: 4"
    shown = use("select_rows", path="a.json", column="name", value="rice")
    assert shown == "name: rice, price: 2, stock: "
    assert use("select_rows", path="a.csv", column="name", value="salt") == "No row has salt in name."
    with pytest.raises(ToolError, match=r"a\.csv has no column colour; its columns are name, price"):
        use("select_rows", path="a.csv", column="colour", value="red")


@pytest.mark.parametrize(
    ("comparison", "value", "names"),
    [
        ("=", "10.0", "b c"),
        ("!=", "10", "a d e"),
        (">", "3", "b c"),
        ("<", "10", "a"),
        (">=", "10", "b c"),
        ("<=", " 3 ", "a"),
        (">", "9.99", "b c"),
    ],
)
def test_rows_are_compared_with_a_number(use: Use, comparison: str, value: str, names: str) -> None:
    arguments = {"path": "p.csv", "column": "price", "value": value, "comparison": comparison}
    lines = use("select_rows", **arguments).splitlines()
    assert " ".join(line.removeprefix("name: ")[0] for line in lines) == names


def test_rows_are_compared_with_a_date(use: Use) -> None:
    shown = use("select_rows", path="p.csv", column="day", value="2026-01-01", comparison=">=")
    assert shown == "name: a, price: 3, day: 2026-01-01\nname: c, price: 10, day: 2026-02-01"
    none = use("select_rows", path="p.csv", column="day", value="2030-01-01", comparison=">")
    assert none == "No row has day > 2030-01-01."


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"column": "price", "value": "b"}, "'b' is no number or date; words are compared with = or !="),
        ({"column": "name", "value": "5"}, r"column name of p\.csv is not all numbers or dates: 'a'"),
        (
            {"column": "day", "value": "5"},
            r"column day of p\.csv has 2026-01-01, which cannot be compared with 5",
        ),
        ({"column": "age", "value": "5"}, r"p\.csv has no column age; its columns are name, price, day"),
    ],
)
def test_what_cannot_be_compared_is_said(use: Use, arguments: dict[str, str], said: str) -> None:
    with pytest.raises(ToolError, match=said):
        use("select_rows", path="p.csv", comparison=">", **arguments)


@pytest.mark.parametrize(
    ("column", "which", "shown"),
    [
        ("price", "min", "name: a, price: 3, day: 2026-01-01"),
        ("Price", "max", "name: b, price: 10, day: 2025-01-01\nname: c, price: 10, day: 2026-02-01"),
        ("day", "max", "name: c, price: 10, day: 2026-02-01"),
        ("day", "min", "name: b, price: 10, day: 2025-01-01"),
    ],
)
def test_the_row_with_the_largest_or_smallest_value_is_shown(
    use: Use, column: str, which: str, shown: str
) -> None:
    assert use("extreme_row", path="p.csv", column=column, which=which) == shown


def test_the_largest_row_of_json_and_of_many_equal_ones(use: Use, root: Path) -> None:
    assert use("extreme_row", path="a.json", column="price", which="max") == "name: Tea, price: 3.5, stock: "
    (root / "same.csv").write_text("n\n" + "1\n" * 99, encoding="utf-8")
    shown = use("extreme_row", path="same.csv", column="n", which="max").splitlines()
    assert shown == ["n: 1"] * 50 + ["… 99 rows in all"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("n,v\na,\n", "column v of t.csv is empty"),
        ("n,v\na,1\nb,two\n", "column v of t.csv is not all numbers or dates: 'two'"),
        ("n,v\na,1\nb,2026-01-01\n", "column v of t.csv has both numbers and dates"),
        ("n,v\na,nan\n", "column v of t.csv is not all numbers or dates: 'nan'"),
        ("n,w\na,1\n", "t.csv has no column v; its columns are n, w"),
    ],
)
def test_a_column_without_a_largest_value_is_said(use: Use, root: Path, content: str, said: str) -> None:
    (root / "t.csv").write_text(content, encoding="utf-8")
    with pytest.raises(ToolError) as error:
        use("extreme_row", path="t.csv", column="v", which="max")
    assert str(error.value) == said


def test_two_tables_are_joined(use: Use, root: Path) -> None:
    (root / "q.csv").write_text("city;NAME ;price\nRome;A;1\nOslo;b;2\nBonn;B;3\nKiel;;4\n", encoding="utf-8")
    arguments = {"first": "p.csv", "second": "q.csv", "column": "Name"}
    assert use("join_tables", **arguments, target="out/j.csv") == "Wrote 3 rows to out/j.csv."
    assert (root / "out" / "j.csv").read_text(encoding="utf-8").splitlines() == [
        "name,price,day,city,price_2",
        "a,3,2026-01-01,Rome,1",
        "b,10,2025-01-01,Oslo,2",
        "b,10,2025-01-01,Bonn,3",
    ]
    assert use("column_figure", path="out/j.csv", column="price_2", figure="sum") == "6"
    use("join_tables", **arguments, target="j.tsv")
    assert use("show_table", path="j.tsv") == use("show_table", path="out/j.csv")


def test_tables_with_nothing_in_common_and_json_are_joined(use: Use, root: Path) -> None:
    arguments = {"first": "p.csv", "second": "a.json", "column": "name", "target": "j.csv"}
    assert use("join_tables", **arguments) == "Wrote 0 rows to j.csv."
    assert (root / "j.csv").read_text(encoding="utf-8") == "name,price,day,price_2,stock\n"
    arguments |= {"first": "a.csv"}
    assert use("join_tables", **arguments) == "Wrote 3 rows to j.csv."


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"column": "day"}, "a.csv has no column day; its columns are name, price"),
        ({"second": "none.csv"}, "no such file: none.csv"),
        ({"target": "j.json"}, "the result is a CSV table; give j.json a name that ends in .csv"),
        ({"target": "../j.csv"}, "../j.csv is outside the workspace; use a path inside it"),
        ({"target": "@kept/j.csv"}, "@kept/j.csv can only be read"),
        (
            {"first": "big.csv", "second": "big.csv"},
            "the result has too many rows; name has the same values again and again",
        ),
    ],
)
def test_why_tables_are_not_joined_is_said(
    use: Use, root: Path, arguments: dict[str, str], said: str
) -> None:
    (root / "big.csv").write_text("name,x\n" + "a,1\n" * 1000, encoding="utf-8")
    call = {"first": "p.csv", "second": "a.csv", "column": "name", "target": "j.csv", **arguments}
    with pytest.raises(ToolError) as error:
        use("join_tables", **call)
    assert str(error.value) == said
    assert not (root / "j.csv").exists()


def test_json_lists_are_tables_too(use: Use) -> None:
    assert use("show_table", path="a.json") == "name, price, stock\nTea, 3.5, \nrice, 2, "
    assert use("column_figure", path="a.json", column="price", figure="sum") == "5.5"
    assert use("column_figure", path="a.jsonl", column="x", figure="max") == "2"
    for name, said in (
        ("bad.json", "is not JSON"),
        ("list.json", "list of objects"),
        ("none.json", "is empty"),
    ):
        with pytest.raises(ToolError, match=said):
            use("show_table", path=name)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("servers[0].name", "one"),
        ("servers.0.port", "80"),
        ("servers[-1]", '{\n "name": "one",\n "port": 80\n}'),
        ("on", "true"),
    ],
)
def test_a_value_of_a_document_is_looked_up(use: Use, key: str, value: str) -> None:
    assert use("json_value", path="set.json", key=key) == value


@pytest.mark.parametrize(
    ("path", "key", "said"),
    [
        ("set.json", "server", "there is no server; there are servers, a.b, on"),
        ("set.json", "servers[3]", "there is no 3 in a list of 1"),
        ("set.json", "servers.x", "there is no x in a list of 1"),
        ("set.json", "on.x", "there is no x"),
        ("set.json", "a[", "cannot be a key"),
        ("set.json", f"servers[{'9' * 5_000}]", "cannot be a key"),
        ("bad.json", "a", "bad.json is not JSON"),
        ("none", "a", "no such file: none"),
    ],
)
def test_what_is_not_there_is_said(use: Use, path: str, key: str, said: str) -> None:
    with pytest.raises(ToolError) as error:
        use("json_value", path=path, key=key)
    assert said in str(error.value)
