"""What README and docs show is true: their Python prints what they say, their commands exist and succeed."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments, cwd=folder, capture_output=True, text=True, encoding="utf-8", timeout=300, check=False
    )


def test_the_python_of_the_readme_prints_what_it_says(tmp_path: Path) -> None:
    programs, outputs = blocks(ROOT / "README.md", "python"), blocks(ROOT / "README.md", "text")
    assert len(programs) == len(outputs) >= 1
    for program, output in zip(programs, outputs, strict=True):
        done = run([sys.executable, "-c", program], tmp_path)
        assert done.stdout == output, done.stderr


def test_the_commands_of_the_readme_succeed(tmp_path: Path) -> None:
    commands = [
        line.removeprefix("$ ")
        for block in blocks(ROOT / "README.md", "console")
        for line in block.splitlines()
    ]
    day_to_day = [
        line for line in commands if not line.startswith(("autoagent finetune", "autoagent models rollback"))
    ]
    assert len(day_to_day) >= 8
    for line in day_to_day:
        done = run([sys.executable, "-m", *shlex.split(line)], tmp_path)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing
