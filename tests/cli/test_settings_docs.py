"""docs/configuration.md and docs/prompts.md against the program."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from autoagent.prompts import NAMES
from autoagent.prompts.samples import SAMPLES
from autoagent.security import Rules
from autoagent.settings import FIELDS, Config, load_settings, value_of
from autoagent.tools import builtin_tools

from .conftest import REPOSITORY, Cli

SETTINGS = (REPOSITORY / "docs" / "configuration.md").read_text(encoding="utf-8")
PROMPTS = (REPOSITORY / "docs" / "prompts.md").read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", [SETTINGS, PROMPTS], ids=["configuration", "prompts"])
def test_every_command_succeeds(cli: Cli, home: Path, page: str) -> None:
    (home / "profiles" / "review").mkdir(parents=True)
    (home / "profiles" / "review.toml").write_text(blocks(SETTINGS, "toml")[0], encoding="utf-8")
    lines = "".join(blocks(page, "console")).splitlines()
    assert len(lines) >= 5
    for line in lines:
        done = cli(*shlex.split(line.removeprefix("$ autoagent ")))
        assert done.code == 0, f"{line}\n{done.err}"


@pytest.mark.parametrize("example", blocks(SETTINGS, "toml"))
def test_every_example_is_valid_and_its_rules_name_tools(example: str, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(example, encoding="utf-8")
    found = load_settings(tmp_path).config.permissions
    rules = Rules(found.allow, found.ask, found.deny)
    assert rules.naming_nothing(tuple(tool.name for tool in builtin_tools())) == []


def test_every_setting_is_in_the_page_with_its_default_and_meaning() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \| (?:`(.*?)`)? *\| (.*) \|$", SETTINGS, re.MULTILINE)
    assert [name for name, _, _ in rows] == list(FIELDS)
    for name, default, meaning in rows:
        usual = value_of(Config(), name)
        assert default == ("" if usual is None else json.dumps(usual))
        assert meaning == FIELDS[name]


def test_every_prompt_is_in_the_page_with_its_values() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (.*?) ?\|$", PROMPTS, re.MULTILINE))
    assert rows.keys() == set(NAMES)
    for name, values in rows.items():
        assert set(SAMPLES[name]) <= set(re.findall(r"`(\w+)`", values)), name
