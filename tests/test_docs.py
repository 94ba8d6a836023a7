"""What README and docs show is true. How a code block is marked says what is done with it:

``python`` is run by itself; a ``text`` block right below it is what it prints. ``console`` is run line by
line, all of a page in one folder; what stands below a command is what it prints. ``toml`` and ``json`` are
read. Commands in other blocks (``sh``: what needs a server, a person, or long) are held to commands and
options that exist.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
from typer.core import TyperGroup

from autoagent import events
from autoagent.cli import main
from autoagent.cli.commands import COMMANDS, load
from autoagent.evals import load_suite
from autoagent.models.versions import WEIGHTS
from autoagent.security import Rules
from autoagent.settings import load_settings
from autoagent.tools import builtin_tools

from .test_packaging import AREAS, LAYERS

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    page.relative_to(ROOT).as_posix(): page
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
}
ELSEWHERE = {"docs/configuration.md", "docs/prompts.md"}  # run by tests/cli/test_settings_docs.py
NEEDS_A_SERVER = {"docs/remote.md"}  # run by tests/models/test_remote_answers.py, which has one
FILES = {  # what the pages speak of
    "bill.txt": "rope 12\nlamp 25\n",
    "my-suite.toml": (ROOT / "examples" / "suite.toml").read_text(encoding="utf-8"),
    "letters/anna.txt": (ROOT / "examples" / "letters" / "anna.txt").read_text(encoding="utf-8"),
}
PLACEHOLDERS = {"PATH-OR-ID": str(WEIGHTS)}
SHELL = {"|", "||", "&&", ">"}  # words that only a shell can make something of
VARYING = (  # what is different in each run, on each machine, or with the next weights
    (re.compile(r"\br(?=\w*\d)[0-9a-z]{11}\b"), "RUN"),
    (re.compile(r"\b[0-9a-f]{12,64}\b|\b[0-9a-f]{8}…"), "HASH"),
    (re.compile(r"\b\d[\d,]*(?= (?:cached|read|forced|sampled|tokens)\b)"), "N"),
    (re.compile(r"\b\d+\.\d+ s\b"), "S"),
    (re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d\b"), "WHEN"),
)


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str
    follows: bool  # stands right below another one


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = list(re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    ends = [-1, *(each.end() for each in found)]
    return [
        Block(each[1], each[2], not text[end : each.start()].strip() and end >= 0)
        for each, end in zip(found, ends, strict=False)
    ]


def with_(*languages: str) -> list[str]:
    return sorted(
        name for name, page in PAGES.items() if {each.language for each in blocks(page)} & {*languages}
    )


def same(text: str) -> str:
    """The text without what varies; columns may shift with it."""
    for pattern, name in VARYING:
        text = pattern.sub(name, text)
    return "\n".join(" ".join(line.split()) for line in text.strip().splitlines())


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        arguments, cwd=folder, env={**os.environ, "PATH": programs}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, encoding="utf-8", timeout=300, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", with_("python"))
def test_programs_run_and_print_what_the_page_says(name: str, tmp_path: Path) -> None:
    for file, text in FILES.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text, encoding="utf-8")
    shown = blocks(PAGES[name])
    for number, block in enumerate(shown):
        if block.language != "python":
            continue
        compile(block.text, name, "exec")
        if name in NEEDS_A_SERVER:
            continue
        done = run([sys.executable, "-c", block.text], tmp_path)
        assert done.returncode == 0, done.stdout
        after = shown[number + 1] if number + 1 < len(shown) else None
        if after is not None and after.follows and after.language == "text":
            assert same(done.stdout) == same(after.text)


@pytest.mark.parametrize("name", sorted({*with_("console")} - ELSEWHERE))
def test_commands_succeed_and_print_what_the_page_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for file, text in FILES.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text, encoding="utf-8")
    for block in blocks(PAGES[name]):
        if block.language != "console":
            continue
        for line, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE):
            for placeholder, value in PLACEHOLDERS.items():
                line = line.replace(placeholder, value)
            words = shlex.split(line, comments=True)
            if words[0] == "autoagent" and not {*words} & SHELL:
                code = main(words[1:])  # as the shell would, but torch is imported only once
                said = "".join(capsys.readouterr())
            else:
                done = run(["sh", "-c", line], tmp_path)
                code, said = done.returncode, done.stdout
            assert code == 0, f"{line}\n{said}"
            assert not output.strip() or same(said) == same(output), line


@pytest.mark.parametrize("name", with_("toml", "json"))
def test_data_is_valid(name: str, tmp_path: Path) -> None:
    for block in blocks(PAGES[name]):
        if block.language == "json":
            json.loads(block.text)
        elif block.language == "toml" and "task" in tomllib.loads(block.text):
            (tmp_path / "suite.toml").write_text(block.text, encoding="utf-8")
            load_suite(tmp_path / "suite.toml")
        elif block.language == "toml" and "project" not in tomllib.loads(block.text):
            (tmp_path / "config.toml").write_text(block.text, encoding="utf-8")
            said = load_settings(tmp_path).config.permissions
            rules = Rules(said.allow, said.ask, said.deny)
            assert rules.naming_nothing(tuple(tool.name for tool in builtin_tools())) == []


def typed_commands() -> list[tuple[str, str]]:
    """Every line of a block that calls autoagent, with its page."""
    found = []
    for name, page in PAGES.items():
        for block in blocks(page):
            if block.language in ("", "sh", "console"):
                for line in block.text.splitlines():
                    call = re.search(r"(?:^|\| )(?:\$ )?autoagent (.*)", line)
                    found += [(name, call[1])] if call and "error:" not in line else []
    return found


def options_of(command: Any) -> set[str]:
    own = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
    return {option for option in own if option.startswith("-")} | {"-h", "--help"}


@pytest.mark.parametrize(("name", "line"), typed_commands(), ids=lambda text: str(text)[:60])
def test_commands_and_options_that_are_shown_exist(name: str, line: str) -> None:
    words = [word for word in shlex.split(line, comments=True)]
    while words[0].startswith("--"):  # --profile NAME, --home DIR
        assert words[0] in ("--profile", "--home")
        words = words[2:]
    assert words[0] in COMMANDS
    command = load(words.pop(0))
    if isinstance(command, TyperGroup):
        command = command.commands[words.pop(0)]
    known = options_of(command)
    end = next((at for at, word in enumerate(words) if word in SHELL), len(words))
    for word in words[:end]:
        if re.fullmatch(r"--?[a-z][a-z-]*(=.*)?", word):
            assert word.partition("=")[0] in known, f"{name}: autoagent {line}"


@pytest.mark.parametrize("name", sorted(PAGES))
def test_links_lead_somewhere(name: str) -> None:
    page = PAGES[name]
    missing = []
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)]+)\)", page.read_text(encoding="utf-8")):
        file, _, anchor = target.partition("#")
        there = page.parent / file if file else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            missing.append(target)
    assert not missing


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_no_page_is_left_out_of_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    missing = [name for name in PAGES if name.startswith("docs/") and f"({Path(name).name})" not in index]
    assert missing == ["docs/README.md"]


def test_every_built_in_tool_is_in_the_table_with_its_effects() -> None:
    table = PAGES["docs/tools.md"].read_text(encoding="utf-8").partition("## Built-in tools\n")[2]
    rows = re.findall(r"^\| ((?:`\w+` ?)+)\| .* \| ([\w, ]+) \|$", table, re.MULTILINE)
    shown = {name: effects for names, effects in rows for name in re.findall(r"\w+", names)}
    assert shown == {tool.name: ", ".join(tool.effects) or "none" for tool in builtin_tools()}


def test_the_layers_and_events_of_the_architecture_are_those_of_the_program() -> None:
    page = PAGES["docs/architecture.md"].read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d+ \| (.*) \|$", page, re.MULTILINE)
    there = [{*layer} & AREAS - {"autoagent", "__main__"} for layer in LAYERS]
    assert [{*re.findall(r"\w+", row)} for row in rows] == [layer for layer in there if layer]
    listed = page.partition("### Events\n")[2].partition("##")[0]
    assert {each.__name__ for each in get_args(events.Event)} <= {*re.findall(r"`(\w+)`", listed)}
