"""Completion in the shell, and plain ``autoagent`` on a terminal."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from autoagent.cli import main
from autoagent.models.versions import Versions
from autoagent.store import Store

from .conftest import REPOSITORY, Cli

PROGRAM = "import sys; from autoagent.cli import main; sys.exit(main())"


def completed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, line: str) -> list[str]:
    """What bash would offer at the end of the line."""
    words = line.split(" ")
    monkeypatch.setenv("_AUTOAGENT_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    capsys.readouterr()
    assert main([]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    monkeypatch.delenv("_AUTOAGENT_COMPLETE")
    return printed.out.split()


def test_commands_options_and_names_are_offered(
    cli: Cli, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def offered(line: str) -> list[str]:
        return completed(capsys, monkeypatch, line)

    cli("run", "-g", "What is 6 * 7?")
    (home / "profiles").mkdir()
    (home / "profiles" / "quick.toml").write_text("", encoding="utf-8")
    (tmp_path / "gpt").mkdir()
    (tmp_path / "gpt" / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "gpt" / "model.safetensors").write_bytes(b"weights")
    version = Versions(home).add(tmp_path / "gpt", note="first try").name

    assert {"run", "doctor", "prompts"} <= set(offered("autoagent "))
    assert offered("autoagent doc") == ["doctor"]
    assert "--profile" in offered("autoagent --")
    assert offered("autoagent --profile q") == ["quick"]
    assert offered("autoagent config get max_s") == ["max_steps"]
    assert offered("autoagent prompts show ref") == ["reflection"]
    assert offered("autoagent runs show ") == ["last", Store(home).find("last").run_id]
    assert offered("autoagent models use v") == offered("autoagent run -m v") == [version]
    assert offered("autoagent tools show column_") == ["column_figure"]
    other = tmp_path / "other"
    (other / "profiles").mkdir(parents=True)
    (other / "profiles" / "slow.toml").write_text("", encoding="utf-8")
    assert offered(f"autoagent --home {other} --profile ") == ["slow"]


def test_a_damaged_record_offers_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home.mkdir()
    (home / "runs.db").write_bytes(b"no database" * 100)
    monkeypatch.setenv("AUTOAGENT_HOME", str(home))
    assert completed(capsys, monkeypatch, "autoagent runs show ") == []


def test_zsh_and_fish_are_told_what_each_means(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "autoagent config get max_s")
    monkeypatch.setenv("_AUTOAGENT_COMPLETE", "complete_zsh")
    assert main([]) == 0
    assert '"max_steps":"Model calls after the plan, in steps."' in capsys.readouterr().out
    monkeypatch.setenv("_AUTOAGENT_COMPLETE", "complete_fish")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    assert main([]) == 0
    assert capsys.readouterr().out == "max_steps\tModel calls after the plan, in steps.\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell(
    shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_AUTOAGENT_COMPLETE", f"source_{shell}")
    assert main([]) == 0
    assert f"complete_{shell}" in capsys.readouterr().out


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_with_the_script_it_is_given(tmp_path: Path) -> None:
    program = tmp_path / "autoagent"
    program.write_text(f"#!{sys.executable}\n{PROGRAM}\n", encoding="utf-8")
    program.chmod(0o755)
    line = 'eval "$(_AUTOAGENT_COMPLETE=source_bash autoagent)"; COMP_WORDS=(autoagent doc); COMP_CWORD=1; '
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        ["bash", "--norc", "-c", line + '_autoagent_completion autoagent; echo "${COMPREPLY[@]}"'],
        env=environment, capture_output=True, text=True, encoding="utf-8", timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout == "doctor\n"


HEAVY = ("torch", "transformers", "trl", "chromadb", "openai", "prompt_toolkit", "llguidance", "tokenizers")


@pytest.mark.parametrize(
    "line",
    ["autoagent runs show ", "autoagent models use ", "autoagent --profile ", "autoagent prompts show "],
)
def test_completion_imports_nothing_heavy(line: str, home: Path) -> None:
    assert loaded([], home, COMP_WORDS=line, _AUTOAGENT_COMPLETE="complete_bash") == "[]"


@pytest.mark.parametrize(
    "words",
    [
        ["--help"], ["run", "--help"], ["tools", "list"], ["runs", "list"], ["models", "list"],
        ["init", "--help"],
        ["config", "show"], ["prompts", "list"], ["doctor", "--help"], ["memory", "--help"],
    ],
)  # fmt: skip
def test_what_needs_no_model_imports_nothing_heavy(words: list[str], home: Path) -> None:
    assert loaded(words, home) == "[]"
    assert not home.exists()


def loaded(words: list[str], home: Path, **environment: str) -> str:
    """Which heavy libraries a command has imported."""
    code = (
        "import sys\nfrom autoagent.cli import main\nmain(sys.argv[1:])\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    words_so_far = environment.get("COMP_WORDS", "").count(" ")
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=REPOSITORY,
        env={**os.environ, "AUTOAGENT_HOME": str(home), "COMP_CWORD": str(words_so_far), **environment},
        capture_output=True, text=True, encoding="utf-8", timeout=60, check=True,
    )  # fmt: skip
    return done.stderr.splitlines()[-1]


def test_plain_autoagent_on_a_terminal_is_a_chat(home: Path, workspace: Path) -> None:
    driver = (
        "import sys; from autoagent.cli import Parts, main; from autoagent.models import ScriptedModel\n"
        "sys.exit(main(parts=Parts(load=lambda spec, home: ScriptedModel([]))))"
    )
    master, slave = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, "-c", driver],
        cwd=workspace,
        env={**os.environ, "AUTOAGENT_HOME": str(home), "PYTHONPATH": str(REPOSITORY), "TERM": "xterm"},
        stdin=slave, stdout=slave, stderr=slave,
    )  # fmt: skip
    os.close(slave)
    screen = b""
    os.write(master, b"/exit\r")
    try:
        while chunk := os.read(master, 4096):
            screen += chunk
    except OSError:  # the terminal closes with its last process
        pass
    os.close(master)
    assert running.wait(timeout=60) == 0
    assert b"Usage" not in screen
    assert b"/help" in screen
