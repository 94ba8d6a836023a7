"""Goals and the checks that decide: expected answers, commands, functions."""

from __future__ import annotations

import os
import resource
import time
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoagent.errors import UsageError
from autoagent.goal import Goal, command, expect, verify
from autoagent.trajectory import Verdict
from autoagent.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.at(tmp_path)


def fits(expected: str, answer: str) -> bool:
    verdict = cast("Verdict", expect(expected)(Workspace(Path()), answer))
    assert verdict.by == "check"
    assert (verdict.status == "verified") == (verdict.score == 1.0) == (not verdict.reason)
    return verdict.status == "verified"


@pytest.mark.parametrize(
    ("expected", "answer"),
    [
        ("4", "4"),
        ("4", "There are 4 files."),
        ("4", "x = 4"),
        ("4", "1,2,4"),
        ("4", "pages 2-4"),
        ("-4", "It is -4."),
        ("4.5", "4.5 kg"),
        ("4,000", "4,000 euros"),
        ("blue", "The key is BLUE!"),
        ("spare key", "the spare\n key"),
        ("notes.txt", "docs/notes.txt:3"),
        ("é", "É"),
        ("(a)", "see (a) there"),
        ("/^4\\d$/", "42"),
        ("/", "a / b"),
    ],
)
def test_what_is_expected_is_found(expected: str, answer: str) -> None:
    assert fits(expected, answer)


@pytest.mark.parametrize(
    ("expected", "answer"),
    [
        ("4", "42"),
        ("4", "4.5"),
        ("4", "0.4"),
        ("4", "14"),
        ("4", "-4"),
        ("4", "= −4"),
        ("4", "4,000"),
        ("004", "1,004"),
        ("4.5", "4.55"),
        ("4.5", "14.5"),
        ("4,000", "4,000,000"),
        ("blue", "blueberry"),
        ("blue", ""),
        ("spare key", "spare the key"),
        ("a.b", "acb"),
        ("/^4$/", "42"),
    ],
)
def test_what_is_not_expected_is_not_found(expected: str, answer: str) -> None:
    assert not fits(expected, answer)


@given(st.integers(), st.integers())
def test_a_number_is_found_in_itself_alone(expected: int, answer: int) -> None:
    assert fits(str(expected), f"It is {answer}.") == (expected == answer)


@pytest.mark.parametrize(
    ("text", "said"), [(" ", "is empty"), ("", "is empty"), ("/(/", "is not a regular expression")]
)
def test_an_expectation_that_says_nothing_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        expect(text)


def test_a_goal_needs_words() -> None:
    with pytest.raises(UsageError, match="the goal is empty"):
        Goal(" \n")


def run(line: str, workspace: Workspace, answer: str = "", timeout: float = 60) -> Verdict:
    return verify(Goal("g", command(line, timeout=timeout)), workspace, answer)


def test_a_command_verifies_with_exit_status_0_in_the_workspace(workspace: Workspace) -> None:
    workspace.path("a.txt").write_text("hello", encoding="utf-8")
    assert run("grep -q hello a.txt", workspace) == Verdict(status="verified", score=1.0, by="check")


def test_a_command_refutes_with_any_other_status_and_its_last_words(workspace: Workspace) -> None:
    verdict = run("echo one; echo two; echo three >&2; exit 3", workspace)
    assert (verdict.status, verdict.score, verdict.reason) == ("refuted", 0.0, "exit status 3: two / three")
    assert run("exit 1", workspace).reason == "exit status 1"


@pytest.mark.parametrize("answer", ["42", "$(touch broken); `x` \"'", "zwölf\nlines", ""])
def test_the_answer_reaches_the_command_unharmed(workspace: Workspace, answer: str) -> None:
    assert run('printf %s "$ANSWER" > answer', workspace, answer).status == "verified"
    assert workspace.path("answer").read_text(encoding="utf-8") == answer
    assert not workspace.path("broken").exists()


@pytest.mark.parametrize(
    ("line", "said"), [("no-such-program-7 x", "no-such-program-7"), ("./plain", "[Pp]ermission denied")]
)
def test_a_command_that_cannot_run_is_the_users_to_fix(workspace: Workspace, line: str, said: str) -> None:
    workspace.path("plain").write_text("no program", encoding="utf-8")
    with pytest.raises(UsageError, match=f"the check command cannot run: .*{said}"):
        run(line, workspace)


def test_a_command_that_hangs_is_ended_with_its_children(workspace: Workspace) -> None:
    began = time.monotonic()
    verdict = run("(sleep 2; touch late) & sleep 60", workspace, timeout=0.2)
    assert (verdict.status, verdict.reason) == ("refuted", "the check took over 0.2 s")
    assert time.monotonic() - began < 1.9
    time.sleep(max(0.0, began + 2.2 - time.monotonic()))
    assert not workspace.path("late").exists()


def test_a_command_reads_nothing_and_may_print_anything(workspace: Workspace) -> None:
    assert run("cat; head -c 300000 /dev/zero; printf '\\377'", workspace).status == "verified"


def test_a_command_runs_however_many_files_are_open(workspace: Workspace) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4_096, before[1]), before[1]))
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        for _ in range(1_100):
            stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        assert verify(Goal("g", command("echo yes")), workspace, "").status == "verified"


def test_an_answer_no_program_can_be_handed_is_refuted_not_lost(workspace: Workspace) -> None:
    assert run("true", workspace, "a\0b").status == "refuted"
    assert run("true", workspace, "x" * 3_000_000).status == "refuted"
