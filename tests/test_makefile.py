"""The two commands that set everything up take any goal, and say in one line what is wrong."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def make(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run make as a person would: without the variables of a make that runs the tests."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    for name in ("GOAL", "WORKSPACE", "PYTHON"):
        inherited.pop(name, None)
    return subprocess.run(
        ["make", *arguments], cwd=cwd, env=inherited | environment,
        capture_output=True, text=True, encoding="utf-8", timeout=60, check=False,
    )  # fmt: skip


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The Makefile beside an up-to-date environment whose ``autoagent`` writes down its arguments."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    command = tmp_path / ".venv" / "bin" / "autoagent"
    command.parent.mkdir(parents=True)
    command.write_text(
        f"#!{sys.executable}\nimport sys\n"
        "open('arguments', 'w', encoding='utf-8', newline='').write('\\0'.join(sys.argv[1:]))\n",
        encoding="utf-8",
    )
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    (command.parent / "python").symlink_to(sys.executable)
    (tmp_path / ".venv" / ".installed").touch()
    return tmp_path


GOALS = [
    """costs $5 and "x" it's `id` \\n \\\\ # not a comment $(shell touch harm) $$ ${HOME} 100 %""",
    "two\nlines, an open $( and a back\\\nslash",
    "--help me := with = this; touch harm && touch harm |",
    "日本語, naïve, €5",
    "$5",
    "'",
]


@pytest.mark.parametrize("goal", GOALS)
@pytest.mark.parametrize("way", ["argument", "environment"])
def test_make_run_passes_the_goal_unharmed(goal: str, way: str, checkout: Path) -> None:
    if way == "argument":
        outcome = make("run", f"GOAL={goal}", "WORKSPACE=my $work", cwd=checkout)
    else:
        outcome = make("run", cwd=checkout, GOAL=goal, WORKSPACE="my $work")
    assert (outcome.returncode, outcome.stderr) == (0, "")
    arguments = (checkout / "arguments").read_bytes().decode().split("\0")
    assert arguments == ["run", f"--goal={goal}", "--workspace=my $work"]
    assert (checkout / "my $work").is_dir()
    assert not (checkout / "harm").exists()


def test_make_run_makes_the_default_workspace(checkout: Path) -> None:
    assert make("run", "GOAL=hello", cwd=checkout).returncode == 0
    assert (checkout / "workspace").is_dir()


@pytest.mark.parametrize("arguments", [[], ["GOAL="], ["GOAL=  "]])
def test_make_run_without_a_goal_says_how_to_give_one(arguments: list[str], checkout: Path) -> None:
    outcome = make("run", *arguments, cwd=checkout)
    assert outcome.returncode == 2
    assert 'usage: make run GOAL="' in outcome.stderr
    assert len(outcome.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("interpreter", "advice"),
    [
        ("exit 1", "needs Python 3.11 or newer"),  # what an older Python answers to the version question
        ('case "$*" in *ensurepip*) exit 1;; esac', "apt install python3-venv"),
    ],
)
def test_make_says_in_one_line_what_is_wrong_with_the_interpreter(
    interpreter: str, advice: str, checkout: Path
) -> None:
    shutil.rmtree(checkout / ".venv")
    python = checkout / "some-python"
    python.write_text(f"#!/bin/sh\n{interpreter}\n", encoding="utf-8")
    python.chmod(0o755)
    outcome = make("run", "GOAL=hello", f"PYTHON={python}", cwd=checkout)
    assert outcome.returncode == 2
    assert advice in outcome.stderr
    assert len(outcome.stderr.splitlines()) == 1


def test_make_refuses_windows_in_one_line(checkout: Path) -> None:
    outcome = make("test", cwd=checkout, OS="Windows_NT")
    assert outcome.returncode == 2
    assert "Windows" in outcome.stderr
    assert len(outcome.stderr.splitlines()) == 1
