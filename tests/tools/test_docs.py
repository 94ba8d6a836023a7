"""docs/tools.md and docs/permissions.md against the program."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from autoagent.security import Rules, SandboxLimits
from autoagent.security.hosts import check_hosts
from autoagent.tools import Context, builtin_tools, tools_from_file
from autoagent.workspace import Workspace

DOCS = Path(__file__).resolve().parents[2] / "docs"
TOOLS = (DOCS / "tools.md").read_text(encoding="utf-8")
PERMISSIONS = (DOCS / "permissions.md").read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def test_the_first_example_prints_what_it_says(tmp_path: Path) -> None:
    command = [sys.executable, "-c", blocks(TOOLS, "python")[0]]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8")
    assert done.stdout == blocks(TOOLS, "text")[0], done.stderr


def test_the_second_example_works(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(blocks(TOOLS, "python")[1], encoding="utf-8")
    (archive,) = tools_from_file(file)
    context = Context(Workspace.at(tmp_path))
    assert archive({"path": "mine.py"}, context) == "Moved to archive/mine.py."
    assert (tmp_path / "archive" / "mine.py").is_file()


def test_all_built_in_tools_are_in_the_table_with_their_effects() -> None:
    said = {}
    for line in re.findall(r"^\| (`\w+`.*) \|$", TOOLS.partition("## Built-in tools")[2], re.MULTILINE):
        names, *_, effects = line.split(" | ")
        said |= {name: effects for name in re.findall(r"`(\w+)`", names)}
    assert said == {tool.name: ", ".join(tool.effects) or "none" for tool in builtin_tools()}


def test_the_rules_and_hosts_that_are_shown_are_valid() -> None:
    (example,) = blocks(PERMISSIONS, "toml")
    rules = Rules(**{key: tuple(texts) for key, texts in tomllib.loads(example)["permissions"].items()})
    assert not rules.naming_nothing(tuple(tool.name for tool in builtin_tools()))
    entries = re.findall(
        r"`([^`]+)`", "".join(re.findall(r"^\| (`.*?) \|", PERMISSIONS.partition("| entry |")[2], re.M))
    )
    assert len(entries) == 9
    check_hosts(entries)


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("seconds", "60 seconds"),
        ("memory", "2 GiB of memory"),
        ("processes", "128 processes"),
        ("file_size", "1 GiB for a file"),
        ("output", "50 kB"),
    ],
)
def test_the_limits_that_are_told_are_the_limits(field: str, said: str) -> None:
    units = {"GiB": 2**30, "kB": 1000}
    number, unit, *_ = said.split()
    assert getattr(SandboxLimits(), field) == int(number) * units.get(unit, 1)
    assert said in " ".join(PERMISSIONS.split())
