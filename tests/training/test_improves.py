"""What ``benchmarks/improves.py`` counts with: several seeds together, and the user who corrects."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from autoagent.config import Limits
from autoagent.evals import Expected, Suite, Task, TaskResult, summarize
from autoagent.models import versions
from autoagent.models.tiny import write_tiny_model
from autoagent.nano.families.several import blueprints
from autoagent.training.dataset import Example
from autoagent.training.finetune import FinetuneConfig
from autoagent.training.gate_goals import Chosen
from autoagent.training.gate_result import Paired, paired
from autoagent.training.jobs import work
from autoagent.trajectory import Observation, Reply, Step, ToolCall, Trajectory, Verdict


def benchmark(name: str) -> ModuleType:
    file = Path(__file__).parents[2] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


STOP = frozenset("a an the to of in on for is are what how who it its something or and by".split())
STOP |= frozenset("up say put into somebody s".split())
OPPOSITES = {("my_alarms", "Set an alarm"), ("person_details", "Write a mail to an address")}
pooled, taught = benchmark("pooled"), benchmark("taught")
own_goals, arms, improves = benchmark("own_goals"), benchmark("arms"), benchmark("improves")


def pair(old: str, new: str) -> Paired:
    """Two models on the same tasks: what each reached, a letter a task, ``x`` where it did."""
    tasks = (
        Task(id=str(n), family="f", goal=f"goal {n}", expected=Expected(answer="x")) for n in range(len(old))
    )
    suite = Suite("s", tuple(tasks))
    reports = []
    for reached in (old, new):
        results = [
            TaskResult(
                task=task.id,
                family=task.family,
                goal=task.goal,
                seed=0,
                success=mark == "x",
                verdict=Verdict(),
                ending="finished",
                steps=1,
                tokens=1,
                seconds=0.0,
            )
            for task, mark in zip(suite.tasks, reached, strict=True)
        ]
        reports.append(summarize(results, suite="s", model=reached, generated=False, seconds=0.0))
    return paired(Chosen(suite, 0), *reports)


def content(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower())) - STOP


def test_no_tool_that_training_invents_is_like_those_of_the_suites_it_is_measured_on() -> None:
    groups = (own_goals.OFFICE, own_goals.LEISURE)
    tools = [spec for group in groups for spec, _ in group.values()] + list(own_goals._TICKETS)
    alike = {
        (spec.name, about)
        for spec in tools
        for blueprint in blueprints()
        for about in blueprint.about
        if len(content(spec.description) & content(about)) > 1
    }
    assert alike <= OPPOSITES


def test_one_seed_is_what_the_gate_counts_and_the_same_seed_again_is_no_new_evidence() -> None:
    one = pair("xx" + "-" * 28, "-x" + "x" * 9 + "-" * 19)
    for pairs in ([one], [one, one, one]):
        found = pooled.together(pairs)
        assert found.difference == pytest.approx(one.comparison.difference) == pytest.approx(8 / 30)
        assert found.p == one.comparison.p < 0.05
        assert found.low == pytest.approx(one.comparison.low, abs=0.04)
        assert found.high == pytest.approx(one.comparison.high, abs=0.04)


def test_a_goal_won_with_one_seed_and_lost_with_another_is_neither() -> None:
    found = pooled.together([pair("-" * 20, "x" + "-" * 19), pair("x" + "-" * 19, "-" * 20)])
    assert (found.difference, found.p) == (0.0, 1.0)


def test_no_sum_is_told_where_not_all_changed_goals_are_known() -> None:
    one = pair("-" * 4, "xx--")
    assert pooled.together([one.model_copy(update={"won": one.won[:1]})]) is None


def test_the_user_puts_the_first_action_right_that_is_not_as_expected() -> None:
    expected = Expected(calls=("look", "send"), arguments={"look": {"at": "x"}, "send": {"to": "Ann"}})
    task = Task(id="t", family="f", goal="Send it", expected=expected)
    look, send, end = taught.right_calls(task)
    assert (send, end.name) == (ToolCall(name="send", arguments={"to": "Ann"}), "finish")

    def run(*calls: ToolCall) -> Trajectory:
        plan = Step(index=0, kind="plan", reply=Reply(text=""))
        acts = [
            Step(
                index=number,
                reply=Reply(text="", calls=(call,)),
                observations=(Observation(call=call, ok=True, content=""),),
            )
            for number, call in enumerate(calls, start=1)
        ]
        return Trajectory(run_id="r", goal="g", model="m", steps=(plan, *acts), verdict=Verdict())

    said = ToolCall(name="finish", arguments={"answer": "Sent."})
    assert taught.first_wrong(run(look, said), task) == (2, send)
    assert taught.first_wrong(run(send, look), task) == (1, look)
    assert taught.first_wrong(run(look, send, ToolCall(name="decline", arguments={})), task) == (3, end)
    assert taught.first_wrong(run(look, send, said), task) is None
    assert taught.first_wrong(run(), task) is None


# --- the pieces ------------------------------------------------------------------------------------------


class Earlier:
    """Stands for what is known of the embedded model's training."""

    def replay(self, folder: Path, tokens: int, seed: int) -> Sequence[Example]:
        ids = tuple((seed + place) % 200 + 5 for place in range(100))
        example = Example(ids=ids, mask=(1,) * 100, run_id="", goal="0" * 16, source="replay")
        return [example] * max(1, tokens // 100)

    def other_goals(self, target: Suite, *, seed: int, at_least: int) -> Suite:
        never = Expected(files={"no": None})
        tasks = (Task(id=f"o{n}", family="o", goal=f"other {n}", expected=never) for n in range(20))
        return Suite("others", tuple(tasks))

    def demonstration_sample(self, folder: Path) -> Sequence[Example]:
        return ()


def ends(data: Path) -> Suite:
    """Goals that a random model does not reach, and could learn by heart."""
    tasks = (
        Task(
            id=str(number),
            family="f",
            goal=f"say the number {number}",
            split="train" if number < 6 else "new",
            expected=Expected(answer="boats"),
        )
        for number in range(16)
    )
    return Suite("ends", tuple(tasks))


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A random model in place of the embedded one, trained in this process."""
    folder = write_tiny_model(tmp_path / "tiny", seed=3)
    about = {"habits": {"shown_tools": 3, "pinned": ["finish", "decline"], "recall": 0}}
    (folder / "autoagent.json").write_text(json.dumps(about), encoding="utf-8")
    here = {"isolated": False, "batch_tokens": 1024, "device": "cpu", "precision": "fp32", "threads": 1}
    monkeypatch.setattr(versions, "WEIGHTS", folder)
    monkeypatch.setattr(arms, "FinetuneConfig", partial(FinetuneConfig, **here))
    monkeypatch.setattr(arms, "LIMITS", Limits(max_steps=1, reply_tokens=32))
    monkeypatch.setattr(arms, "work_apart", work)
    for module in (arms, improves):
        monkeypatch.setattr(module, "earlier", Earlier())


def bench(work: Path, **changed: object) -> object:
    settings = {"samples": 1, "rounds": 1, "lr": 3e-3, "epochs": 4, "jobs": 1}
    plan = arms.Plan(**{**settings, "held_out": 10, "others": 20, "corrections": 2, **changed})
    return improves.Bench(work, plan, work)


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_corrections_teach_what_sampling_does_not_find_and_every_piece_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(improves, "SUITES", {"ends": ends})
    made = bench(tmp_path / "work")
    pieces = ("evolve", "evolve-control", "corrected", "corrected-control")
    for arm in pieces:
        made.piece("ends", 0, arm)
    evolved, without, corrected, control = made.of_plan()
    assert "nothing to learn from" in evolved["nothing"]
    assert "nothing" in without
    assert (corrected["corrected"], corrected["typed"]) == (2, 2)
    assert corrected["held_out"]["comparison"]["n"] == control["held_out"]["comparison"]["n"] == 10
    assert corrected["others"]["comparison"]["n"] == control["others"]["comparison"]["n"] == 20
    assert control["tokens"] == pytest.approx(corrected["tokens"], rel=0.5)
    assert "there is nothing to learn from" in improves.table(made.of_plan(), {"calibrate": True})

    capsys.readouterr()
    again = bench(tmp_path / "work")
    for arm in pieces:
        again.piece("ends", 0, arm)
    assert again.of_plan() == made.of_plan()
    assert capsys.readouterr().err == ""  # nothing was done
    assert bench(tmp_path / "work", epochs=3).of_plan() == []
