"""Where a project lives."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoagent.errors import StoreError
from autoagent.home import ensure_home, project_home


@pytest.fixture(autouse=True)
def _home_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


def test_the_nearest_project_folder_upwards_is_home(tmp_path: Path) -> None:
    home = tmp_path / "project" / ".autoagent"
    home.mkdir(parents=True)
    inner = tmp_path / "project" / "a" / "b"
    inner.mkdir(parents=True)
    assert project_home(inner) == home


def test_without_a_project_folder_home_is_here_and_is_not_made(tmp_path: Path) -> None:
    here = tmp_path / "new"
    here.mkdir()
    assert project_home(here) == here / ".autoagent"
    assert not (here / ".autoagent").exists()


def test_a_project_folder_in_the_users_home_does_not_swallow_the_projects_below(tmp_path: Path) -> None:
    (tmp_path / ".autoagent").mkdir()
    here = tmp_path / "project"
    here.mkdir()
    assert project_home(here) == here / ".autoagent"
    assert project_home(tmp_path) == tmp_path / ".autoagent"


def test_the_environment_names_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOAGENT_HOME", str(tmp_path / "elsewhere"))
    assert project_home(tmp_path) == tmp_path / "elsewhere"
    monkeypatch.setenv("AUTOAGENT_HOME", "~/records")
    assert project_home(tmp_path) == tmp_path / "records"


def test_a_home_keeps_itself_out_of_version_control(tmp_path: Path) -> None:
    home = ensure_home(tmp_path / ".autoagent")
    assert (home / ".gitignore").read_text(encoding="utf-8") == "*\n"
    (home / ".gitignore").write_text("mine\n", encoding="utf-8")
    ensure_home(home)
    assert (home / ".gitignore").read_text(encoding="utf-8") == "mine\n"


def test_a_users_own_folder_used_as_home_is_not_ignored(tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    ensure_home(tmp_path / "repository")
    assert not (tmp_path / "repository" / ".gitignore").exists()


def test_a_home_that_cannot_be_made_says_so_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match=r"cannot be written .*AUTOAGENT_HOME") as failure:
        ensure_home(tmp_path / "file" / ".autoagent")
    assert "\n" not in str(failure.value)
