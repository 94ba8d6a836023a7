"""Secrets that a user types, or that stand in the workspace of a run: not in the record, not in exports."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoagent.cli import Exit

from .conftest import Cli, assert_one_line, call

VALUE = "hunter2-blue-77"
CHECK = f"grep -q {VALUE} .env"
FINISHES = [["look"], call("finish", answer="done")]
STOPPED = [["look"], call("list_files")]  # the script ends, which is a fault of the model
REPEATS = [["look"], call("calculate", expression=f"{VALUE} + 1"), call("finish", answer=f"it is {VALUE}")]
FORMS = ("html", "atif", "messages", "native")


@pytest.fixture(autouse=True)
def _env(workspace: Path) -> None:
    (workspace / ".env").write_text(f"DB_PASSWORD={VALUE}\n", encoding="utf-8")


def on_disk(home: Path) -> str:
    files = [file for file in home.glob("runs.db*") if file.is_file()]
    return "\n".join(file.read_bytes().decode("utf-8", "replace") for file in files)


def test_a_check_is_carried_out_with_a_secret_and_recorded_without(cli: Cli, home: Path) -> None:
    done = cli("run", "-g", "look", "-q", "--check", CHECK, "--expect", "done", script=FINISHES)
    assert done.code == Exit.OK
    assert VALUE not in on_disk(home)
    assert "[secret: DB_PASSWORD]" in on_disk(home)
    for form in FORMS:
        assert VALUE not in cli("runs", "export", "-f", form, "--no-files").out


def test_a_run_goes_on_with_the_check_it_was_given(cli: Cli, home: Path, workspace: Path) -> None:
    assert cli("run", "-g", "look", "-q", "--check", CHECK, script=STOPPED).code == Exit.ERROR
    (workspace / ".env").rename(workspace / "env.txt")
    done = cli("run", "-c", "-q", script=FINISHES[1:])
    assert_one_line(done, Exit.USAGE, "the check on record holds the secret DB_PASSWORD, which is not known")
    again = cli("run", "-c", "-q", "--check", f"grep -q {VALUE} env.txt", script=STOPPED)
    assert again.code == Exit.ERROR
    (workspace / "env.txt").rename(workspace / ".env")
    assert cli("run", "-c", "-q", script=FINISHES[1:]).code == Exit.OK
    assert VALUE not in on_disk(home)


def test_practice_checks_as_the_run_was_checked(cli: Cli, home: Path, workspace: Path) -> None:
    check = f'grep -q {VALUE} .env && test "$ANSWER" = right'
    wrong, right = ([["look"], call("finish", answer=each)] for each in ("wrong", "right"))
    assert cli("run", "-g", "look", "-q", "--check", check, script=wrong).code == Exit.REFUTED
    assert cli("practice", "--minutes", "1", script=[right[1]]).out.startswith("1 of 1 failed runs has")
    assert VALUE not in on_disk(home)
    (workspace / ".env").unlink()
    assert cli("run", "-g", "look on", "-q", "--check", check, script=wrong).code == Exit.REFUTED


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("there", [True, False])
def test_an_export_knows_the_key_files_of_the_run(
    cli: Cli, home: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch, form: str, there: bool
) -> None:
    monkeypatch.setenv("AUTOAGENT_SECRETS", "false")
    cli("run", "-g", "look", "-q", script=REPEATS)
    monkeypatch.delenv("AUTOAGENT_SECRETS")
    assert VALUE in on_disk(home)
    if not there:
        (workspace / ".env").unlink()
    told = cli("runs", "export", "-f", form)
    assert told.code == Exit.OK
    assert VALUE not in told.out
    assert "[secret: DB_PASSWORD]" in told.out
