"""What is summed up from results, and how it is shown: as tables, as JSON, and as a page."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from autoagent.evals import (
    Comparison,
    Expected,
    FollowUp,
    Report,
    Suite,
    Task,
    TaskResult,
    as_json,
    compare,
    print_comparison,
    print_report,
    run_suite,
    summarize,
)
from autoagent.evals.failures import FailureKind
from autoagent.evals.page import page
from autoagent.models.protocol import Expect, Json
from autoagent.models.scripted import Line, ScriptedModel
from autoagent.trajectory import Message, ToolCall, Verdict


def result(name: str, success: bool, *, split: str = "", kind: FailureKind = "wrong answer") -> TaskResult:
    family = name.split("-")[0]
    refuted = Verdict(status="refuted", reason=f"{name} is off")
    return TaskResult(
        task=name, family=family, split=split, goal=f"Do {name}.", seed=0, success=success,
        verdict=Verdict(status="verified") if success else refuted,
        ending="finished", steps=1, tokens=1, seconds=0.1, failure=None if success else kind,
    )  # fmt: skip


def report_of(results: Sequence[TaskResult], *, model: str = "m", name: str = "", not_run: int = 0) -> Report:
    return summarize(
        results, suite="s", model=model, name=name, generated=False, seconds=1.0, not_run=not_run
    )


def shown(report: Report) -> str:
    written = StringIO()
    print_report(report, Console(file=written, width=110))
    return written.getvalue()


def answers(text: str, version: str = "v") -> ScriptedModel:
    """Reads the file, then answers this."""

    def author(messages: Sequence[Message], expect: Expect) -> Line:
        if isinstance(expect, Json):
            return ["read the file"]
        if not any(message.role == "tool" for message in messages):
            return "it must be in there", ToolCall(name="read_file", arguments={"path": "notes.txt"})
        return ToolCall(name="finish", arguments={"answer": text})

    return ScriptedModel(author, version=version)


CODE = Task(
    id="code",
    family="files",
    split="values",
    tags=("quick",),
    goal="What is the code in <notes.txt>?",
    files={"notes.txt": "The code is 42 <script>alert(1)</script>."},
    only=("read_file",),
    expected=Expected(answer="42"),
)


def test_splits_are_summed_up_where_tasks_have_one() -> None:
    report = report_of(
        [result("a-1", True, split="seen"), result("a-2", False, split="new"), result("b-1", True)]
    )
    assert {name: (each.passed, each.n) for name, each in report.splits.items()} == {
        "": (1, 1), "new": (0, 1), "seen": (1, 1)
    }  # fmt: skip
    text = shown(report)
    assert re.search(r"split +┃ passed", text)
    assert "(none)" in text
    plain = report_of([result("a-1", True)])
    assert plain.splits == {}
    assert "split" not in shown(plain)


def test_lost_tasks_are_grouped_by_kind_the_most_frequent_first() -> None:
    rare = result("z-1", False, kind="stuck")
    report = report_of([rare, *(result(f"a-{n}", False) for n in range(20))])
    assert {kind: len(runs) for kind, runs in report.lost.items()} == {"wrong answer": 20, "stuck": 1}
    lines = shown(report).splitlines()
    start = lines.index("21 lost:")
    assert [line.strip().split(":")[0] for line in lines[start + 1 : start + 5]] == [
        "a-0",
        "a-1",
        "a-2",
        "z-1",
    ]
    assert lines[start + 5].strip() == "… and 17 more"


def test_an_interrupted_report_says_so() -> None:
    report = report_of([result("a-1", True)], not_run=7)
    assert "interrupted: 7 runs missing" in shown(report)
    assert "7 of 8 runs of m were not made" in page(report)
    assert json.loads(as_json(report))["not_run"] == 7


def test_a_comparison_has_intervals_by_family_and_split() -> None:
    old = report_of([result(f"a-{n}", False, split="x") for n in range(8)] + [result("b-1", True, split="y")])
    new = report_of([result(f"a-{n}", True, split="x") for n in range(8)] + [result("b-1", True, split="y")])
    change = compare(old, new)
    assert (change.families["a"].wins, change.families["a"].p) == (8, pytest.approx(2 / 2**8))
    assert (change.families["a"].low, change.families["a"].high) == (1.0, 1.0)
    assert (change.splits["y"].difference, change.splits["y"].p) == (0, 1)
    written = StringIO()
    print_comparison(change, Console(file=written, width=100))
    assert re.search(r"│ a +│ +8 │ +8 │ +0 │ +\+100%", written.getvalue())
    assert "1 family is unchanged" in written.getvalue()


def compared(change: Comparison) -> str:
    written = StringIO()
    print_comparison(change, Console(file=written, width=100))
    return written.getvalue()


def test_pairs_that_are_all_alike_have_no_interval_and_no_certainty() -> None:
    same = report_of([result(f"a-{n}", True) for n in range(9)])
    change = compare(same, same)
    assert "+0.0 points (no interval: all pairs are alike), 0 won, 0 lost, McNemar p = 1" in compared(change)
    assert "none: all pairs are alike" in page(same, same, change)
    lost = report_of([result("a-0", False)])
    one = compare(lost, report_of([result("a-0", True)]))
    assert (one.difference, one.low, one.trend) == (1.0, 1.0, "")
    assert re.search(r"\+100% │ +– │ 1 │", compared(one))
    lost = report_of([result(f"a-{n}", False) for n in range(9)])
    assert (compare(lost, same).trend, compare(same, lost).trend) == ("up", "down")


def test_models_are_called_by_their_names_where_they_have_one() -> None:
    hashed, results = "d1" * 32, [result("a-1", True)]
    named = report_of(results, model=hashed, name="embedded")
    assert "s · embedded (d1d1d1d1d1d1)" in shown(named)
    assert [report_of(results, model=hashed, name=name).who for name in ("", "v1-d1d1d1d1")] == [
        "d1d1d1d1d1d1",
        "v1-d1d1d1d1",
    ]
    change = compare(report_of(results, model="e2" * 32, name="./other"), named)
    assert "embedded (d1d1d1d1d1d1) against ./other (e2e2e2e2e2e2), 1 run of each:" in compared(change)
    text = page(named, report_of(results, model="e2" * 32, name="./other"), change)
    assert "embedded (d1d1d1d1d1d1) against ./other (e2e2e2e2e2e2)" in text
    assert json.loads(as_json(named))["name"] == "embedded"


def test_the_page_holds_each_lost_run_step_by_step_and_nothing_of_it_is_markup(tmp_path: Path) -> None:
    text = page(run_suite(Suite("mine", (CODE,)), model=answers("It is <b>41</b>.")))
    for part in (
        "0.0 %",
        "wrong answer",
        "What is the code in &lt;notes.txt&gt;?",
        "it must be in there",
        "<b>read_file</b>",
        "The code is 42 &lt;script&gt;alert(1)&lt;/script&gt;.",
        "It is &lt;b&gt;41&lt;/b&gt;.",
        "family files, split values, tags quick, seed 0",
        "Given: files, only",
        "<code>notes.txt</code>",
    ):
        assert part in text
    assert "<script" not in text
    assert not re.search(r"https?://|\bsrc=|@import|url\(", text)  # it needs no network
    assert text.count("<details") == text.count("</details>")
    assert text.count("<div") == text.count("</div>")


def test_the_page_compares_with_the_baseline() -> None:
    suite = Suite("mine", (CODE, CODE.model_copy(update={"id": "other", "expected": Expected(answer="7")})))
    new, old = run_suite(suite, model=answers("42", "new")), run_suite(suite, model=answers("7", "old"))
    text = page(new, old, compare(old, new))
    assert "new against old" in text
    assert "Only the baseline got right: 1" in text
    assert re.search(r'<a href="#r1"><span class="badge bad">other', text)
    assert "Only the new one got right: 1" in text
    assert "How the baseline lost them" in text
    assert "p = 1" in text
    assert "Against the baseline" not in page(new)


def test_all_goals_of_a_task_are_on_the_page() -> None:
    later = FollowUp(goal="And again?", expected=Expected(answer="nothing"))
    text = page(
        run_suite(Suite("mine", (CODE.model_copy(update={"follow_ups": (later,)}),)), model=answers("42"))
    )
    assert "Goal 2: And again?" in text
    assert "Expected of goal 2" in text
    assert "Lost at goal 2" in text
    assert "Answer to goal 2" in text


def test_passed_runs_are_shown_as_examples_and_a_page_of_nothing_can_be_made() -> None:
    passed = page(report_of([result(f"a-{n}", True) for n in range(9)]))
    assert "3 of 9, up to three of each family" in passed
    assert "None." in passed
    assert "Not checked" not in passed
    broken = CODE.model_copy(update={"expected": Expected(command="no-such-command-7")})
    unjudged = page(run_suite(Suite("mine", (broken,)), model=answers("42")))
    assert "no-such-command-7" in unjudged
    assert "count neither for nor against" in unjudged
    assert "–" in unjudged


def test_the_json_has_the_trajectories_without_token_ids() -> None:
    report = run_suite(Suite("mine", (CODE,)), model=answers("42"))
    data = json.loads(as_json(report, report, compare(report, report)))
    (run,) = data["results"][0]["trajectories"]
    assert run["steps"][1]["observations"][0]["call"]["name"] == "read_file"
    assert "trace" not in run["steps"][1]["reply"]
    assert data["results"][0]["expected"] == [{"answer": "42"}]
    assert data["results"][0]["given"] == {"files": dict(CODE.files), "only": ["read_file"]}
    assert data["baseline"]["success"] == 1
    assert data["comparison"]["difference"] == 0
