"""Round after round: goals are practised on, learned from, measured, and the model in use changes."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from autoagent.agent import Agent
from autoagent.config import Limits
from autoagent.errors import StoreError, UsageError
from autoagent.evals import Expected, Suite, Task
from autoagent.models.load import load_model
from autoagent.models.tiny import write_tiny_model
from autoagent.models.versions import Versions
from autoagent.prompts import prompt_hash
from autoagent.store import Store
from autoagent.training.corrections import correct
from autoagent.training.evolve import EvolveConfig, History, evolve, parts_of
from autoagent.training.evolve_page import page
from autoagent.training.gate import GateConfig
from autoagent.training.jobs import Busy, one_at_a_time
from autoagent.training.sampling import SamplingConfig
from autoagent.trajectory import ToolCall

from .quick import quick

LIMITS = Limits(max_steps=1, reply_tokens=48)
CONFIG = EvolveConfig(
    rounds=1,
    sampling=SamplingConfig(samples=6, enough=1, temperature=1.5, limits=LIMITS),
    tuning=quick(epochs=20, gate=GateConfig(limits=LIMITS)),
    jobs=1,
)


def suite(calls: str = "finish") -> Suite:
    expected = Expected(calls=(calls,))
    tasks = [
        Task(
            id=str(number),
            family="f",
            goal=f"say the number {number}",
            split="train" if number < 8 else "new",
            expected=expected,
        )
        for number in range(18)
    ]
    return Suite("ends", tuple(tasks))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A project with a random model in use, which is shown few tools and seldom finishes."""
    folder = write_tiny_model(tmp_path / "tiny", seed=3)
    about = {"habits": {"shown_tools": 3, "pinned": ["finish", "decline"], "recall": 0}}
    (folder / "autoagent.json").write_text(json.dumps(about), encoding="utf-8")
    versions = Versions(tmp_path / "home")
    versions.use(versions.add(folder, prompts=prompt_hash(folder)).name)
    return tmp_path / "home"


def test_what_is_reached_now_and_then_is_reached_more_often_afterwards(home: Path) -> None:
    start = Versions(home).current()
    made = evolve(home, suite(), CONFIG)
    (round_,) = made.rounds
    assert round_.pass_at_k > round_.pass_at_1
    assert round_.promoted, round_.reason
    assert (made.promoted, made.reason) == (1, "all rounds are done")
    assert Versions(home).current() == round_.version != start
    assert round_.before is not None
    assert round_.after is not None
    assert round_.after[0] > round_.before[0]
    assert History(home, "ends").rounds() == made.rounds
    text = History(home, "ends").page.read_text(encoding="utf-8")
    assert "<polyline" in text
    assert round_.version in text


def test_where_sampling_finds_nothing_there_is_nothing_to_learn(home: Path) -> None:
    made = evolve(home, suite(calls="delete_file"), CONFIG)
    assert made.promoted == 0
    assert made.rounds[0].version == ""
    assert "nothing to learn" in made.reason
    assert len(Versions(home).list()) == 1
    assert "<polyline" not in page("ends", made.rounds)


def test_without_a_split_every_other_goal_measures() -> None:
    whole = Suite("s", tuple(task.model_copy(update={"split": ""}) for task in suite().tasks))
    practice, measure = parts_of(whole)
    ids = [{task.id for task in part.tasks} for part in (practice, measure)]
    assert all(ids)
    assert ids[0] | ids[1] == {task.id for task in whole.tasks}
    assert not ids[0] & ids[1]


def test_a_suite_of_one_part_is_refused() -> None:
    one = Suite("s", tuple(task for task in suite().tasks if task.split == "train"))
    with pytest.raises(UsageError, match="suite s has no goals to measure on"):
        parts_of(one)


def test_goals_that_are_practised_on_and_measured_are_refused_before_any_run(home: Path) -> None:
    tasks = suite().tasks
    twice = [task.model_copy(update={"id": f"{task.id}b", "split": "new"}) for task in tasks[:8]]
    with pytest.raises(UsageError, match="suite ends leaks: 8 of the 18 goals to measure on"):
        evolve(home, Suite("ends", (*tasks, *twice)), CONFIG)
    with closing(Store(home)) as store:
        assert store.count() == 0


def test_while_another_training_is_under_way_no_run_is_made(home: Path) -> None:
    with one_at_a_time(home), pytest.raises(Busy, match="another training is under way"):
        evolve(home, suite(), CONFIG)
    with closing(Store(home)) as store:
        assert store.count() == 0


def test_a_damaged_history_is_named(home: Path) -> None:
    history = History(home, "ends")
    history.file.parent.mkdir(parents=True)
    history.file.write_text("{", encoding="utf-8")
    with pytest.raises(StoreError, match=r"evolve/ends\.jsonl is damaged"):
        evolve(home, suite(), CONFIG)


def test_corrections_are_learned_from_where_sampling_finds_nothing(home: Path) -> None:
    right = Suite(
        "ends",
        tuple(
            task.model_copy(update={"expected": Expected(answer="a word it never says")})
            for task in suite().tasks
        ),
    )
    few = CONFIG.model_copy(update={"sampling": CONFIG.sampling.model_copy(update={"samples": 2})})
    assert evolve(home, right, few).rounds[0].version == ""
    practice, _ = parts_of(right)
    finish = ToolCall(name="finish", arguments={"answer": "a word it never says"})
    with closing(Store(home)) as store:
        runs = [run.run_id for run in store.runs(suite=practice.name)]
        acted = [run for run in runs if any(step.reply.calls for step in store.load(run).acts)]
    with Agent(home=home, model=load_model(None, home), limits=LIMITS, memory=False) as agent:
        shown = correct(agent, acted[0], finish, suite=practice)
    assert shown.verdict.status == "verified"
    (round_,) = evolve(home, right, few).rounds
    assert round_.version
    sheet = (Versions(home).get(round_.version).data or {})["sheet"]
    assert sheet["runs"] == [shown.run_id]
    assert round_.training_seconds is not None
