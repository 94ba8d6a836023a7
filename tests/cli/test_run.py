"""``autoagent run``: goals, output, exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from autoagent.cli import Exit
from autoagent.cli.exits import of_run
from autoagent.events import Event
from autoagent.store import Store
from autoagent.trajectory import Ending, Reply, Verdict

from .conftest import ANSWERS_42, Cli, assert_one_line, call

RUN = ("run", "-g", "What is 6 * 7?")
FAULTY = '''
from autoagent import tool


@tool
def divide(number: int) -> float:
    """Divide one by a number."""
    return 1 / number
'''


def test_shows_goal_plan_steps_answer_verdict_and_ending(cli: Cli) -> None:
    done = cli(*RUN, "--expect", "42")
    assert done.code == 0
    assert done.err == ""
    lines = [line.rstrip() for line in done.out.splitlines()]
    assert lines[0] == "goal     What is 6 * 7?"
    assert "plan     ○ 1. calculate the product" in lines
    assert 'step 1   calculate(expression="6 * 7")' in lines
    assert lines[lines.index('step 1   calculate(expression="6 * 7")') + 1] == "         42"
    assert "         ✓ 1. calculate the product" in lines
    assert "         ✓ 2. finish with the answer" in lines
    assert "answer   42" in lines
    assert "verdict  ✓ verified by check" in lines
    assert any(line.startswith("ending   finished · 2 steps · 3 tokens · ") for line in lines)
    assert "0 cached · 0 read · 0 forced · 1 sampled" in done.out


def test_a_pipe_gets_no_colours_and_no_spinner(cli: Cli) -> None:
    assert "\x1b" not in cli(*RUN).out


def test_quiet_prints_the_answer_alone(cli: Cli) -> None:
    done = cli(*RUN, "-q")
    assert (done.code, done.out, done.err) == (0, "42\n", "")


def test_json_is_one_object_and_stdout_has_nothing_else(cli: Cli, home: Path) -> None:
    done = cli(*RUN, "--expect", "42", "--output-format", "json")
    assert set(done.json) == {"answer", "verdict", "ending", "run_id", "steps", "seconds", "model"}
    assert done.json["answer"] == "42"
    assert done.json["verdict"]["status"] == "verified"
    assert done.json["steps"] == 2
    assert Store(home).load(done.json["run_id"]).ending == "finished"
    assert "step 1" in done.err


def test_stream_json_prints_every_event_and_the_result_last(cli: Cli) -> None:
    done = cli(*RUN, "--output-format", "stream-json")
    *lines, last = done.out.splitlines()
    parsed = [TypeAdapter(Event).validate_json(line).type for line in lines]
    assert parsed[0] == "started"
    assert parsed[-2:] == ["ending", "verdict"]
    assert {"plan", "token", "call", "observation", "step"} <= set(parsed)
    assert json.loads(last)["type"] == "result"
    assert json.loads(last)["answer"] == "42"


def test_the_goal_may_come_from_a_file_or_from_stdin(cli: Cli, workspace: Path) -> None:
    (workspace / "goal.txt").write_text("What is 6 × 7?\n", encoding="utf-8")
    assert "goal     What is 6 × 7?\n" in cli("run", "--goal-file", "goal.txt").out
    assert "goal     What is 6 × 7?\n" in cli("run", "-", stdin="What is 6 × 7?".encode()).out
    assert "goal     What is 6 × 7?\n" in cli("run", "--goal-file", "-", stdin="What is 6 × 7?".encode()).out


def test_a_plan_that_is_empty_is_shown_as_none_and_no_plan_is_not_shown(cli: Cli) -> None:
    script: list[Any] = [[], call("finish", answer="42")]
    assert "\nplan     none\n" in cli(*RUN, script=script).out
    assert "plan  " not in cli(*RUN, "--plan", "off", script=script[1:]).out


def test_a_goal_needs_no_option(cli: Cli) -> None:
    done = cli("run", "What is 6 * 7?", "--json")
    assert (done.code, done.json["answer"]) == (0, "42")
    assert_one_line(cli("What is 6 * 7?"), Exit.USAGE, 'autoagent run "What is 6 * 7?"')


def test_a_long_goal_does_not_flood_the_screen(cli: Cli) -> None:
    shown = cli("run", "What is 6 * 7?\n" * 500).out
    assert "… 492 more lines" in shown
    assert shown.count("What is 6 * 7?") == 8


def test_a_run_that_can_go_on_says_how(cli: Cli) -> None:
    assert "note     autoagent run --continue goes on with it\n" in cli(*RUN, "--max-steps", "1").out
    assert "goes on with it" not in cli(*RUN).out


def test_a_workspace_that_was_not_there_is_told(cli: Cli, workspace: Path) -> None:
    assert cli(*RUN, "-q", "-w", "wrok").err == f"autoagent: note: made the folder {workspace / 'wrok'}\n"
    assert cli(*RUN, "-q", "-w", "wrok").err == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "no goal was given"),
        (("-g", "a", "-"), "more than one goal"),
        (("-g", "  "), "the goal is empty"),
        (("-g", "a\udcff"), "not valid UTF-8"),
        (("-",), "not UTF-8 text"),
        (("--goal-file", "nothing.txt"), "cannot be read"),
        (("some goal", "--goal-file", "goal.txt"), "more than one goal"),
        (("-g", "a", "--json", "--output-format", "stream-json"), "choose one"),
        (("-g", "a", "--bogus"), "No such option"),
        (("-g", "a", "--max-steps", "0"), "--max-steps"),
        (("-g", "a", "--timeout", "0"), "--timeout"),
        (("-g", "a", "--expect", "/(/"), "regular expression"),
        (("-g", "a", "--check", "no-such-program-here --x"), "no-such-program-here: not found"),
        (("-g", "a", "--check", " "), "--check is empty"),
        (("-g", "a", "--base-url", "http://127.0.0.1:1"), "--model openai:NAME"),
        (("-g", "a", "-w", "goal.txt"), "is a file"),
        (("-g", "a", "--tools", "nothing.py"), "does not exist"),
        (("-g", "a", "--output-format", "xml"), "xml"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(
    cli: Cli, workspace: Path, home: Path, arguments: tuple[str, ...], words: str
) -> None:
    (workspace / "goal.txt").touch()
    done = cli("run", *arguments, stdin=b"\xff\xfe")
    assert done.code == Exit.USAGE
    assert done.out == ""
    assert done.err.startswith("autoagent: error: ")
    assert done.err.count("\n") == 1
    assert words in done.err
    assert Store(home).runs() == []


ENDINGS: list[tuple[list[Any], tuple[str, ...], str, Exit]] = [
    (ANSWERS_42, ("--check", 'test "$ANSWER" = 42'), "finished", Exit.OK),
    (ANSWERS_42, ("--check", "false"), "finished", Exit.REFUTED),
    (ANSWERS_42, ("--expect", "43"), "finished", Exit.REFUTED),
    (ANSWERS_42, ("--expect", "/^4/", "--check", "false"), "finished", Exit.REFUTED),
    ([["a"], call("decline", reason="no")], (), "declined", Exit.DECLINED),
    ([["a"], *["<tool_call>oh"] * 3], (), "format_errors", Exit.STUCK),
    ([["a"], *["talk"] * 5, ["b"], *["talk"] * 2], (), "stuck", Exit.STUCK),
    ([["a"], *[call("calculate", expression="1")] * 9], ("--max-steps", "2"), "max_steps", Exit.BUDGET),
    ([["a"], *[call("calculate", expression="1")] * 9], ("--max-tokens", "2"), "max_tokens", Exit.BUDGET),
    ([["a"], *[call("calculate", expression="1")] * 9], ("--timeout", "1e-9"), "timeout", Exit.BUDGET),
    ([["a"], *[call("finetune")] * 9], (), "denied", Exit.DENIED),
]


@pytest.mark.parametrize(("script", "arguments", "ending", "code"), ENDINGS)
def test_every_ending_has_its_exit_code(
    cli: Cli, script: list[Any], arguments: tuple[str, ...], ending: str, code: Exit
) -> None:
    goal = "Retrain your own model" if ending == "denied" else "What is 6 * 7?"
    done = cli("run", "-g", goal, "--output-format", "json", *arguments, script=script)
    assert (done.json["ending"], done.code) == (ending, code)


def test_a_budget_ending_stays_one_when_the_check_holds() -> None:
    verified = Verdict(status="verified", by="check")
    assert of_run("max_steps", verified, checked=True) == Exit.BUDGET
    endings: list[Ending] = ["stuck", "interrupted", "error", "declined"]
    assert [of_run(each, verified, checked=True) for each in endings] == [4, 130, 1, 6]


def test_a_check_that_could_not_judge_did_not_pass() -> None:
    assert of_run("finished", Verdict(), checked=True) == Exit.USAGE
    assert of_run("finished", Verdict(), checked=False) == Exit.OK


def test_a_tool_that_raises_is_one_line_and_the_record_has_the_traceback(
    cli: Cli, workspace: Path, home: Path
) -> None:
    (workspace / "mine.py").write_text(FAULTY, encoding="utf-8")
    script = [["divide"], ("1. divide", call("divide", number=0))]
    done = cli("run", "-g", "Divide one by zero", "--tools", "mine.py", script=script)
    assert done.code == Exit.ERROR
    run = Store(home).load("last")
    assert done.err == (
        "autoagent: error: tool divide raised ZeroDivisionError: division by zero; "
        f"traceback: autoagent runs show {run.run_id}\n"
    )
    assert "ending   error" in done.out
    assert "ZeroDivisionError" in cli("runs", "show", run.run_id).out
    assert run.steps[-1].reply.calls[0].name == "divide"


def test_yes_grants_what_nobody_can_be_asked_for(cli: Cli, workspace: Path) -> None:
    (workspace / "mine.py").write_text(
        "from autoagent import tool\n\n\n@tool(effects=('network',))\ndef ring(name: str) -> str:\n"
        '    """Ring a bell far away."""\n    return "rang " + name\n',
        encoding="utf-8",
    )
    script = [["ring"], call("ring", name="tom"), call("finish", answer="done")]
    arguments = ("run", "-g", "Ring a bell far away", "--tools", "mine.py")
    assert "rang tom" not in (asked := cli(*arguments, script=script)).out
    assert "refused: network" in asked.out
    assert "nobody is there to ask; --allow ring, --yes or an allow rule" in asked.out
    assert "rang tom" in (granted := cli(*arguments, "--yes", script=script)).out
    assert "allowed: network" in granted.out


def test_flags_win_over_the_environment_and_that_over_the_project(
    cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = [["a"], *[call("calculate", expression="1")] * 9]
    home.mkdir()
    (home / "config.toml").write_text("max_steps = 1\n", encoding="utf-8")

    def steps(*more: str) -> int:
        return int(cli(*RUN, "--output-format", "json", *more, script=script).json["steps"])

    assert steps() == 1
    monkeypatch.setenv("AUTOAGENT_MAX_STEPS", "2")
    assert steps() == 2
    assert steps("--max-steps", "3") == 3


def test_an_unknown_setting_is_one_line(cli: Cli, home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text("max_step = 1\n", encoding="utf-8")
    done = cli(*RUN)
    assert done.code == Exit.USAGE
    assert done.err.count("\n") == 1
    assert "max_step" in done.err


def test_an_unwritable_home_is_an_error_of_the_store(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = cli("--home", str(tmp_path / "file" / "home"), *RUN)
    assert done.code == Exit.ERROR
    assert done.err.startswith("autoagent: error: ")
    assert done.err.count("\n") == 1


def test_a_reply_cut_short_is_shown(cli: Cli) -> None:
    script = [["a"], Reply(text="hm", complete=False), call("finish", answer="x")]
    assert "step 1   hm" in cli(*RUN, script=script).out


def test_what_a_file_says_cannot_steer_the_terminal(cli: Cli, workspace: Path) -> None:
    (workspace / "evil.txt").write_text(
        "\x1b[2Jgone\x07\n\u202eabc\u200b\U000e0041\n[red]plain[/red]", encoding="utf-8"
    )
    script = [["read"], call("read_file", path="evil.txt"), call("finish", answer="\x1b]0;title\x07")]
    done = cli("run", "-g", "Read the text file evil.txt", script=script)
    assert "\x1b" not in done.out
    assert not {"\u202e", "\u200b", "\U000e0041"} & set(done.out)
    assert "[red]plain[/red]" in done.out


def test_the_seed_and_temperature_reach_the_record(cli: Cli, home: Path) -> None:
    cli(*RUN, "--seed", "7", "--temperature", "0.5")
    assert Store(home).load("last").seed == 7
