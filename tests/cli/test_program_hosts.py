"""Hosts that programs may reach, as the settings and flags have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoagent.cli import Parts
from autoagent.cli.checkup import LOOKS
from autoagent.cli.checkup.machine import program_hosts
from autoagent.cli.exits import Exit
from autoagent.security import Sandbox

from .conftest import Cli, assert_one_line

needs_bubblewrap = pytest.mark.skipif(
    bool(Sandbox(only="bubblewrap").blocked), reason="bubblewrap does not work here"
)


@needs_bubblewrap
def test_the_doctor_tries_the_proxy(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOAGENT_PROGRAM_HOSTS", "example.org,*.python.org")
    found = list(program_hosts(Parts()))
    assert [each.status for each in found] == ["ok"]
    assert found[0].text.startswith("programs reach example.org, *.python.org by the sandbox's proxy")
    assert program_hosts in LOOKS


@needs_bubblewrap
def test_a_call_asks_and_is_told_what_was_refused(cli: Cli, home: Path) -> None:
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text('program_hosts = ["example.org"]\n', encoding="utf-8")
    lines = {line.split()[0]: line for line in cli("tools", "list").out.splitlines() if line.strip()}
    assert lines["run_shell"].endswith("execute, network · ask")
    call = ("tools", "call", "run_shell", '{"command": "curl -s http://evil.example/; true"}')
    assert cli(*call).code == Exit.DENIED
    assert "Connection refused by the sandbox: the host evil.example (port 80)" in cli(*call, "--yes").out


@pytest.mark.skipif(bool(Sandbox(only="landlock").blocked), reason="Landlock does not work here")
def test_a_run_warns_that_landlock_cannot_tell_hosts_apart(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOAGENT_SANDBOX", "landlock")
    done = cli("run", "-q", "-g", "What is 40 + 2?", "--program-host", "example.org")
    assert (done.code, done.out.strip()) == (0, "42")
    assert "autoagent: warning: programs cannot be run" in done.err
    assert "set it to auto, or take program_hosts out" in done.err
    assert done.err.count("\n") == 1


def test_a_malformed_host_is_one_line(cli: Cli) -> None:
    done = cli("run", "-q", "-g", "What is 40 + 2?", "--program-host", "https://example.org/")
    assert_one_line(done, Exit.USAGE, "without https://")
