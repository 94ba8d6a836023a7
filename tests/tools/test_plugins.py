"""Tools of installed packages: real ones, laid out as pip does it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from autoagent.errors import UsageError
from autoagent.tools import Toolbox, builtin_tools, plugin_tools

Install = Callable[..., None]

GOOD = '''
from autoagent import tool
from autoagent.tools.files import read_file

@tool(effects=("network",))
def forecast(city: str) -> str:
    """Tell the weather of a city."""
    return f"sun in {city}"

@tool
def moon(date: str) -> str:
    """Tell the phase of the moon."""
    return "full"

both = [forecast, moon]
'''


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a distribution with one module and entry points where Python finds it."""
    monkeypatch.syspath_prepend(tmp_path)
    made: list[str] = []

    def put(name: str, code: str, **entries: str) -> None:
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
        about = tmp_path / f"{name}-1.2.dist-info"
        about.mkdir()
        about.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        lines = "".join(f"{key} = {value}\n" for key, value in entries.items())
        about.joinpath("entry_points.txt").write_text(f"[autoagent.tools]\n{lines}", encoding="utf-8")
        made.append(name)

    yield put
    for name in made:
        sys.modules.pop(name, None)


def test_without_plug_ins_there_is_nothing_and_no_note() -> None:
    assert plugin_tools() == ([], [])


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("weather7", ["forecast", "moon"]),
        ("weather7:both", ["forecast", "moon"]),
        ("weather7:moon", ["moon"]),
    ],
)
def test_an_entry_point_names_a_module_a_list_or_a_tool(
    install: Install, value: str, names: list[str]
) -> None:
    install("weather7", GOOD, weather=value)
    tools, notes = plugin_tools()
    assert [each.name for each in tools] == names
    assert {each.source for each in tools} == {"package weather7 1.2"}
    assert notes == []
    assert set(names) <= {each.name for each in Toolbox([*tools, *builtin_tools()])}


@pytest.mark.parametrize(
    ("code", "entry", "said"),
    [
        ("import no_such_module_7", "bad7", "ModuleNotFoundError: No module named 'no_such_module_7'"),
        ("1 / 0", "bad7", "ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(3)", "bad7", "SystemExit: 3"),
        ("def f(:", "bad7", "SyntaxError"),
        ("x = 1", "bad7:missing", "AttributeError"),
        ("x = 1", "bad7", "holds no tool: put @tool above a function"),
        ("x = 1", "bad7:x", "holds no tool"),
        ("x = 'text'", "bad7:x", "holds no tool"),
        ("from autoagent import tool\n@tool\ndef f():\n    pass", "bad7", "tool f has no docstring"),
    ],
)
def test_one_that_fails_is_a_line_that_names_the_package_and_the_others_load(
    install: Install, code: str, entry: str, said: str
) -> None:
    install("bad7", code, bad=entry)
    install("weather7", GOOD, weather="weather7:moon")
    tools, (note,) = plugin_tools()
    assert [each.name for each in tools] == ["moon"]
    assert note.startswith("package bad7 1.2: ")
    assert said in note
    assert "\n" not in note


def test_a_clash_of_names_names_both(install: Install) -> None:
    install("weather7", GOOD.replace("moon", "read_file"), weather="weather7:read_file")
    tools, _ = plugin_tools()
    with pytest.raises(
        UsageError, match=r"two tools are named read_file \(package weather7 1.2 and built in\)"
    ):
        Toolbox([*tools, *builtin_tools()])
