"""``autoagent config`` and ``--profile``."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoagent.cli import Exit
from autoagent.home import user_folder
from autoagent.settings import FIELDS

from .conftest import Cli, assert_one_line


@pytest.fixture(autouse=True)
def _no_key_of_the_machines_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def profile(home: Path, name: str, text: str) -> Path:
    file = home / "profiles" / f"{name}.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def test_every_setting_is_shown_with_value_source_and_meaning(cli: Cli, home: Path) -> None:
    cli("config", "set", "max_steps", "30")
    done = cli("config", "show")
    assert [line.split()[0] for line in done.out.splitlines()] == list(FIELDS)
    (line,) = [line for line in done.out.splitlines() if line.startswith("max_steps")]
    assert line.split("  ", 1)[1].strip() == f"30  ← {home / 'config.toml'}  {FIELDS['max_steps']}"
    assert cli("config", "show", "--json").json["max_steps"] == {
        "value": 30,
        "source": str(home / "config.toml"),
        "default": 16,
        "description": FIELDS["max_steps"],
    }


def test_only_what_was_changed_is_shown_on_demand(cli: Cli) -> None:
    done = cli("config", "show", "--changed")
    assert (done.out, done.err) == ("", "Everything is at its default.\n")
    cli("config", "set", "max_steps", "16")  # to what it was
    cli("config", "set", "seed", "1")
    assert [*cli("config", "show", "--changed", "--json").json] == ["seed"]


def test_a_key_is_never_printed(cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = [cli("config", "set", "api_key", "sk-secret")]
    printed += [cli("config", *words) for words in (["show"], ["show", "--json"], ["get", "api_key"])]
    monkeypatch.setenv("AUTOAGENT_API_KEY", "sk-secret")
    printed += [cli("config", "show", "--changed"), cli("config", "unset", "api_key")]
    assert all(done.code == 0 for done in printed)
    assert "sk-secret" not in "".join(done.out + done.err for done in printed)
    assert "***" in printed[1].out


def test_a_value_is_set_got_and_unset(cli: Cli, home: Path) -> None:
    assert (
        cli("config", "set", "model", "owner/name").out == f'model = "owner/name" in {home / "config.toml"}\n'
    )
    assert cli("config", "get", "model").out == "owner/name\n"
    assert cli("config", "unset", "model").out == 'model is now "current" (default)\n'
    assert_one_line(cli("config", "unset", "model"), Exit.USAGE, "model is not set in")
    cli("config", "set", "permissions.deny", "delete_file", "run_shell(rm *)")
    assert cli("config", "get", "permissions.deny").out == "delete_file\nrun_shell(rm *)\n"
    assert cli("config", "get", "permissions.deny", "--json").json == ["delete_file", "run_shell(rm *)"]
    assert cli("config", "get", "window").out == ""
    assert cli("config", "get", "memory").out == "true\n"


def test_a_users_own_file_counts_for_all_projects(cli: Cli, home: Path) -> None:
    cli("config", "set", "--user", "seed", "5")
    assert (user_folder() / "config.toml").read_text(encoding="utf-8") == "seed = 5\n"
    assert not home.exists()
    assert cli("config", "get", "seed").out == "5\n"


def test_setting_what_something_stronger_sets_is_noted(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOAGENT_SEED", "1")
    assert cli("config", "set", "seed", "2").err == "note: AUTOAGENT_SEED sets seed, too, and wins\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("set", "max_step", "3"), 'did you mean "max_steps"?'),
        (("set", "max_steps", "-3"), "max_steps = '-3'"),
        (("set", "profile", "none"), "there is no profile 'none'"),
        (("get", "nothing"), 'no setting "nothing"'),
        (("unset", "nothing"), 'no setting "nothing"'),
        (("--profile", "none", "show"), "there is no profile 'none'"),
    ],
)
def test_what_cannot_be_is_one_line_and_changes_nothing(
    cli: Cli, home: Path, arguments: tuple[str, ...], words: str
) -> None:
    front = arguments[:2] if arguments[0].startswith("--") else ()
    assert_one_line(cli(*front, "config", *arguments[len(front) :]), Exit.USAGE, words)
    assert not (home / "config.toml").exists()


def test_the_files_are_shown_even_when_one_is_broken(cli: Cli, home: Path) -> None:
    file = profile(home, "quick", "seed = 1\n")
    places = cli("--profile", "quick", "config", "path", "--json").json
    assert places["profile"] == {"path": str(file), "exists": True}
    assert places["project"] == {"path": str(home / "config.toml"), "exists": False}
    (home / "config.toml").write_text("max_steps = ", encoding="utf-8")
    done = cli("config", "path")
    assert done.code == 0
    assert str(home / "config.toml") in done.out
    assert "not valid TOML" in done.err


def test_profiles_are_listed_and_used(cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "There are no profiles" in cli("config", "profiles").err
    profile(home, "quick", "max_steps = 2\n")
    profile(home, "slow", "max_steps = 90\n")
    monkeypatch.setenv("AUTOAGENT_PROFILE", "slow")
    listed = cli("--profile", "quick", "config", "profiles").out.splitlines()
    assert [line[:7] for line in listed] == ["→ quick", "  slow "]
    assert cli("config", "profiles", "--json").json["current"] == "slow"
    assert cli("--profile", "quick", "config", "get", "max_steps").out == "2\n"
    assert cli("config", "get", "max_steps").out == "90\n"


def test_a_profiles_budget_is_a_runs_budget(cli: Cli, home: Path) -> None:
    profile(home, "quick", "max_steps = 1\n")
    assert cli("run", "-g", "What is 6 * 7?").code == Exit.OK
    assert cli("--profile", "quick", "run", "-g", "What is 6 * 7?").code == Exit.BUDGET
