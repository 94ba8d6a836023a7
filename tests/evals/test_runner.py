from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from autoagent.config import Limits
from autoagent.errors import UsageError
from autoagent.evals import (
    Comparison,
    Expected,
    Report,
    Suite,
    Task,
    TaskCheck,
    TaskResult,
    ToolSpec,
    compare,
    load_suite,
    print_comparison,
    print_report,
    run_suite,
    run_task,
)
from autoagent.evals.failures import failure_kind
from autoagent.memory.volatile import VolatileMemory
from autoagent.models.protocol import Expect, Json
from autoagent.models.scripted import Author, Line, ScriptedModel
from autoagent.store import Store
from autoagent.trajectory import Message, Observation, Reply, Step, ToolCall, Trajectory
from autoagent.workspace import Workspace

EXAMPLE = Path(__file__).parents[2] / "examples" / "suite.toml"


def _call(tool: str, **arguments: Any) -> ToolCall:
    return ToolCall(name=tool, arguments=arguments)


def _finish(answer: str) -> ToolCall:
    return _call("finish", answer=answer)


DECLINE = _call("decline", reason="no tool can")
READ = _call("read_file", path="notes.txt")
WRITE = _call("write_file", path="out.txt", content="hello")
LOOK = Task(
    id="look",
    family="files",
    goal="What is the code in notes.txt?",
    files={"notes.txt": "The code is 42."},
    expected=Expected(answer="42", calls=("read_file",)),
)
TWICE = LOOK.model_copy(update={"expected": Expected(answer="42", reference=("read_file", "list_files"))})
COPY = Task(
    id="copy",
    family="files",
    goal="Write hello to the file out.txt.",
    expected=Expected(files={"out.txt": "hello"}),
)
PIZZA = Task(id="pizza", family="declines", goal="Order a pizza.", expected=Expected(declines=True))


def _run(task: Task, *lines: Line, limits: Limits | None = None) -> TaskResult:
    return run_task(task, model=ScriptedModel([["do it"], *lines]), limits=limits)


def _always(call: ToolCall) -> Author:
    def author(messages: Sequence[Message], expect: Expect) -> Line:
        return ["go on"] if isinstance(expect, Json) else call

    return author


def _by_goal(**calls: list[ToolCall]) -> Author:
    """Do what is written for the first word of the goal that is named; one call a step."""

    def author(messages: Sequence[Message], expect: Expect) -> Line:
        if isinstance(expect, Json):
            return ["do it"]
        goal = messages[1].content.partition("\n")[0]  # what memory says stands below
        (script,) = (script for word, script in calls.items() if word in goal)
        return script[sum(message.role == "tool" for message in messages)]

    return author


def test_a_task_is_verified_by_what_was_left_behind() -> None:
    result = _run(LOOK, READ, _finish("The code is 42."))
    assert (result.success, result.failure, result.ending, result.steps) == (True, None, "finished", 2)
    assert result.verdict.by == "check"
    assert result.run_id is None
    assert result.trajectory is not None
    assert result.trajectory.steps[1].observations[0].content == "The code is 42."
    assert _run(COPY, WRITE, _finish("done")).success
    assert _run(PIZZA, DECLINE).success


@pytest.mark.parametrize(
    ("task", "lines", "kind"),
    [
        (LOOK, [_call("list_files"), READ, _finish("7")], "wrong tool"),
        (LOOK, [_call("read_file", path="note.txt"), _finish("42")], "argument error"),
        (LOOK, [_call("read_file", file="notes.txt"), _finish("42")], "argument error"),
        (LOOK, [READ, _finish("41")], "wrong answer"),
        (LOOK, [_finish("42")], "early finish"),
        (LOOK, [DECLINE], "declined wrongly"),
        (COPY, [_call("write_file", path="out.txt", content="bye"), _finish("done")], "wrong effect"),
        (PIZZA, [_finish("ordered")], "did not decline"),
        (LOOK, ["<tool_call> oops"] * 3, "format"),
        (LOOK, ["let me think"] * 5 + [["look"]] + ["let me think"] * 2, "format"),
        (LOOK, [READ], "error"),  # the script ends, which is a fault of the model's program
        (
            LOOK.model_copy(update={"expected": Expected(answer="42", calls=("read_file", "save_memory"))}),
            [READ, _finish("42")],
            "early finish",
        ),
        (TWICE, [_call("find_file", name="notes.txt"), _finish("7")], "wrong tool"),
        (TWICE, [READ, _finish("7")], "early finish"),
        (TWICE, [_call("list_files"), READ, _finish("7")], "wrong order"),
        (TWICE, [READ, _call("list_files"), _finish("7")], "wrong answer"),
    ],
)
def test_a_lost_task_says_why(task: Task, lines: list[Line], kind: str) -> None:
    result = _run(task, *lines)
    assert (result.success, result.failure) == (False, kind)


def test_a_reference_is_no_part_of_the_check() -> None:
    result = _run(TWICE, READ, _finish("42"))
    assert result.success
    assert "reference" not in str(result.verdict)


def test_a_run_out_of_budget_is_told_from_one_that_went_round_in_circles() -> None:
    reads = [_call("read_file", path=name) for name in ("a", "b", "c", "d")]
    limits = Limits(max_steps=4, replans=0)
    assert _run(LOOK, *reads, limits=limits).failure == "budget"
    assert _run(LOOK, *[READ] * 4, limits=limits).failure == "stuck"


def test_memory_is_filled_before_and_checked_after_and_shared_with_no_other_task() -> None:
    kept = Task(id="k", family="m", goal="Save it to memory.", expected=Expected(remembers="door code 4711"))
    save = _call("save_memory", text="The door code: 4711.")
    assert _run(kept, _call("save_memory", text="door code 4711"), _finish("ok")).success
    lost = _run(kept, save, _finish("ok"))
    assert (lost.success, lost.failure) == (False, "wrong effect")
    regex = kept.model_copy(update={"expected": Expected(remembers=r"/door code.? 4711/")})
    assert _run(regex, save, _finish("ok")).success

    known = Task(
        id="r", family="m", goal="Recall it.", memory=("The key is blue.",), expected=Expected(answer="blue")
    )
    result = _run(known, _call("recall_memory", query="key"), _finish("blue"))
    assert result.trajectory is not None
    assert result.trajectory.steps[1].observations[0].content == "The key is blue."


def test_custom_tools_answer_from_their_table() -> None:
    spec = ToolSpec(name="zorp", description="Zorp a word", argument="word", replies={"Ping": "pong"})
    task = Task(id="t", family="c", goal="Zorp ping", tools=(spec,), expected=Expected(answer="pong"))
    result = _run(task, _call("zorp", word="ping"), _finish("pong"))
    assert result.success
    assert result.trajectory is not None
    assert "zorp" in result.trajectory.tools


def test_a_file_that_must_go_is_checked() -> None:
    task = Task(id="t", family="f", goal="Delete x", files={"x": "1"}, expected=Expected(files={"x": None}))
    assert _run(task, _call("delete_file", path="x"), _finish("gone")).success
    assert "x is still there" in _run(task, _finish("gone")).verdict.reason


def test_training_is_only_rehearsed(tmp_path: Path) -> None:
    task = Task(id="t", family="l", goal="Retrain your own model.", expected=Expected(calls=("finetune",)))
    model = ScriptedModel([["train"], _call("finetune"), _finish("done")])
    assert run_task(task, model=model, home=tmp_path).success
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} <= {"snapshots", "locks"}


def test_a_refused_effect_is_told_from_a_faulty_call() -> None:
    refused = Observation(call=_call("fetch"), content="permission was refused", ok=False, detail="denied")
    steps = (Step(index=1, reply=Reply(text=""), observations=(refused,)),)
    run = Trajectory(run_id="r", goal="g", model="m", steps=steps, ending="finished")
    assert failure_kind(Expected(answer="4"), run, ["answer"]) == "denied"


def test_a_command_checks_the_workspace_and_the_answer() -> None:
    expected = Expected(command='grep -q hello out.txt && test "$ANSWER" = done')
    task = COPY.model_copy(update={"expected": expected})
    assert _run(task, WRITE, _finish("done")).success
    assert _run(task, WRITE, _finish("not done")).failure == "wrong effect"


def test_a_check_that_cannot_run_is_not_the_models_failure() -> None:
    broken = COPY.model_copy(update={"id": "broken", "expected": Expected(command="no-such-command-7")})
    report = run_suite(
        Suite("s", (COPY, broken)), model=ScriptedModel(_by_goal(hello=[WRITE, _finish("done")]))
    )
    assert (report.n, report.passed, report.check_errors, report.success) == (1, 1, 1, 1.0)
    result = report.results[1]
    assert (result.success, result.failure) == (False, None)
    assert "no-such-command-7" in result.check_error
    assert "1 not counted" in _shown(report)


def test_a_program_that_the_run_did_not_make_is_the_runs_failure() -> None:
    task = COPY.model_copy(update={"expected": Expected(command="./hello.sh | grep -q hello")})
    assert _run(task, _finish("done")).failure == "early finish"
    lost = _run(task.model_copy(update={"expected": Expected(command="bin/hello")}), WRITE, _finish("done"))
    assert (lost.failure, lost.check_error) == ("wrong effect", "")
    assert "the check command cannot run: " in lost.verdict.reason


def test_what_the_run_did_to_a_file_is_not_the_checks_fault(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path / "w")
    (workspace.root / "out.txt").symlink_to("/etc/hosts")
    (workspace.root / "loop").symlink_to("loop")
    for name, reason in (("out.txt", "outside the workspace"), ("loop", "leads to itself")):
        check = TaskCheck(Expected(files={name: "x"}), VolatileMemory())
        verdict = check(workspace, "")
        assert (verdict.status, check.fault) == ("refuted", "")
        assert reason in verdict.reason
    check = TaskCheck(Expected(files={"../x": "x"}), VolatileMemory())
    assert check(workspace, "").status == "unverified"
    assert "outside the workspace" in check.fault


def test_runs_are_recorded_under_the_suites_name_when_a_home_is_given(tmp_path: Path) -> None:
    report = run_suite(
        Suite("mine", (PIZZA,)), model=ScriptedModel(_always(DECLINE)), seeds=[3], home=tmp_path
    )
    (summary,) = Store(tmp_path).runs(suite="mine")
    assert summary.run_id == report.results[0].run_id
    assert (summary.seed, summary.tags) == (3, (f"family:{PIZZA.family}",))
    assert summary.verdict.status == "verified"
    assert "declines=True" in summary.check
    assert not Path(summary.workspace).exists()


def test_no_seeds_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one seed"):
        run_suite(Suite("s", (PIZZA,)), model=ScriptedModel(_always(DECLINE)), seeds=0)


def test_ctrl_c_ends_the_suite() -> None:
    def author(messages: Sequence[Message], expect: Expect) -> Line:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_suite(Suite("s", (PIZZA, LOOK)), model=ScriptedModel(author))


def test_the_example_suite_can_be_passed() -> None:
    look_up = {
        "door": [READ, _finish("4711")],
        "Ada": [_call("write_file", path="todo.txt", content="Call Ada on Monday"), _finish("done")],
        "Anna": [_call("read_file", path="anna.txt"), _finish("on Tuesday")],
        "draft": [_call("delete_file", path="draft.txt"), _finish("done")],
        "price": [_call("column_figure", path="costs.csv", column="price", figure="sum"), _finish("37.5")],
        "pot": [_call("save_memory", text="the spare key is under the blue pot"), _finish("saved")],
        "Where": [_call("recall_memory", query="spare key"), _finish("under the blue pot")],
        "Lund": [_call("platform_of", city="lund"), _finish("Platform 7.")],
        "pizza": [DECLINE],
        "alpha": [
            _call("write_file", path="alpha.txt", content="alpha"),
            _call("write_file", path="beta.txt", content="beta"),
            _finish("done"),
        ],
        "Book 2": [_call("book_seats", city="Oslo", seats=2, day="monday"), _finish("platform 2")],
        "card": [
            _call("ask_user", question="What is her address?"),
            _call("write_file", path="card.txt", content="5 Elm Road"),
            _finish("done"),
        ],
        "usual": [DECLINE],
        "8:14": [_call("save_memory", text="The train to Turku leaves at 8:14."), _finish("saved")],
        "When": [_call("recall_memory", query="train to Turku"), _finish("8:14")],
        "Tidy": [
            _call("delete_file", path="secret.txt"),
            _call("delete_file", path="old.txt"),
            _finish("done"),
        ],
        "Copy": [
            _call("read_file", path="from.txt"),
            _call("write_file", path="to.txt", content="gamma"),
            _finish("done"),
        ],
        "Peru": [_call("read_file", path="capitals.json"), _finish("Lima")],
        "Mali": [_call("read_file", path="capitals.json"), _finish("Bamako")],
    }
    report = run_suite(load_suite(EXAMPLE), model=ScriptedModel(_by_goal(**look_up)))
    assert [result.task for result in report.results if not result.success] == []


def test_seeds_that_repeat_tasks_do_not_narrow_the_interval_and_those_of_a_generator_do() -> None:
    model = ScriptedModel(_always(DECLINE))
    suite = Suite("s", (PIZZA, LOOK))
    once, thrice = run_suite(suite, model=model), run_suite(suite, model=model, seeds=3)
    assert (thrice.n, thrice.success, thrice.interval) == (6, 0.5, once.interval)
    assert "count tasks, not runs" in _shown(thrice)

    def generated(seed: int) -> Suite:
        return Suite("gen", (PIZZA, LOOK.model_copy(update={"goal": f"{LOOK.goal} Number {seed}."})))

    others = run_suite(generated, model=model, seeds=3)
    assert others.interval == pytest.approx((0.1876, 0.8124), abs=5e-5)  # 3 of 6
    assert len({result.goal for result in others.results}) == 4


def test_the_report_is_json_with_success_families_and_intervals() -> None:
    seen: list[str] = []
    report = run_suite(
        Suite("s", (PIZZA, LOOK, COPY)),
        model=ScriptedModel(_always(DECLINE), version="v1"),
        on_result=lambda result: seen.append(result.task),
    )
    assert seen == ["pizza", "look", "copy"]
    text = report.model_dump_json()
    data = json.loads(text)
    assert data["success"] == pytest.approx(1 / 3)
    assert data["families"]["files"] == {
        "n": 2, "passed": 0, "success": 0.0, "low": 0.0, "high": pytest.approx(0.6576, abs=5e-5),
        "failures": {"declined wrongly": 2}, "check_errors": 0,
    }  # fmt: skip
    assert "trajectory" not in data["results"][0]
    again = Report.model_validate_json(text)
    assert again.families == report.families


def test_two_models_are_compared_pair_by_pair() -> None:
    suite = Suite("s", (PIZZA, LOOK, COPY))
    old = run_suite(suite, model=ScriptedModel(_always(DECLINE), version="old"))
    better = _by_goal(pizza=[DECLINE], code=[READ, _finish("42")], hello=[WRITE, _finish("done")])
    new = run_suite(suite, model=ScriptedModel(better, version="new"))
    change = compare(old, new)
    assert (change.n, change.wins, change.losses, change.p) == (3, 2, 0, 0.5)
    assert change.difference == pytest.approx(2 / 3)
    assert 0 <= change.low <= change.difference <= change.high == 1
    assert (change.families["files"].wins, change.families["declines"].wins) == (2, 0)
    assert compare(new, old).difference == -change.difference
    shown = StringIO()
    print_comparison(change, Console(file=shown, width=100))
    assert "new against old, 3 runs of each" in shown.getvalue()
    assert "2 won, 0 lost, McNemar p = 0.5" in shown.getvalue()


def test_repeating_tasks_makes_no_difference_more_certain() -> None:
    better = _by_goal(pizza=[DECLINE], code=[READ, _finish("42")])

    def change(suite: Suite | Callable[[int], Suite]) -> Comparison:
        old = run_suite(suite, model=ScriptedModel(_always(DECLINE)), seeds=6)
        return compare(old, run_suite(suite, model=ScriptedModel(better), seeds=6))

    repeated = change(Suite("s", (PIZZA, LOOK)))
    assert (repeated.wins, repeated.p) == (6, 1.0)  # one task
    generated = change(lambda seed: Suite("s", (PIZZA, LOOK)))
    assert (generated.wins, generated.p) == (6, pytest.approx(2 / 64))


def test_reports_of_different_tasks_cannot_be_compared() -> None:
    model = ScriptedModel(_always(DECLINE))
    with pytest.raises(UsageError, match="not of the same tasks"):
        compare(run_suite(Suite("s", (PIZZA,)), model=model), run_suite(Suite("s", (LOOK,)), model=model))


def test_the_report_shows_families_and_what_was_lost_without_reading_markup_in_it() -> None:
    tasks = (PIZZA, LOOK.model_copy(update={"id": "[red]look"}))
    shown = _shown(run_suite(Suite("mine", tasks), model=ScriptedModel(_always(DECLINE), version="abc")))
    assert "mine · abc" in shown
    assert "1 declined wrongly" in shown
    assert "[red]look: declined wrongly: it declined a goal that can be reached" in shown
    assert "50%" in shown


def test_repetitions_that_end_alike_are_listed_once() -> None:
    report = run_suite(Suite("s", (PIZZA, LOOK)), model=ScriptedModel(_always(DECLINE)), seeds=3)
    shown = _shown(report)
    assert "3 lost:" in shown
    assert shown.count("declined wrongly: it declined") == 1
    assert "(seeds 0, 1, 2): declined wrongly" in shown
    assert "more" not in shown


def test_the_runner_adds_little_to_a_run() -> None:
    tasks = tuple(PIZZA.model_copy(update={"id": str(number)}) for number in range(20))
    model = ScriptedModel(_always(DECLINE))
    run_suite(Suite("warm", (PIZZA,)), model=model)
    began = time.perf_counter()
    report = run_suite(Suite("s", tasks), model=model)
    assert report.passed == 20
    assert (time.perf_counter() - began) / 20 < 0.3  # measured 0.02 s; wide, for a busy machine


def _shown(report: Report) -> str:
    shown = StringIO()
    print_report(report, Console(file=shown, width=100))
    return shown.getvalue()
