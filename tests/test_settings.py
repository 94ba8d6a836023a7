"""What settings files, profiles and the environment say, which of them wins, and what is wrong in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoagent.config import Conduct, Limits, Sampling
from autoagent.errors import ConfigError
from autoagent.home import user_folder
from autoagent.settings import FIELDS, Config, load_config, load_settings, profiles, with_flags


@pytest.fixture(autouse=True)
def _no_settings_of_the_machines_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "project" / ".autoagent"


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def user_file() -> Path:
    return user_folder() / "config.toml"


def test_the_defaults_are_those_of_limits_conduct_and_sampling(tmp_path: Path) -> None:
    settings = load_config(tmp_path / ".autoagent")
    for group in (Limits, Conduct, Sampling):
        assert group(**{name: settings[name] for name in group.model_fields}) == group()
    assert settings == Config().model_dump()
    assert load_settings(tmp_path).sources == {}


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


def test_every_setting_is_described() -> None:
    named = {name.partition(".")[0] for name in FIELDS}
    assert named == set(Config.model_fields)
    assert all(text.endswith(".") for text in FIELDS.values())


def test_it_is_known_where_each_value_comes_from(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(user_file(), "seed = 1\nmax_steps = 1\n")
    file = write(home / "config.toml", "max_steps = 2\n")
    monkeypatch.setenv("AUTOAGENT_TIMEOUT", "5")
    assert load_settings(home).sources == {
        "seed": str(user_file()),
        "max_steps": str(file),
        "timeout": "AUTOAGENT_TIMEOUT",
    }


def test_a_profile_wins_over_files_and_the_environment_over_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(home / "config.toml", "max_steps = 2\nseed = 2\ntimeout = 2\n")
    file = write(home / "profiles" / "quick.toml", "max_steps = 3\nseed = 3\n")
    monkeypatch.setenv("AUTOAGENT_SEED", "4")
    loaded = load_settings(home, "quick")
    assert (loaded.config.max_steps, loaded.config.seed, loaded.config.timeout) == (3, 4, 2)
    assert (loaded.config.profile, loaded.sources["profile"]) == ("quick", "--profile")
    assert loaded.sources["max_steps"] == str(file)


def test_the_profile_is_chosen_by_flag_then_environment_then_project_then_user(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(("a", "b", "c", "d"), start=1):
        write(home / "profiles" / f"{name}.toml", f"seed = {number}\n")
    assert load_settings(home).config.seed == 0
    write(user_file(), 'profile = "a"\n')
    assert load_settings(home).config.seed == 1
    write(home / "config.toml", 'profile = "b"\n')
    assert load_settings(home).config.seed == 2
    monkeypatch.setenv("AUTOAGENT_PROFILE", "c")
    assert load_settings(home).config.seed == 3
    assert load_settings(home, "d").config.seed == 4


def test_the_projects_profile_wins_over_the_users_of_the_same_name(home: Path) -> None:
    theirs = write(user_folder() / "profiles" / "quick.toml", "seed = 1\n")
    assert profiles(home) == {"quick": theirs}
    ours = write(home / "profiles" / "quick.toml", "seed = 2\n")
    assert profiles(home) == {"quick": ours}
    assert load_settings(home, "quick").config.seed == 2


@pytest.mark.parametrize("name", ["fast", "", "../quick"])
def test_a_profile_that_is_not_there_names_those_that_are(home: Path, name: str) -> None:
    write(home / "profiles" / "quick.toml", "")
    with pytest.raises(ConfigError, match=r"--profile: there is no profile .*: quick"):
        load_settings(home, name)


def test_a_profile_names_no_other_profile(home: Path) -> None:
    write(home / "profiles" / "quick.toml", 'profile = "other"\n')
    with pytest.raises(ConfigError, match=r"quick\.toml: a profile cannot name another"):
        load_settings(home, "quick")


def test_paths_are_taken_from_where_they_are_written(home: Path) -> None:
    write(home / "config.toml", 'model = "./gpt"\nmemory_embedder = "words"\nprompts = "said"\n')
    write(home / "profiles" / "quick.toml", 'prompts = "quick"\ntools = ["quick.py"]\n')
    config = load_settings(home).config
    project = home.parent
    assert (config.model, config.memory_embedder) == (str(project / "gpt"), str(project / "words"))
    assert config.prompts == str(project / "said")
    quick = load_settings(home, "quick").config
    assert quick.prompts == str(home / "profiles" / "quick")
    assert quick.tools == (str(home / "profiles" / "quick.py"),)


@pytest.mark.parametrize("model", ["owner/name", "openai:gpt", "v1-0123abcd", "/models/gpt"])
def test_a_model_that_is_no_relative_path_is_left_as_it_is(home: Path, model: str) -> None:
    write(home / "config.toml", f'model = "{model}"\n')
    assert load_settings(home).config.model == model


def test_permissions_add_up_and_other_lists_replace(home: Path) -> None:
    write(user_file(), '[permissions]\ndeny = ["a"]\nallow = ["x"]\n')
    write(home / "config.toml", 'hosts = ["one.org"]\n[permissions]\ndeny = ["b", "a"]\n')
    write(home / "profiles" / "web.toml", 'hosts = ["two.org"]\n[permissions]\nask = ["c"]\n')
    loaded = load_settings(home, "web")
    assert loaded.config.hosts == ("two.org",)
    rules = loaded.config.permissions
    assert (rules.allow, rules.ask, rules.deny) == (("x",), ("c",), ("a", "b"))
    assert loaded.sources["permissions.deny"] == f"{user_file()}, {home / 'config.toml'}"


def test_flags_win_and_their_permissions_add_up() -> None:
    before = Config.model_validate({"max_steps": 3, "seed": 3, "permissions": {"deny": ["a"]}})
    after = with_flags(before, {"max_steps": 4, "seed": None, "permissions": {"deny": ["b"]}})
    assert (after.max_steps, after.seed, after.permissions.deny) == (4, 3, ("a", "b"))
    with pytest.raises(ConfigError, match="command line: base_url = 'here': an address begins with http"):
        with_flags(before, {"base_url": "here"})


def test_the_key_of_the_openai_client_is_a_fallback(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "theirs")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1/v1")
    loaded = load_settings(home)
    assert (loaded.config.api_key, loaded.sources["api_key"]) == ("theirs", "OPENAI_API_KEY")
    assert loaded.config.base_url == "http://localhost:1/v1"
    monkeypatch.setenv("AUTOAGENT_API_KEY", "ours")
    assert load_settings(home).config.api_key == "ours"


def test_a_key_is_in_no_representation_and_no_error(home: Path) -> None:
    write(home / "config.toml", 'api_key = "sk-secret"\n')
    assert "sk-secret" not in repr(load_settings(home))
    write(home / "config.toml", 'api_key = ["sk-secret"]\n')
    with pytest.raises(ConfigError) as failure:
        load_settings(home)
    assert "sk-secret" not in str(failure.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('hosts = ["https://example.org/"]', "without https://"),
        ('base_url = "localhost:8000"', "begins with http:// or https://"),
        ('plan = "maybe"', "plan = 'maybe': input should be 'auto', 'ask' or 'off'"),
        ('dtype = "int3"', "dtype = 'int3'"),
        ("window = 3", "window = 3"),
        ('[permissions]\ndeny = ["rm("]', r"permissions\.deny\.0 = 'rm\(': a rule is a tool"),
        ("[permissions]\nforbid = []", r'unknown setting "permissions\.forbid": did you mean "permissions'),
        ('permissions = "all"', "permissions = 'all'"),
    ],
)
def test_what_is_wrong_is_said_with_what_is_right(home: Path, text: str, said: str) -> None:
    file = write(home / "config.toml", text)
    with pytest.raises(ConfigError, match=said) as failure:
        load_settings(home)
    assert str(failure.value).startswith(str(file))


@pytest.mark.parametrize(
    "host", ["example.org", "*.example.org", "localhost:8000", "10.0.0.0/8", "[::1]:80", "fd00::/8"]
)
def test_hosts_may_be_names_addresses_and_networks(home: Path, host: str) -> None:
    write(home / "config.toml", f'hosts = ["{host}"]')
    assert load_settings(home).config.hosts == (host,)


def test_lists_of_the_environment_are_separated(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOAGENT_HOSTS", "one.org,two.org")
    assert load_settings(home).config.hosts == ("one.org", "two.org")
    monkeypatch.setenv("AUTOAGENT_PERMISSIONS", "x")
    with pytest.raises(ConfigError, match="AUTOAGENT_PERMISSIONS cannot be set here"):
        load_settings(home)
