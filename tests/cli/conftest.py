"""The command line, called as a user calls it; only the model is scripted."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from autoagent.cli import Exit, Parts, main
from autoagent.models import ScriptedModel
from autoagent.trajectory import ToolCall

REPOSITORY = Path(__file__).resolve().parents[2]


def call(tool: str, /, **arguments: Any) -> ToolCall:
    return ToolCall(name=tool, arguments=arguments)


ANSWERS_42: list[Any] = [
    ["calculate the product", "finish with the answer"],
    ("1. calculate the product", call("calculate", expression="6 * 7")),
    ("2. finish with the answer", call("finish", answer="42")),
]


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Outcome]


def assert_one_line(done: Outcome, code: Exit, words: str = "") -> None:
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("autoagent: error: ")
    assert done.err.count("\n") == 1
    assert words in done.err


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def cli(
    home: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Cli:
    """``cli("run", "-g", "…", script=[…])`` in the workspace: the exit code and what was printed."""
    monkeypatch.chdir(workspace)
    monkeypatch.setenv("AUTOAGENT_HOME", str(home))

    def invoke(*arguments: str, script: Sequence[Any] = ANSWERS_42, stdin: bytes = b"") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        capsys.readouterr()
        code = main(arguments, Parts(load=lambda spec, home: ScriptedModel(script)))
        printed = capsys.readouterr()
        return Outcome(code, printed.out, printed.err)

    return invoke


DRIVER = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests run in the background
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored under nohup
from autoagent.cli import Exit, Parts, main
from autoagent.models import ScriptedModel
from autoagent.trajectory import ToolCall
sys.exit(main(parts=Parts(load=lambda spec, home: ScriptedModel({script}))))
"""


@pytest.fixture
def process(home: Path, workspace: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """The same in a process of its own, for signals, pipes and terminals."""
    started: list[subprocess.Popen[str]] = []

    def start(
        *arguments: str, script: str = "[]", env: dict[str, str] | None = None, **streams: Any
    ) -> subprocess.Popen[str]:
        path = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "AUTOAGENT_HOME": str(home), "PYTHONPATH": os.pathsep.join(path)}
        running = subprocess.Popen(
            [sys.executable, "-c", DRIVER.format(script=script), *arguments],
            cwd=workspace,
            env={**environment, **(env or {})},
            text=True,
            encoding="utf-8",
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
        )
        started.append(running)
        return running

    yield start
    for running in started:
        with running:  # closes its pipes and waits for it
            running.kill()


@pytest.fixture
def small_disk(home: Path) -> Iterator[Callable[[str], None]]:
    """``small_disk("size=1m")``: the home on a file system of its own, where that is allowed."""
    home.mkdir()

    def mount(options: str) -> None:
        try:
            done = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "none", str(home)], capture_output=True, check=False
            )
        except OSError:
            pytest.skip("there is no mount command")
        if done.returncode:
            pytest.skip("file systems cannot be mounted here")

    yield mount
    subprocess.run(["umount", "-l", str(home)], check=False, capture_output=True)
