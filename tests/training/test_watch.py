"""Newly verified runs are learned from when there are enough, or when it is time; each is looked at once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from autoagent.agent import Agent
from autoagent.config import Limits, Sampling
from autoagent.errors import UsageError
from autoagent.evals import Expected, Suite, Task
from autoagent.models.scripted import ScriptedModel
from autoagent.models.tiny import write_tiny_model
from autoagent.models.versions import Versions
from autoagent.prompts import prompt_hash
from autoagent.store import Store
from autoagent.training.dataset import DatasetConfig
from autoagent.training.evolve import History
from autoagent.training.evolve_page import page
from autoagent.training.finetune import finetune
from autoagent.training.gate import GateConfig
from autoagent.training.jobs import one_at_a_time
from autoagent.training.sft import FinetuneProgress
from autoagent.training.watch import Look, WatchConfig, watch
from autoagent.trajectory import ToolCall

from .quick import quick

SHORT = Limits(max_steps=1, reply_tokens=48)
TUNING = quick(
    epochs=1,
    learning_rate=None,
    batch_tokens=2048,
    data=DatasetConfig(validation=0.3),
    gate=GateConfig(tasks=1, limits=SHORT),
)
SUITE = Suite(
    "held out", (Task(id="1", family="f", goal="say hello", expected=Expected(answer="never said")),)
)


def record(home: Path, goals: list[str], *, model: ScriptedModel | None = None) -> None:
    """Run these goals with the version in use; whatever a random model does there is called good."""
    agent = Agent(
        model=model,
        home=home,
        workspace=home.parent / "work",
        limits=SHORT,
        memory=False,
        sampling=Sampling(temperature=1),
    )
    store = Store(home)
    for goal in goals:
        store.rate(agent.run(goal).trajectory.run_id, good=True)
    store.close()


def numbers(first: int, last: int) -> list[str]:
    return [f"say the number {number}" for number in range(first, last)]


@pytest.fixture(scope="module")
def practised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose version in use is a random model with three verified runs on record."""
    place = tmp_path_factory.mktemp("watched")
    folder = write_tiny_model(place / "tiny")
    about = {"habits": {"shown_tools": 3, "pinned": ["finish", "decline"], "recall": 0}}
    (folder / "autoagent.json").write_text(json.dumps(about), encoding="utf-8")
    versions = Versions(place / "home")
    versions.use(versions.add(folder, prompts=prompt_hash()).name)
    record(place / "home", numbers(0, 3))
    return place / "home"


@pytest.fixture
def home(practised: Path, tmp_path: Path) -> Path:
    copy: Path = shutil.copytree(practised, tmp_path / "home")
    return copy


def looks(home: Path, **when: object) -> Iterator[Look]:
    return watch(home, SUITE, WatchConfig.model_validate({"tuning": TUNING, "poll": 0.01, **when}))


def test_enough_new_runs_are_learned_from_once(home: Path) -> None:
    seen = looks(home, after=4)
    first = next(seen)
    assert (first.new, first.due, first.round) == (3, False, None)
    assert first.reason == "nothing new: 3 of 4 runs"

    record(home, numbers(3, 5))
    made = next(seen).round
    assert made is not None
    assert (made.number, made.new_runs, made.promoted, made.drift) == (1, 5, False, None)
    version = Versions(home).get(made.version)
    assert version.gate is not None
    assert len((version.data or {})["sheet"]["runs"]) < 5  # some goals only measure
    assert next(seen).reason == "nothing new: 0 of 4 runs"
    assert next(looks(home, after=4)).new == 0  # so it is for who begins anew

    record(home, numbers(5, 9))
    again = next(seen).round
    assert again is not None
    assert (again.number, again.new_runs) == (2, 4)
    assert again.examples > made.examples  # of the runs before, too
    assert [each.number for each in History(home, SUITE.name).rounds()] == [1, 2]


def test_an_interval_needs_one_new_run_and_counts_from_the_last_training(home: Path) -> None:
    later = next(looks(home, every="7d"))
    assert not later.due
    assert later.reason.startswith("nothing new: 3 runs, ")
    assert later.reason.endswith(" of 7 d")
    seen = looks(home, every=0.001, after=99)
    assert next(seen).round is not None
    waiting = next(seen)
    assert (waiting.due, waiting.new) == (False, 0)
    record(home, numbers(3, 4))
    assert not next(looks(home, every="1h")).due
    with one_at_a_time(home):
        assert next(seen).due


def test_what_was_cut_short_in_the_gate_is_gone_on_with(home: Path) -> None:
    def interrupt(number: int, at: FinetuneProgress) -> None:
        if at.stage == "gate old":
            raise KeyboardInterrupt

    config = WatchConfig(after=3, tuning=TUNING)
    with pytest.raises(KeyboardInterrupt):
        next(watch(home, SUITE, config, on_progress=interrupt))
    (_, made) = Versions(home).list()
    look = next(watch(home, SUITE, config))
    assert look.round is not None
    assert look.round.version == made.name
    assert len(Versions(home).list()) == 2


def test_a_training_by_hand_counts_and_drift_is_told_of_what_came_after_it(home: Path) -> None:
    first = finetune(home, suite=SUITE, config=TUNING)
    assert next(looks(home, after=3)).new == 0
    Versions(home).use(first.version)
    record(home, numbers(3, 6))
    second = next(looks(home, after=3)).round
    assert second is not None
    assert second.drift is not None
    assert (second.drift.version, second.drift.since.verified) == (first.version, 3)
    assert second.drift.surprise is not None
    rounds = History(home, SUITE.name).rounds()
    assert rounds[-1] == second
    text = page("held out", rounds)
    assert "Drift before round 1" in text
    assert second.drift.lines()[0] in text


def test_runs_that_cannot_be_learned_from_are_named_and_do_not_stop_the_watch(
    tmp_path: Path, home: Path
) -> None:
    other = tmp_path / "other"
    script = ScriptedModel([["finish"], ToolCall(name="finish", arguments={"answer": "4"})])
    record(other, ["2 + 2"], model=script)
    shutil.copytree(home / "models", other / "models")
    seen = looks(other, after=1)
    look = next(seen)
    assert (look.due, look.round) == (True, None)
    assert "nothing was trained: none of the 1 verified runs can be learned from" in look.reason
    assert next(seen).reason == "nothing new: 0 of 1 runs"


def test_another_training_is_waited_for(home: Path) -> None:
    seen = looks(home, after=3)
    with one_at_a_time(home):
        for look in (next(seen), next(seen)):  # these runs go on making it due
            assert (look.due, look.round) == (True, None)
            assert look.reason.startswith("another training is under way")


def test_what_cannot_be_watched_is_said_at_once(home: Path) -> None:
    with pytest.raises(UsageError, match="when to train again is not said"):
        WatchConfig()
    with pytest.raises(UsageError, match="'soon' is no length of time"):
        WatchConfig(every="soon")  # type: ignore[arg-type]
    only = Suite("s", (SUITE.tasks[0].model_copy(update={"split": "train"}),))
    with pytest.raises(UsageError, match="all its tasks are of the split train"):
        next(watch(home, only, WatchConfig(after=1)))
