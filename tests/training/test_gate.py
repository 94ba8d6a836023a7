"""The gate promotes what is measurably better on goals nobody trained on, and says why with numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from autoagent.errors import ModelError, UsageError
from autoagent.evals import Comparison, Expected, FamilyChange, Suite, Task, TaskResult, compare, summarize
from autoagent.models.protocol import Expect, Json
from autoagent.models.scripted import Line, ScriptedModel
from autoagent.models.versions import Versions
from autoagent.training.dataset import goal_hash
from autoagent.training.gate import (
    GateConfig,
    GateReport,
    decide,
    gate,
    gate_versions,
    held_out,
    trained_goals,
)
from autoagent.trajectory import Message, ToolCall, Verdict


def tasks(count: int, families: Sequence[str] = ("sums",)) -> Suite:
    made = [
        Task(id=f"{f}-{n}", family=f, goal=f"{f}: say {n}", expected=Expected(answer=str(n)))
        for f in families
        for n in range(count)
    ]
    return Suite("said", tuple(made))


def speaker(version: str, right: set[int]) -> ScriptedModel:
    """A model that says the number of these goals, and nonsense to the others."""

    def author(messages: Sequence[Message], expect: Expect) -> Line:
        if isinstance(expect, Json):
            return ["say it"]
        asked = next(message.content for message in messages if message.role == "user")
        number = asked.rsplit("say ", 1)[1].split()[0].strip(".")
        return ToolCall(name="finish", arguments={"answer": number if int(number) in right else "no idea"})

    return ScriptedModel(author, version=version)


def comparison(wins: int, losses: int, n: int, **families: tuple[int, int, int]) -> Comparison:
    """As ``compare`` finds it between two reports with this many wins and losses, by family if given."""
    groups = families or {"all": (wins, losses, n)}

    def report(new: bool) -> list[TaskResult]:
        return [
            TaskResult(
                task=f"{family}-{number}", family=family, goal=f"{family} {number}", seed=0,
                success=number < won if new else won <= number < won + lost, verdict=Verdict(),
                ending="finished", steps=1, tokens=1, seconds=0.0,
            )
            for family, (won, lost, count) in groups.items()
            for number in range(count)
        ]  # fmt: skip

    sides = [
        summarize(report(new), suite="s", model=name, generated=False, seconds=0.0)
        for name, new in (("old", False), ("new", True))
    ]
    return compare(*sides)


def test_a_better_model_is_promoted_with_numbers() -> None:
    report = gate(speaker("old", {0}), speaker("new", set(range(12))), tasks(12), trained=())
    assert report.promoted
    assert "+91.7% on 12 held-out goals" in report.reason
    assert (report.old.passed, report.new.passed, report.comparison.p < 0.01) == (1, 12, True)
    assert GateReport.model_validate(json.loads(report.model_dump_json())) == report


def test_the_same_model_is_refused() -> None:
    report = gate(speaker("old", {1, 2}), speaker("new", {1, 2}), tasks(6), trained=())
    assert not report.promoted
    assert report.reason.startswith("refused: not better, +0.0% on 6")


def test_goals_that_were_trained_on_do_not_gate() -> None:
    suite = tasks(8)
    trained = {goal_hash(task.goal) for task in suite.tasks[:3]}
    report = gate(speaker("old", set()), speaker("new", {0, 1, 2}), suite, trained=trained)
    assert (report.excluded, report.new.n, report.new.passed) == (3, 5, 0)
    assert not report.promoted


def test_a_suite_that_was_all_trained_on_cannot_gate() -> None:
    suite = tasks(3)
    with pytest.raises(UsageError, match="suite said cannot gate: all its 3 goals were trained on"):
        held_out(suite, {goal_hash(task.goal) for task in suite.tasks}, at_most=10)


def test_a_large_suite_is_cut_evenly_by_family() -> None:
    cut = held_out(tasks(10, ["sums", "files", "dates"]), (), at_most=6)
    assert [task.id for task in cut.tasks] == ["sums-0", "files-0", "dates-0", "sums-1", "files-1", "dates-1"]


def test_a_generated_suite_is_made_with_the_gates_own_seed_and_progress_is_told() -> None:
    seeds, heard = [], []

    def generated(seed: int) -> Suite:
        seeds.append(seed)
        return tasks(2)

    gate(
        speaker("old", {0}), speaker("new", {0}), generated, trained=(), config=GateConfig(seed=42),
        on_result=lambda who, done, total, result: heard.append((who, done, total, result.success)),
    )  # fmt: skip
    assert seeds == [42]
    assert heard == [("old", 1, 2, True), ("old", 2, 2, False), ("new", 1, 2, True), ("new", 2, 2, False)]


@pytest.mark.parametrize(
    ("wins", "losses", "n", "promoted", "why"),
    [
        (30, 10, 100, True, "promoted: +20.0% on 100"),
        (1, 0, 100, False, "less than the margin of 2.0%"),
        (6, 3, 100, False, "may be chance"),
        (10, 30, 100, False, "refused: not better, -20.0%"),
        (6, 0, 100, True, "p = 0.031"),
    ],
)
def test_the_decision_follows_margin_and_significance(
    wins: int, losses: int, n: int, promoted: bool, why: str
) -> None:
    verdict, reason = decide(comparison(wins, losses, n), GateConfig())
    assert verdict is promoted
    assert why in reason


def test_gaining_overall_does_not_excuse_forgetting_a_family() -> None:
    verdict, reason = decide(comparison(0, 0, 0, dates=(0, 8, 20), sums=(40, 0, 80)), GateConfig())
    assert not verdict
    assert "it forgot: dates -40% of 20" in reason
    assert decide(comparison(0, 0, 0, dates=(0, 8, 9), sums=(40, 0, 80)), GateConfig())[0]  # too few to tell
    assert decide(comparison(0, 0, 0, dates=(5, 8, 20), sums=(40, 0, 80)), GateConfig())[0]  # may be chance
    assert isinstance(comparison(1, 0, 2).families["all"], FamilyChange)


def folder_of(place: Path, weights: bytes) -> Path:
    place.mkdir()
    (place / "config.json").write_text("{}", encoding="utf-8")
    (place / "model.safetensors").write_bytes(weights)
    return place


def test_goals_of_ancestors_count_as_trained_on(tmp_path: Path) -> None:
    versions = Versions(tmp_path / "home")
    first = versions.add(folder_of(tmp_path / "a", b"a"), data={"sheet": {"goals": ["one"]}})
    second = versions.add(
        folder_of(tmp_path / "b", b"b"), parent=first.name, data={"sheet": {"goals": ["two"]}}
    )
    assert trained_goals(versions, second.name) == {"one", "two"}
    assert trained_goals(versions, first.name, "embedded") == {"one"}


def test_weights_that_are_not_those_measured_are_not_promoted(tmp_path: Path) -> None:
    versions = Versions(tmp_path / "home")
    old, new = (versions.add(folder_of(tmp_path / name, name.encode())).name for name in ("a", "b"))
    with pytest.raises(ModelError, match="changed while the gate measured it"):
        gate_versions(versions, (old, new), tasks(2), load=lambda name: speaker(f"not {name}", set()))
