"""Changing settings on disk: what a user wrote stays, what would be wrong is not written."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoagent.configfile import add_permission_rule, commented, set_value, unset_value
from autoagent.errors import ConfigError
from autoagent.security import Rule
from autoagent.settings import FIELDS, Config, load_settings, value_of

MINE = "# mine\nmax_steps = 3  # few\n\n[permissions]\n# never\ndeny = ['x']\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "config.toml"


def written(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def text_of(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def test_the_commented_file_sets_nothing(file: Path) -> None:
    written(file, commented())
    assert load_settings(file.parent).sources == {}


def test_uncommented_it_is_valid_and_says_the_defaults(file: Path) -> None:
    written(file, re.sub(r"^#(?=[a-z\[])", "", commented(), flags=re.MULTILINE))
    loaded = load_settings(file.parent)
    assert loaded.config == Config()
    assert loaded.sources.keys() == {name for name in FIELDS if value_of(Config(), name) is not None}


def test_its_examples_are_valid_too(file: Path) -> None:
    written(file.parent / "profiles" / "research.toml", "")
    written(file, re.sub(r"^# (?=[a-z_]+ = )", "", commented(), flags=re.MULTILINE))
    assert load_settings(file.parent).sources.keys() == {
        name for name in FIELDS if value_of(Config(), name) is None
    }


def test_its_lines_are_not_too_long() -> None:
    assert max(map(len, commented().splitlines())) <= 120


def test_a_file_is_made_with_the_one_setting(file: Path) -> None:
    assert set_value(file, "max_steps", ["30"]) == 30
    assert text_of(file) == "max_steps = 30\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_comments_and_order_stay(file: Path) -> None:
    file = written(file, MINE)
    file.chmod(0o644)
    set_value(file, "max_steps", ["4"])
    set_value(file, "permissions.deny", ["x", "run_shell(rm *)"])
    set_value(file, "seed", ["7"])
    text = text_of(file)
    assert text.startswith("# mine\nmax_steps = 4  # few\n")
    assert "# never\n" in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    config = load_settings(file.parent).config
    assert (config.seed, config.permissions.deny) == (7, ("x", "run_shell(rm *)"))


@pytest.mark.parametrize("name", FIELDS)
def test_in_the_commented_file_a_setting_takes_the_place_of_its_comment(file: Path, name: str) -> None:
    before = commented()
    written(file, before)
    usual = value_of(Config(), name)
    special = {"base_url": "http://a.b", "memory_url": "http://a.b", "window": "999"}
    text = special.get(name, "9") if usual is None else str(usual)
    set_value(file, name, ["finetune"] if isinstance(usual, tuple) else [text])
    assert len(text_of(file).splitlines()) == len(before.splitlines())
    assert len(set(before.splitlines()) - set(text_of(file).splitlines())) <= 2  # its own, and its table's
    if name != "profile":
        assert load_settings(file.parent).sources.keys() == {name}


def test_unset_takes_a_setting_away_and_nothing_else(file: Path) -> None:
    written(file, MINE)
    assert unset_value(file, "max_steps")
    assert not unset_value(file, "max_steps")
    assert not unset_value(file, "permissions.allow")
    assert load_settings(file.parent).sources.keys() == {"permissions.deny"}
    assert "# never" in text_of(file)


@pytest.mark.parametrize(
    ("name", "texts", "said"),
    [
        ("max_step", ["3"], 'no setting "max_step": did you mean "max_steps"'),
        ("permissions", ["x"], r"use permissions\.allow"),
        ("max_steps", ["many"], "max_steps = 'many'"),
        ("max_steps", ["1", "2"], "takes one value, not 2"),
        ("hosts", ["https://a.b"], "without https://"),
        ("api_key", [""], r"api_key = \(not shown\)"),
    ],
)
def test_what_would_be_wrong_is_not_written(file: Path, name: str, texts: list[str], said: str) -> None:
    written(file, MINE)
    with pytest.raises(ConfigError, match=said):
        set_value(file, name, texts)
    assert text_of(file) == MINE


def test_a_file_that_is_wrong_already_is_named_and_left_alone(file: Path) -> None:
    written(file, "max_steps = 0\n")
    with pytest.raises(ConfigError, match=r"config\.toml: max_steps = 0"):
        set_value(file, "seed", ["1"])
    assert text_of(file) == "max_steps = 0\n"


def test_what_is_always_allowed_is_written_once(file: Path) -> None:
    written(file, MINE)
    for _ in range(2):
        assert add_permission_rule(file.parent, "run_shell(git *)") == file
    add_permission_rule(file.parent, 'write_file("a b".txt)')
    rules = load_settings(file.parent).config.permissions
    assert rules.allow == ("run_shell(git *)", 'write_file("a b".txt)')
    assert rules.deny == ("x",)
    with pytest.raises(ConfigError, match="a rule is a tool"):
        add_permission_rule(file.parent, "((")


def test_a_rule_makes_the_home_where_there_is_none(tmp_path: Path) -> None:
    add_permission_rule(tmp_path / ".autoagent", "finetune")
    assert (tmp_path / ".autoagent" / ".gitignore").exists()


@given(st.dictionaries(st.sampled_from(["path", "command", "url", "other"]), st.text(), max_size=2))
def test_every_rule_that_an_answer_makes_can_be_kept(
    tmp_path_factory: pytest.TempPathFactory, arguments: dict[str, str]
) -> None:
    rule = str(Rule.covering("some_tool", arguments))
    home = tmp_path_factory.mktemp("home")
    add_permission_rule(home, rule)
    assert [*map(Rule.parse, load_settings(home).config.permissions.allow)] == [Rule.parse(rule)]


def test_a_linked_file_stays_a_link(file: Path, tmp_path: Path) -> None:
    real = written(tmp_path / "dotfiles" / "autoagent.toml", MINE)
    file.parent.mkdir()
    file.symlink_to(real)
    set_value(file, "max_steps", ["9"])
    assert file.is_symlink()
    assert "max_steps = 9" in text_of(real)
