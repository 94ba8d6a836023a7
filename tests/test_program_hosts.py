"""Runs whose programs may reach hosts: asked about like the network, on record, tainted by what came in."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from autoagent.security import Rules, Sandbox
from autoagent.trajectory import Observation

from .stage import FINISH, Stage, call, stage

__all__ = ["stage"]

pytestmark = pytest.mark.skipif(
    bool(Sandbox(only="bubblewrap").blocked), reason="bubblewrap does not work here"
)

FETCH = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())"


def fetch(url: str) -> str:
    return f"{sys.executable} -c '{FETCH}' {url} 2>&1 | tail -1"


@pytest.fixture
def site() -> Iterator[str]:
    """A host that says hello once."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            client, _ = server.accept()
            with client:
                if client.recv(9999):
                    client.sendall(b"HTTP/1.1 200 OK\r\n\r\nhello")

        thread = threading.Thread(target=answer)
        thread.start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        yield address
        with socket.socket() as last:  # where nobody has come
            last.settimeout(1)
            last.connect_ex(server.getsockname())
        thread.join()


def played(stage: Stage, site: str, command: str, **options: Any) -> Observation:
    """What a run records of one command."""
    options = {"sandbox": Sandbox(hosts=(site,)), "builtins": {"run_shell"}, "tools": ()} | options
    run = stage.play([["go"], call("run_shell", command=command), FINISH], **options)
    return next(
        seen for step in run.trajectory.steps for seen in step.observations if seen.permission or seen.ok
    )


def test_a_run_asks_about_it_as_about_the_network(stage: Stage, site: str) -> None:
    seen = played(stage, site, f"curl -sS http://{site}/")
    assert seen.content.startswith("Error: permission for run_shell was refused (network): nobody is there")
    assert seen.permission is not None
    assert (seen.permission.granted, seen.permission.effects) == (False, ("network",))
    without = played(stage, site, "echo on", sandbox=Sandbox())
    assert (without.content, without.permission) == ("on", None)


def test_what_it_reached_taints_the_run_and_refusals_are_on_record(stage: Stage, site: str) -> None:
    command = f"{fetch(f'http://{site}/x')}; {fetch('http://evil.example/')}"
    seen = played(stage, site, command, rules=Rules(allow=("run_shell",)))
    assert seen.origin is not None
    assert seen.origin.outside == "127.0.0.1"
    assert "Connection refused by the sandbox: the host evil.example (port 80)" in seen.content
    seen = played(stage, site, fetch("http://evil.example/"), rules=Rules(allow=("run_shell",)))
    assert seen.origin is not None
    assert seen.origin.outside == ""  # nothing came in
