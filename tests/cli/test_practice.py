"""``autoagent practice`` and ``autoagent runs correct``, as they are typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoagent.cli import Exit
from autoagent.store import Store
from autoagent.training.selection import Selection, select

from .conftest import Cli, assert_one_line, call

WRONG = [["write it"], call("write_file", path="a.txt", content="one"), call("finish", answer="wrong")]
RIGHT = [call("finish", answer="two")]


def lose(cli: Cli, *check: str) -> str:
    """A run that went wrong; its id."""
    return str(cli("run", "-g", "Write it", *check, "--output-format", "json", script=WRONG).json["run_id"])


def test_practice_tells_what_was_found_and_keeps_it(cli: Cli, home: Path, workspace: Path) -> None:
    lost = lose(cli, "--expect", "two")
    (workspace / "a.txt").write_text("mine", encoding="utf-8")
    done = cli("practice", "--minutes", "1", script=RIGHT)
    assert (done.code, done.err) == (Exit.OK, "")
    first, second, third = done.out.splitlines()
    assert first == "1 of 1 failed runs has a verified alternative now (1 tried)"
    assert f"instead of {lost} from step 2" in second
    assert third == "learn from them: autoagent finetune"
    kept = Store(home).runs()[0]
    assert (kept.parent, kept.verdict.status) == (lost, "verified")
    assert f"branched from: autoagent runs show {lost}" in cli("runs", "show").out
    assert (workspace / "a.txt").read_text(encoding="utf-8") == "mine"


def test_practice_prints_json(cli: Cli) -> None:
    lost = lose(cli, "--check", 'test "$ANSWER" = two')
    found = cli("practice", "--runs", f"{lost},last", "--json", script=RIGHT).json
    assert [pair["parent"] for pair in found["found"]] == [lost]
    assert found["out_of_time"] is False


def test_nothing_to_practise_on_is_one_line(cli: Cli, workspace: Path) -> None:
    assert_one_line(cli("practice"), Exit.USAGE, "no failed runs to practise on: run goals with --check")
    lost = lose(cli)
    cli("runs", "rate", lost, "bad")
    assert_one_line(cli("practice"), Exit.USAGE, "1 rated by the user only, with nothing to check by")
    assert_one_line(cli("practice", "--runs", "nothing"), Exit.USAGE, "there is no run 'nothing'")
    assert_one_line(cli("practice", "--minutes", "0"), Exit.USAGE, "--minutes 0: give a number above 0")
    suite = '[[task]]\nid = "a"\nfamily = "f"\ngoal = "Do it"\nexpected = { answer = "two" }\n'
    (workspace / "mine.toml").write_text(suite, encoding="utf-8")
    done = cli("practice", "--suite", "mine.toml")
    assert_one_line(done, Exit.USAGE, "autoagent eval mine.toml --keep")


def test_failed_runs_of_a_suite_are_practised_on_and_keep_their_family(
    cli: Cli, home: Path, workspace: Path
) -> None:
    suite = '[[task]]\nid = "a"\nfamily = "f"\ngoal = "Do it"\nexpected = { answer = "two" }\n'
    (workspace / "mine.toml").write_text(suite, encoding="utf-8")
    cli("eval", "mine.toml", "--keep", script=WRONG)
    done = cli("practice", "--suite", "mine.toml", script=RIGHT)
    assert "1 of 1 failed runs has a verified alternative" in done.out
    found = select(Store(home), Selection(suite="mine", tags=("family:f",)))
    assert [run.tags for run in found.positives.summaries] == [("practice", "family:f")]
    assert [run.tags for run in found.negatives.summaries] == [("family:f",)]
    assert not select(Store(home), Selection(suite="mine", tags=("family:g",))).positives


def test_a_run_is_corrected_and_checked(cli: Cli, home: Path) -> None:
    lost = lose(cli, "--expect", "two")
    done = cli("runs", "correct", lost, "--finish", "two", script=[])
    assert done.code == Exit.OK
    kept = Store(home).runs()[0]
    assert done.out == (
        f"{kept.run_id} is kept as a correction of {lost}: verified; learn from it: autoagent finetune\n"
    )
    assert f"run {lost}, step 2: Write it" in done.err
    assert 'finish(answer="wrong")' in done.err
    assert (kept.tags, kept.parent, kept.verdict.by) == (("correction",), lost, "check")


def test_a_correction_that_goes_wrong_again_can_be_corrected_further(cli: Cli) -> None:
    lost = lose(cli, "--expect", "two")
    right = 'write_file {"path": "b.txt", "content": "two"}'
    done = cli(
        "runs", "correct", lost, "--step", "1", "--call", right, "--json", script=[call("finish", answer="3")]
    )
    assert (done.code, done.json["verdict"]["status"]) == (Exit.REFUTED, "refuted")
    assert (done.json["parent"], done.json["step"]) == (lost, 1)
    again = cli("runs", "correct", done.json["run_id"], "--finish", "two", "--json", script=[])
    assert again.json["verdict"]["status"] == "verified"


def test_without_a_check_the_user_says_whether_it_is_right(cli: Cli, home: Path) -> None:
    lost = lose(cli)
    done = cli("runs", "correct", lost, "--finish", "two", script=[])
    assert "unverified; say whether it is right: autoagent runs rate" in done.out
    done = cli("runs", "correct", lost, "--finish", "two", "--good", script=[])
    assert "verified; learn from it" in done.out
    assert Store(home).runs()[0].verdict.by == "user"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "there is no terminal to ask on: say what is right with --call"),
        (("--call", "x", "--finish", "y"), "once: --call or --finish"),
        (("--call", "read_file path"), "the arguments of read_file are not JSON"),
    ],
)
def test_a_correction_that_makes_no_sense_is_one_line(
    cli: Cli, arguments: tuple[str, ...], words: str
) -> None:
    lose(cli)
    assert_one_line(cli("runs", "correct", "last", *arguments), Exit.USAGE, words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--call", "fly {}"), "there is no tool fly; the tools are"),
        (("--call", "read_file {}"), "read_file: path: Field required"),
        (("--finish", "wrong"), "did in step 2: say what is right instead"),
        (("--step", "7", "--finish", "x"), "has no step 7"),
        (("--step", "0", "--finish", "x"), "made the plan: choose one that acted"),
    ],
)
def test_a_call_that_does_not_fit_is_one_line_after_what_was_done(
    cli: Cli, arguments: tuple[str, ...], words: str
) -> None:
    lose(cli)
    done = cli("runs", "correct", "last", *arguments)
    assert (done.code, done.out) == (Exit.USAGE, "")
    last = done.err.splitlines()[-1]
    assert last.startswith("autoagent: error: ")
    assert words in last
