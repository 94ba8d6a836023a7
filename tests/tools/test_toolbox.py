"""Toolboxes, and tools from a file of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoagent.errors import InvalidCall, UsageError
from autoagent.tools import Context, Toolbox, builtin_tools, tools_from_file
from autoagent.workspace import Workspace

OWN = '''
from __future__ import annotations
from autoagent import tool
from autoagent.tools.files import read_file  # another's: not taken again

PRICES = {"milk": 2}

def helper() -> int:
    return 1

@tool
def price(item: str) -> int:
    """Look up the price of an item."""
    return PRICES[item] * helper()

@tool(effects=("write",), hints="stock")
def restock(item: str, count: int = 1) -> None:
    """Add to the stock."""
    PRICES[item] = count
'''


@pytest.fixture
def own(tmp_path: Path) -> Path:
    file = tmp_path / "my tools.py"
    file.write_text(OWN, encoding="utf-8")
    return file


def test_a_files_own_tools_are_found_in_their_order_and_work(own: Path, tmp_path: Path) -> None:
    price, restock = tools_from_file(own)
    assert (price.name, restock.name, restock.effects, restock.hints) == (
        "price",
        "restock",
        ("write",),
        "stock",
    )
    context = Context(workspace=Workspace.at(tmp_path))
    assert restock({"item": "milk", "count": 3}, context) == "Done."
    assert price({"item": "milk"}, context) == "3"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("x = 1\n", r"defines no tool: put @tool above a function"),
        ("from autoagent.tools.files import read_file\n", "defines no tool"),
        ("import no_such_module_7\n", r", line 1: ModuleNotFoundError: No module named 'no_such_module_7'"),
        ("\n\nx = 1 / 0\n", ", line 3: ZeroDivisionError: division by zero"),
        ("def f(:\n", r": SyntaxError: .*line 1"),
        ("import sys\nsys.exit(3)\n", ", line 2: SystemExit: 3"),
        (
            "from autoagent import tool\n@tool\ndef f(x: str) -> str:\n    return x\n",
            "tool f has no docstring",
        ),
        (b"x = 'caf\xe9'\n", "SyntaxError"),
    ],
)
def test_a_file_that_gives_no_tools_says_why_in_one_line(own: Path, content: str | bytes, said: str) -> None:
    own.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError, match=said) as error:
        tools_from_file(own)
    assert "\n" not in str(error.value)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.py", tmp_path):
        with pytest.raises(UsageError, match=r"tools file .* (is no file|does not exist)"):
            tools_from_file(path)
    (tmp_path / "tools.txt").write_text(OWN, encoding="utf-8")
    with pytest.raises(UsageError, match="is not a Python file"):
        tools_from_file(tmp_path / "tools.txt")


def test_a_clash_of_names_is_refused(own: Path) -> None:
    with pytest.raises(
        UsageError, match=r"two tools are named price \(.*my tools.py and .*my tools.py\): rename one of them"
    ):
        Toolbox([*tools_from_file(own), *tools_from_file(own)])


def test_tools_are_found_by_name_and_a_wrong_name_is_told_the_right_ones(own: Path) -> None:
    box = Toolbox(tools_from_file(own))
    assert ("price" in box, "prices" in box, len(box)) == (True, False, 2)
    assert box["price"].name == "price"
    with pytest.raises(InvalidCall, match="there is no tool prices; the tools are price, restock"):
        box["prices"]


@pytest.mark.parametrize("at_most", [3, 8, 12, 100])
def test_the_ways_to_end_are_always_shown_and_last(at_most: int) -> None:
    box = Toolbox(builtin_tools())
    names = [each.name for each in box.shown_for("Read notes.txt", at_most=at_most)]
    assert len(names) == min(at_most, len(box))
    assert names[-2:] == ["finish", "decline"]
    assert names[0] == "read_file"


def test_built_in_tools_have_names_descriptions_and_schemas_of_their_own() -> None:
    tools = builtin_tools()
    assert len({each.name for each in tools}) == len({each.description for each in tools}) == len(tools)
    for each in tools:
        assert each.parameters["type"] == "object"
        assert each.parameters["additionalProperties"] is False
