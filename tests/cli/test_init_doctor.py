"""``autoagent init`` and ``autoagent doctor``."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoagent.cli import Exit, Parts, main
from autoagent.configfile import commented

from .conftest import Cli, assert_one_line


@pytest.fixture(autouse=True)
def _no_key_of_the_machines_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def test_a_folder_becomes_a_project(cli: Cli, tmp_path: Path) -> None:
    done = cli("init", str(tmp_path / "new"))
    home = tmp_path / "new" / ".autoagent"
    assert done.out == f"made  {home / 'config.toml'}  (every setting, commented out)\n"
    assert "autoagent run -g" in done.err
    assert (home / "config.toml").read_text(encoding="utf-8") == commented()
    assert (home / ".gitignore").read_text(encoding="utf-8") == "*\n"


def test_the_current_folder_becomes_one_whatever_is_above_it(
    cli: Cli, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AUTOAGENT_HOME")
    inner = workspace / "inner"
    inner.mkdir()
    cli("init")
    monkeypatch.chdir(inner)
    done = cli("init")
    assert (inner / ".autoagent" / "config.toml").exists()
    assert f"note: the settings and records of {workspace / '.autoagent'} do not count here" in done.err
    assert "note" not in cli("init", str(workspace)).err


def test_a_home_that_is_named_is_the_one_that_is_made(cli: Cli, home: Path) -> None:
    cli("init")
    assert (home / "config.toml").exists()


def test_what_is_there_is_kept(cli: Cli, home: Path) -> None:
    cli("init")
    (home / "config.toml").write_text("seed = 1\n", encoding="utf-8")
    assert cli("init").out.startswith(f"kept  {home / 'config.toml'}  ")
    assert cli("config", "get", "seed").out == "1\n"
    for number in (1, 2):
        cli("init", "--force")
        assert (home / f"config.toml.{number}.bak").exists()
    assert (home / "config.toml.1.bak").read_text(encoding="utf-8") == "seed = 1\n"
    assert cli("config", "get", "seed").out == "0\n"


def test_a_file_is_no_folder(cli: Cli, workspace: Path) -> None:
    (workspace / "a.txt").write_text("", encoding="utf-8")
    assert_one_line(cli("init", "a.txt"), Exit.USAGE, "a.txt is a file")


def test_all_is_well_and_nothing_was_changed(cli: Cli, home: Path) -> None:
    done = cli("doctor", "--json", script=["Hello."])
    assert done.code == 0, done.out
    assert done.json["ok"] is True
    names = [finding["name"] for finding in done.json["findings"]]
    assert names == [
        "python", "packages", "settings", "home", "disk", "terminal", "sandbox", "record", "prompts", "tools",
        "memory", "device", "memory free", "model",
    ]  # fmt: skip
    assert not home.exists()
    shown = cli("doctor", script=["Hello."]).out.splitlines()
    marks = [line[0] for line in shown if not line.startswith(" ")]
    assert len(marks) == len(names)
    assert set(marks) <= {"✓", "!"}


def test_the_model_that_is_shipped_is_well(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AUTOAGENT_HOME", str(home))
    assert main(["doctor"], Parts()) == Exit.OK
    assert "current: " in capsys.readouterr().out
    assert not home.exists()


def findings(cli: Cli) -> dict[str, tuple[str, str, str]]:
    done = cli("doctor", "--json", script=["Hello."])
    assert done.code == Exit.ERROR
    assert done.json["ok"] is False
    first = reversed(done.json["findings"])  # of each name
    return {each["name"]: (each["status"], each["text"], each["advice"]) for each in first}


def test_what_is_broken_is_named_with_what_to_do_and_the_rest_is_still_looked_at(
    cli: Cli, home: Path
) -> None:
    (home / "prompts").mkdir(parents=True)
    (home / "prompts" / "goal.j2").write_text("{% if %}", encoding="utf-8")
    (home / "runs.db").write_bytes(b"no database at all, but longer than the header of one" * 20)
    (home / "config.toml").write_text('tools = ["gone.py"]\nmemory = false\n', encoding="utf-8")
    found = findings(cli)
    assert found["prompts"][0] == "fail"
    assert "goal.j2, line 1" in found["prompts"][1]
    assert found["record"][:2] == ("fail", f"{home / 'runs.db'}: file is not a database")
    assert found["tools"][0] == "fail"
    assert str(home / "config.toml") in found["tools"][2]
    assert found["memory"][1] == "switched off"
    assert found["model"][0] == "ok"


def test_settings_that_cannot_be_read_are_a_finding(cli: Cli, home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text("max_steps = 0\n", encoding="utf-8")
    assert findings(cli)["settings"][0] == "fail"


def test_a_model_that_is_not_there_is_a_finding(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AUTOAGENT_HOME", str(home))
    for model in (str(home / "nothing"), "nothing"):
        monkeypatch.setenv("AUTOAGENT_MODEL", model)
        assert main(["doctor"], Parts()) == Exit.ERROR
        assert "✗ model" in capsys.readouterr().out
    monkeypatch.setenv("AUTOAGENT_MODEL", "owner/name")
    assert main(["doctor"], Parts()) == Exit.OK
    assert "! model       owner/name: not downloaded yet" in capsys.readouterr().out


def test_a_server_that_is_down_is_a_finding(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AUTOAGENT_HOME", str(home))
    monkeypatch.setenv("AUTOAGENT_MODEL", "openai:any")
    assert main(["doctor"], Parts()) == Exit.ERROR
    assert "openai:any has no address" in capsys.readouterr().out
    monkeypatch.setenv("AUTOAGENT_BASE_URL", "http://127.0.0.1:9/v1")
    assert main(["doctor"], Parts()) == Exit.ERROR
    shown = capsys.readouterr().out
    assert "openai:any at http://127.0.0.1:9/v1: [Errno 111] Connection refused" in shown
    assert "→ start the server" in shown


def test_a_key_that_others_can_read_is_a_warning(cli: Cli, home: Path) -> None:
    cli("config", "set", "api_key", "sk-secret")
    assert "others can read it" not in cli("doctor", script=["Hello."]).out
    (home / "config.toml").chmod(0o644)
    done = cli("doctor", script=["Hello."])
    assert done.code == 0
    assert f"→ chmod 600 {home / 'config.toml'}" in done.out


def test_a_sound_record_is_counted(cli: Cli, home: Path) -> None:
    cli("run", "-g", "What is 6 * 7?")
    assert "✓ record      1 runs, " in cli("doctor", script=["Hello."]).out
