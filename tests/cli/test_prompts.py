"""``autoagent prompts``."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoagent.cli import Exit
from autoagent.prompts import NAMES
from autoagent.store import Store

from .conftest import Cli, assert_one_line


@pytest.fixture(autouse=True)
def _model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that was trained with two prompts of its own; nobody loads it."""
    folder = tmp_path / "gpt"
    folder.mkdir()
    said = '{"prompts": {"goal": "Trained: {{ goal }}", "act": "Go."}}'
    (folder / "autoagent.json").write_text(said, encoding="utf-8")
    monkeypatch.setenv("AUTOAGENT_MODEL", str(folder))


def test_who_provides_each_prompt_is_listed(cli: Cli, home: Path) -> None:
    cli("prompts", "eject", "cut")
    rows = {line.split()[0]: line.split()[1] for line in cli("prompts", "list").out.splitlines()}
    assert list(rows) == list(NAMES)
    assert (rows["goal"], rows["cut"], rows["system"]) == ("model", "project", "default")
    listed = {each["name"]: each for each in cli("prompts", "list", "--json").json}
    assert listed["cut"] == {"name": "cut", "layer": "project", "file": str(home / "prompts" / "cut.j2")}


def test_a_prompt_is_shown_as_it_stands_and_rendered_as_it_reads(cli: Cli) -> None:
    assert cli("prompts", "show", "goal").out == "Trained: {{ goal }}\n"
    assert cli("prompts", "render", "goal").out == "Trained: What is the total of sales.csv?\n"
    assert cli("prompts", "show", "-m", "openai:any", "goal").out == "Goal: {{ goal }}\n"
    assert cli("prompts", "render").out.count("--- ") == len(NAMES)


def test_what_was_ejected_is_used_in_the_next_run_and_diffed(cli: Cli, home: Path) -> None:
    done = cli("prompts", "eject", "goal", "system")
    file = home / "prompts" / "goal.j2"
    assert done.out.splitlines()[0] == str(file)
    assert "trained with goal" in done.err
    assert "says the same" in cli("prompts", "diff", "goal").out
    file.write_text("Aim: {{ goal }}\n", encoding="utf-8")
    done = cli("prompts", "diff")
    assert "-Trained: {{ goal }}\n+Aim: {{ goal }}\n" in done.out
    assert "was trained with (goal)" in done.err
    cli("run", "-g", "What is 6 * 7?")
    (goal,) = [
        each for each in Store(home).messages(Store(home).find("last").run_id) if "6 * 7" in each.content
    ][:1]
    assert goal.content.startswith("Aim: What is 6 * 7?")


def test_what_is_there_is_replaced_by_force_only(cli: Cli, home: Path) -> None:
    cli("prompts", "eject", "goal")
    file = home / "prompts" / "goal.j2"
    file.write_text("mine", encoding="utf-8")
    assert_one_line(cli("prompts", "eject", "--all"), Exit.USAGE, "--force replaces it")
    assert file.read_text(encoding="utf-8") == "mine"
    assert cli("prompts", "eject", "--all", "--force").code == 0
    assert file.read_text(encoding="utf-8") == "Trained: {{ goal }}\n"
    assert len([*file.parent.iterdir()]) == len(NAMES)


def test_nothing_to_compare_is_said(cli: Cli) -> None:
    assert cli("prompts", "diff").err == "The project overrides no prompt.\n"
    assert cli("prompts", "diff", "cut").err == "The project overrides none of these: cut.\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "gaol"), "there is no prompt 'gaol'"),
        (("render", "gaol"), "did you mean goal?"),
        (("eject", "gaol"), "did you mean goal?"),
        (("diff", "gaol"), "did you mean goal?"),
        (("eject",), "--all"),
        (("eject", "goal", "--all"), "--all"),
        (("list", "-m", "nothing"), "there is no model nothing"),
    ],
)
def test_what_is_not_there_is_one_line(cli: Cli, arguments: tuple[str, ...], words: str) -> None:
    assert_one_line(cli("prompts", *arguments), Exit.USAGE, words)


def test_a_broken_override_ends_a_run_with_its_place(cli: Cli, home: Path) -> None:
    cli("prompts", "eject", "goal")
    (home / "prompts" / "goal.j2").write_text("Aim:\n{{ gaol }}", encoding="utf-8")
    done = cli("run", "-g", "What is 6 * 7?")
    assert done.code == Exit.USAGE
    assert f"prompt {home / 'prompts' / 'goal.j2'}, line 2: 'gaol' is undefined" in done.err


def test_a_profile_brings_prompts_of_its_own(cli: Cli, home: Path) -> None:
    folder = home / "profiles" / "pirate"
    folder.mkdir(parents=True)
    (folder / "goal.j2").write_text("Arr: {{ goal }}", encoding="utf-8")
    (home / "profiles" / "sea.toml").write_text('prompts = "pirate"\n', encoding="utf-8")
    assert cli("--profile", "sea", "prompts", "render", "goal").out.startswith("Arr: ")
    assert cli("--profile", "sea", "prompts", "eject", "cut").out == f"{folder / 'cut.j2'}\n"
    (home / "profiles" / "sea.toml").write_text('prompts = "pirates"\n', encoding="utf-8")
    assert_one_line(cli("--profile", "sea", "prompts", "list"), Exit.USAGE, "there is no such folder")
