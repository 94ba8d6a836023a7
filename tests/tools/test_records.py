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
        "a.json": JSON,
        "a.jsonl": '{"x": 1}\n\n{"x": 2}\n',
        "set.json": '{"servers": [{"name": "one", "port": 80}], "a.b": 1, "on": true}',
        "bad.json": "{",
        "list.json": "[1, 2]",
        "none.json": "[]",
    }.items():
        (root / name).write_text(text, encoding="utf-8")


def test_rows_that_have_a_value_are_shown(use: Use) -> None:
    assert use("select_rows", path="a.csv", column="Name", value=" tea") == "name, price\nTea, 3.5\nTEA, 4"
    assert use("select_rows", path="a.json", column="name", value="rice") == "name, price, stock\nrice, 2, "
    assert use("select_rows", path="a.csv", column="name", value="salt") == "No row has salt in name."
    with pytest.raises(ToolError, match=r"a\.csv has no column colour; its columns are name, price"):
        use("select_rows", path="a.csv", column="colour", value="red")


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
        ("bad.json", "a", "bad.json is not JSON"),
        ("none", "a", "no such file: none"),
    ],
)
def test_what_is_not_there_is_said(use: Use, path: str, key: str, said: str) -> None:
    with pytest.raises(ToolError) as error:
        use("json_value", path=path, key=key)
    assert said in str(error.value)
