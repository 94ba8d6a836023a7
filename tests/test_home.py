"""Where a project lives and what its settings files say."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from autoagent.config import Limits
from autoagent.errors import ConfigError, StoreError
from autoagent.home import Config, ensure_home, load_config, project_home


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No settings of the machine's own: an empty user configuration folder and environment."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("HOME", *(key.upper() for key in Config.model_fields)):
        monkeypatch.delenv(f"AUTOAGENT_{name}", raising=False)
    return tmp_path


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def user_file() -> Path:
    return platformdirs.user_config_path("autoagent") / "config.toml"


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
    write(tmp_path / "file", "")
    with pytest.raises(StoreError, match=r"cannot be written .*AUTOAGENT_HOME") as failure:
        ensure_home(tmp_path / "file" / ".autoagent")
    assert "\n" not in str(failure.value)


def test_the_defaults_are_those_of_the_limits(tmp_path: Path) -> None:
    settings = load_config(tmp_path / ".autoagent")
    assert Limits(**{name: settings[name] for name in Limits.model_fields}) == Limits()
    rest = {name: settings[name] for name in settings if name not in Limits.model_fields}
    assert rest == {"model": "current", "tools": (), "memory": True, "seed": 0, "check_timeout": 60.0}


def test_environment_beats_project_beats_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "project" / ".autoagent"
    write(user_file(), 'max_steps = 1\nseed = 1\nmodel = "mine"\n')
    write(home / "config.toml", "max_steps = 2\nseed = 2\nmemory = false\n")
    monkeypatch.setenv("AUTOAGENT_MAX_STEPS", "3")
    settings = load_config(home)
    assert (settings["max_steps"], settings["seed"], settings["model"]) == (3, 2, "mine")
    assert settings["memory"] is False


def test_tool_files_are_found_from_the_project_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "project" / ".autoagent"
    write(home / "config.toml", 'tools = ["mine.py", "/opt/theirs.py"]\n')
    assert load_config(home)["tools"] == (str(tmp_path / "project" / "mine.py"), "/opt/theirs.py")
    monkeypatch.setenv("AUTOAGENT_TOOLS", "a.py:b.py")
    assert load_config(home)["tools"] == ("a.py", "b.py")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_step = 3\n", 'unknown setting "max_step": did you mean "max_steps"?'),
        ("[limits]\nmax_steps = 3\n", 'unknown setting "limits"'),
        ("max_steps = 0\n", "max_steps = 0: input should be greater than or equal to 1"),
        ('max_steps = "many"\n', "max_steps = 'many'"),
        ("tools = [1]\n", r"tools\.0 = 1"),
        ("max_steps = \n", "not valid TOML"),
    ],
)
def test_a_wrong_settings_file_is_named_with_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    file = write(tmp_path / ".autoagent" / "config.toml", text)
    with pytest.raises(ConfigError, match=said) as failure:
        load_config(tmp_path / ".autoagent")
    assert str(failure.value).startswith(str(file))
    assert "\n" not in str(failure.value)


def test_a_settings_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / ".autoagent" / "config.toml", "")
    file.write_bytes(b"model = '\xff'\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(tmp_path / ".autoagent")


def test_a_misspelt_variable_is_named_and_a_foreign_one_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOAGENT_SOMETHING_ELSE", "1")
    monkeypatch.setenv("AUTOAGENT_SEED", "")
    assert load_config(tmp_path)["seed"] == 0
    monkeypatch.setenv("AUTOAGENT_MAX_STEP", "3")
    with pytest.raises(ConfigError, match="AUTOAGENT_MAX_STEP: did you mean AUTOAGENT_MAX_STEPS"):
        load_config(tmp_path)


def test_an_impossible_variable_names_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOAGENT_TIMEOUT", "-1")
    with pytest.raises(ConfigError, match="environment: timeout = '-1'"):
        load_config(tmp_path)
