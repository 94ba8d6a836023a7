"""The gate promotes what is measurably better on goals nobody trained on, and says why with numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from autoagent.config import Limits
from autoagent.errors import ModelError, UsageError
from autoagent.evals import (
    Comparison,
    Expected,
    FamilyChange,
    FollowUp,
    Suite,
    Task,
    TaskResult,
    compare,
    summarize,
)
from autoagent.models.load import load_model
from autoagent.models.protocol import Expect, Json
from autoagent.models.scripted import Line, ScriptedModel
from autoagent.models.tiny import write_tiny_model
from autoagent.models.versions import WEIGHTS, Versions
from autoagent.nano.earlier import demonstration_sample, other_goals
from autoagent.prompts import prompt_hash
from autoagent.training.dataset import Example, goal_hash
from autoagent.training.forgetting import is_embedded_line, loss_change
from autoagent.training.gate import (
    GateConfig,
    GateReport,
    decide,
    gate,
    gate_versions,
    held_out,
    trained_goals,
)
from autoagent.training.gate_goals import choose, choose_others
from autoagent.training.gate_rules import holm, tolerated
from autoagent.trajectory import Message, ToolCall, Verdict

SAYS_3 = [["say it"], ToolCall(name="finish", arguments={"answer": "3"})]
ALL = range(20)


def tasks(count: int, families: Sequence[str] = ("sums",)) -> Suite:
    made = [
        Task(id=f"{f}-{n}", family=f, goal=f"{f}: say {n}", expected=Expected(answer=str(n)))
        for f in families
        for n in range(count)
    ]
    return Suite("said", tuple(made))


def speaker(version: str, right: Collection[int], **others: Collection[int]) -> ScriptedModel:
    """A model that says the number of these goals, in some families of others, and nonsense else."""

    def author(messages: Sequence[Message], expect: Expect) -> Line:
        if isinstance(expect, Json):
            return ["say it"]
        asked = next(message.content for message in messages if message.role == "user")
        number = asked.rsplit("say ", 1)[1].split()[0].strip(".")
        family = asked.rsplit(": say", 1)[0].split()[-1]
        known = int(number) in others.get(family, right)
        return ToolCall(name="finish", arguments={"answer": number if known else "no idea"})

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
    assert "+91.7 points on 12 held-out goals" in report.reason
    assert (report.old.passed, report.new.passed, report.comparison.p < 0.01) == (1, 12, True)
    assert GateReport.model_validate(json.loads(report.model_dump_json())) == report


def test_the_same_model_is_refused() -> None:
    report = gate(speaker("old", {1, 2}), speaker("new", {1, 2}), tasks(6), trained=())
    assert not report.promoted
    assert report.reason.startswith("refused: not better, +0.0 points on 6")


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
        (30, 10, 100, True, "promoted: +20.0 points on 100"),
        (1, 0, 100, False, "less than the margin of 2 points"),
        (6, 3, 100, False, "may be chance"),
        (10, 30, 100, False, "refused: not better, -20.0 points"),
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
    assert "it forgot: dates -40.0 points of 20" in reason
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


# Other goals and the loss: with a model whose words are scripted and whose weights are real


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same random weights three times: as they are, blunted, and destroyed."""
    import torch

    from autoagent.models.engine import load_engine

    folder = write_tiny_model(tmp_path_factory.mktemp("tiny"))
    made = {
        name: load_engine(folder, device="cpu", dtype="float32", trust_remote_code=False)
        for name in ("good", "blunt", "broken")
    }
    with torch.no_grad():
        made["blunt"].model.get_output_embeddings().weight.mul_(4)
        made["broken"].model.get_output_embeddings().weight.fill_(math.nan)
    return made


def weighted(engine: object, *about: Any, **others: Collection[int]) -> ScriptedModel:
    model = speaker(*about, **others)
    model.engine = engine  # type: ignore[attr-defined]
    return model


SAMPLE = [Example(ids=tuple(range(n, n + 40)), mask=(0, *[1] * 39), run_id="", goal="") for n in range(4)]
OTHERS = tasks(20, ["words"])


def test_a_model_that_is_better_everywhere_is_promoted(engines: dict[str, Any]) -> None:
    heard: list[tuple[str, int, int]] = []
    report = gate(
        weighted(engines["good"], "old", {0}, words=range(15)),
        weighted(engines["good"], "new", ALL, words=range(16)),
        tasks(7),
        trained=(),
        forgetting=OTHERS,
        sample=SAMPLE,
        on_result=lambda who, done, total, result: heard.append((who, done, total)),
    )
    assert report.promoted, report.reason
    assert "; other goals: +5.0 points on 20 (" in report.reason
    assert "; loss on the sample: " in report.reason
    assert all(rule.passed for rule in report.rules)
    assert report.forgetting is not None
    assert [each.task for each in report.forgetting.won] == ["words-15"]
    assert report.loss is not None
    assert (report.loss.rise, report.loss.examples, report.loss.tokens) == (0.0, 4, 156)
    assert heard[6:14:7] == [("old", 7, 7), ("new", 7, 7)]
    assert (heard[14], heard[-1]) == (("old elsewhere", 1, 20), ("new elsewhere", 20, 20))
    assert GateReport.model_validate(json.loads(report.model_dump_json())) == report


def test_better_on_its_goals_but_worse_on_others_is_refused() -> None:
    report = gate(
        speaker("old", {0}, words=ALL), speaker("new", ALL, words=range(14)),
        tasks(7), trained=(), forgetting=OTHERS, config=GateConfig(family_tasks=21),
    )  # fmt: skip
    assert not report.promoted
    assert report.reason.startswith("refused: +85.7 points on 7 held-out goals (")
    assert "), but other goals: -30.0 points on 20 (-50.0 to -10.0)" in report.reason
    assert [rule.name for rule in report.rules if not rule.passed] == ["elsewhere"]


def test_a_rising_loss_is_refused_although_the_goals_are_reached(engines: dict[str, Any]) -> None:
    report = gate(
        weighted(engines["good"], "old", {0}), weighted(engines["blunt"], "new", ALL), tasks(7),
        trained=(), sample=SAMPLE,
    )  # fmt: skip
    assert not report.promoted
    assert ", but loss on the sample: " in report.reason
    (failed,) = [rule for rule in report.rules if not rule.passed]
    assert failed.name == "loss"
    assert failed.value is not None
    assert failed.value > failed.threshold == 0.05


def test_not_better_is_refused_although_nothing_is_lost(engines: dict[str, Any]) -> None:
    report = gate(
        weighted(engines["good"], "old", {0, 1}), weighted(engines["good"], "new", {0, 1}), tasks(3),
        trained=(), sample=SAMPLE,
    )  # fmt: skip
    assert not report.promoted
    assert report.reason.startswith("refused: not better, +0.0 points on 3")
    assert {rule.name for rule in report.rules if not rule.passed} == {"gain", "chance", "interval"}


@pytest.mark.parametrize("sample", [SAMPLE, ()])
def test_weights_without_numbers_are_refused_before_any_run(
    engines: dict[str, Any], sample: Sequence[Example]
) -> None:
    ran: list[str] = []
    report = gate(
        weighted(engines["good"], "old", {0}), weighted(engines["broken"], "new", ALL), tasks(3), trained=(),
        forgetting=OTHERS, sample=sample, on_result=lambda who, *rest: ran.append(who),
    )  # fmt: skip
    assert (report.promoted, ran, report.new.n) == (False, [], 0)
    assert report.reason.startswith("refused: loss on the sample: ")
    assert report.reason.endswith("→ no number")
    assert (report.comparison.old, report.comparison.new) == ("old", "new")


def test_a_sample_that_cannot_be_measured_is_one_clear_line(engines: dict[str, Any]) -> None:
    good = weighted(engines["good"], "good", ALL)
    with pytest.raises(UsageError, match=r"^the loss of far cannot be measured: its weights are not here$"):
        gate(good, speaker("far", ALL), tasks(2), trained=(), sample=SAMPLE)
    with pytest.raises(UsageError, match="the sample has no token that is counted"):
        gate(good, good, tasks(2), trained=(), sample=[Example(ids=(1, 2), mask=(1, 0), run_id="", goal="")])
    with pytest.raises(UsageError, match="the sample has token id 99999, which the models do not know"):
        gate(
            good,
            good,
            tasks(2),
            trained=(),
            sample=[Example(ids=(1, 99_999), mask=(0, 1), run_id="", goal="")],
        )


def test_the_rest_can_be_left_out_once_a_rule_has_refused() -> None:
    same = speaker("same", {0})
    report = gate(
        same, same, tasks(2), trained=(), forgetting=OTHERS, config=GateConfig(complete=False)
    )  # fmt: skip
    assert (report.promoted, report.forgetting) == (False, None)


def test_too_few_other_goals_are_refused_and_those_of_the_target_do_not_count() -> None:
    mixed = Suite("mixed", (*tasks(25, ["words"]).tasks, *tasks(9).tasks))
    trained = {goal_hash(task.goal) for task in mixed.tasks[:6]}
    with pytest.raises(
        UsageError, match="suite mixed is too small to show that nothing was forgotten: 19 other goals"
    ):
        gate(speaker("old", ALL), speaker("new", ALL), tasks(9), trained=trained, forgetting=mixed)
    chosen = choose_others(mixed, tasks(2), (), GateConfig())
    assert (chosen.excluded, len(chosen.suite.tasks)) == (2, 32)


@pytest.mark.parametrize(
    ("wins", "losses", "n", "promoted"),
    [
        (0, 0, 600, True),
        (20, 20, 600, True),  # low end: -2 points
        (20, 35, 600, False),  # -2.5 points measured, but it may be -5
        (5, 5, 100, True),  # with 100 goals the tolerance is 7 points
        (0, 10, 100, False),
    ],
)
def test_other_goals_must_not_be_worse_by_more_than_the_tolerance(
    wins: int, losses: int, n: int, promoted: bool
) -> None:
    better, config = comparison(40, 0, 80), GateConfig()
    verdict, reason = decide(better, config, elsewhere=comparison(wins, losses, n))
    assert verdict is promoted, reason


def test_the_tolerance_is_wider_for_few_goals() -> None:
    assert tolerated(GateConfig(), 600) == tolerated(GateConfig(), 6000) == 0.03
    assert tolerated(GateConfig(), 150) == pytest.approx(0.06)


def test_many_families_are_many_chances_for_a_false_alarm() -> None:
    unlucky = {"unlucky": (0, 6, 20)}  # p = 0.031 by itself
    even = {f"f{number}": (10, 0, 20) for number in range(3)} | {f"g{n}": (0, 0, 20) for n in range(8)}
    assert not decide(comparison(0, 0, 0, f0=(20, 0, 40), **unlucky), GateConfig())[0]
    assert decide(comparison(0, 0, 0, **even, **unlucky), GateConfig())[0]
    verdict, reason = decide(comparison(0, 0, 0, **even, hit=(0, 12, 20)), GateConfig())
    assert not verdict
    assert "but it forgot: hit -60.0 points of 20" in reason
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})


def test_repeated_seeds_are_no_new_goals() -> None:
    config = GateConfig(seeds=2, tasks=4)
    report = gate(speaker("old", ()), speaker("new", ALL), tasks(6), trained=(), config=config)
    assert (report.seeds, report.new.n, report.comparison.wins, report.comparison.p) == (2, 8, 8, 0.125)
    assert not report.promoted
    assert "+100.0 points on 8 runs of 4 held-out goals" in report.reason


# Leaks


def split(*parts: tuple[str, range]) -> Suite:
    made = [
        Task(id=f"{part}-{n}", family="f", goal=f"f: say {n}", split=part, expected=Expected(answer=str(n)))
        for part, numbers in parts
        for n in numbers
    ]
    return Suite("mine", tuple(made))


def test_a_suite_whose_parts_share_goals_is_refused() -> None:
    leaking = split(("train", range(10)), ("test", range(8, 18)))
    with pytest.raises(
        UsageError,
        match=r"^suite mine leaks: 2 of the 10 goals to measure on are also there to learn from, "
        r"like test-8; at most 10% may: write other goals for one of the parts$",
    ):
        gate(speaker("old", ()), speaker("new", ALL), leaking, trained=())


def test_the_part_to_learn_from_and_what_few_goals_it_shares_do_not_gate() -> None:
    suite = split(("train", range(10)), ("test", range(9, 20)))
    chosen = choose(suite, (), GateConfig())
    assert (chosen.excluded, [task.id for task in chosen.suite.tasks]) == (
        1,
        [f"test-{n}" for n in range(10, 20)],
    )
    with pytest.raises(UsageError, match="suite mine cannot gate: all its tasks are of the split train"):
        gate(speaker("old", ()), speaker("new", ALL), split(("train", range(3))), trained=())


def test_a_later_goal_that_was_trained_on_leaves_its_task_out() -> None:
    later = FollowUp(goal="f: say 9", expected=Expected(answer="9"))
    first, second = split(("", range(2))).tasks
    suite = Suite("two", (first.model_copy(update={"follow_ups": (later,)}), second))
    assert held_out(suite, {goal_hash("f: say 9")}, at_most=9).tasks == (second,)


# Several at a time


def test_several_at_a_time_find_the_same() -> None:
    old, new = speaker("old", {0}), speaker("new", {1, 2})
    one, many = (gate(old, new, tasks(3), trained=(), jobs=jobs) for jobs in (1, 3))
    assert many.comparison == one.comparison
    assert many.won == one.won


def test_processes_load_the_models_themselves() -> None:
    old, new = (partial(ScriptedModel, SAYS_3, version=name) for name in ("old", "new"))
    report = gate(old, new, tasks(4), trained=(), jobs=2)
    assert (report.comparison.old, report.comparison.new, report.new.passed) == ("old", "new", 1)


def two_versions(place: Path) -> Versions:
    """Two random models."""
    versions = Versions(place / "home")
    for seed in (0, 1):
        versions.add(write_tiny_model(place / str(seed), seed=seed), prompts=prompt_hash())
    return versions


@pytest.mark.slow
def test_processes_that_find_other_weights_are_found_out(tmp_path: Path) -> None:
    versions = two_versions(tmp_path)
    old, new = (version.name for version in versions.list())

    def exchange(who: str, *rest: object) -> None:
        """Put other weights in the place of the new ones once the old model is measured."""
        weights = versions.path(new) / "model.safetensors"
        weights.chmod(0o644)
        weights.write_bytes((versions.path(old) / "model.safetensors").read_bytes())

    with pytest.raises(ModelError, match="changed"):
        gate_versions(
            versions, (old, new), tasks(2), load=partial(load_model, home=tmp_path / "home"), jobs=2,
            config=GateConfig(limits=Limits(max_steps=1, reply_tokens=32)), on_result=exchange,
        )  # fmt: skip


# What the gate takes when nobody says


def test_other_goals_of_the_embedded_line_are_the_families_that_are_not_the_target() -> None:
    target = tasks(1, ["ask", "decline", "sums"])
    others = other_goals(target, seed=5, at_least=100)
    assert others is not None
    families = {task.family for task in others.tasks}
    assert len(others.tasks) >= 100
    assert len(families) > 20
    assert not families & {"ask", "decline"}


def test_versions_trained_from_the_embedded_model_are_of_its_line(tmp_path: Path) -> None:
    versions = Versions(tmp_path / "home")
    first = versions.add(folder_of(tmp_path / "a", b"a"), parent="embedded")
    second = versions.add(folder_of(tmp_path / "b", b"b"), parent=first.name)
    other = versions.add(folder_of(tmp_path / "c", b"c"), parent="owner/model")
    found = [is_embedded_line(versions, each.name) for each in (first, second, other)]
    assert (found, is_embedded_line(versions, "embedded")) == ([True, True, False], True)


def test_the_sample_of_the_embedded_line_is_the_same_each_time_and_can_be_measured() -> None:
    sample = demonstration_sample(WEIGHTS, count=3)
    assert sample == demonstration_sample(WEIGHTS, count=3)
    model = load_model("embedded")
    change = loss_change(model, model, sample)
    assert change.tokens == sum(example.trained for example in sample) > 100
    assert change.new == change.old
    assert change.new is not None
    assert 0 < change.new < 5
