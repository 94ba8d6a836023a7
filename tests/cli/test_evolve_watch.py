"""``autoagent evolve SUITE --after N`` and ``--every``: what is said, and how it ends."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from autoagent.cli import Exit

from .conftest import Cli, assert_one_line

SUITE = """
[[task]]
id = "product"
goal = "What is 6 * 7?"
expected = { answer = "42" }
"""


@pytest.fixture(autouse=True)
def _suite_file(workspace: Path) -> None:
    (workspace / "suite.toml").write_text(SUITE, encoding="utf-8")


def test_one_look_says_how_many_runs_are_new(cli: Cli) -> None:
    cli("run", "-g", "What is 6 * 7?", "--expect", "42")
    done = cli("evolve", "suite.toml", "--after", "2", "--once")
    assert (done.code, done.out, done.err) == (Exit.OK, "nothing new: 1 of 2 runs\n", "")
    told = cli("evolve", "suite.toml", "--every", "7d", "--once", "--output-format", "json").json
    assert (told["suite"], told["new"], told["due"], told["drift"]) == ("suite", 1, False, None)
    other = cli("evolve", "suite.toml", "--after", "2", "--once", "--tag", "family:mail")
    assert other.out == "nothing new: 0 of 2 runs\n"


def test_one_look_at_runs_without_token_ids_is_one_line(cli: Cli) -> None:
    cli("run", "-g", "What is 6 * 7?", "--expect", "42")
    done = cli("evolve", "suite.toml", "--after", "1", "--once")
    assert_one_line(done, Exit.USAGE, "nothing was trained: none of the 1 verified runs can be learned from")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--once",), "--once is of training on your own runs: give --after or --every, too"),
        (("--tag", "mail"), "--tag is of training on your own runs"),
        (("--after", "3", "--rounds", "2"), "--rounds is of practice on a suite"),
        (("--every", "soon"), "'soon' is no length of time: give minutes, hours, days or weeks"),
        (("--every", "0h"), "'0h' is no length of time"),
        (("--after", "0"), "--after"),
    ],
)
def test_options_that_do_not_go_together_are_one_line(cli: Cli, options: tuple[str, ...], words: str) -> None:
    assert_one_line(cli("evolve", "suite.toml", *options), Exit.USAGE, words)


def test_ctrl_c_ends_the_wait(process: Callable[..., subprocess.Popen[str]]) -> None:
    waiting = process("evolve", "suite.toml", "--after", "20", "--every", "7d")
    assert waiting.stderr is not None
    line = waiting.stderr.readline()
    assert (
        line == "waiting for 20 new verified runs, or one and 7 d since the last training; Ctrl-C ends it\n"
    )
    waiting.send_signal(signal.SIGINT)
    out, err = waiting.communicate(timeout=60)
    assert (waiting.returncode, out) == (Exit.INTERRUPTED, "")
    assert "the same command goes on" in err
