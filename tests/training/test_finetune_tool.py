"""The agent retrains itself in a run: asked for, watched, measured; the run goes on with what came of it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from autoagent import Agent, events, tool
from autoagent.config import Conduct, Limits, Sampling
from autoagent.errors import UsageError
from autoagent.evals import Expected, Suite, Task
from autoagent.models.load import load_model
from autoagent.models.local import LocalModel
from autoagent.models.protocol import Model
from autoagent.models.scripted import ScriptedModel
from autoagent.models.versions import Versions
from autoagent.prompts import prompt_hash
from autoagent.security import Request
from autoagent.store import Store
from autoagent.tools import Context
from autoagent.training.dataset import build_dataset
from autoagent.training.finetune import finetune
from autoagent.training.gate import GateConfig
from autoagent.training.jobs import one_at_a_time
from autoagent.training.selection import Selection
from autoagent.training.service import finetune_service
from autoagent.trajectory import ToolCall, Trajectory

from .test_finetune import QUICK, SHORT, SUITE, contents, home, practised, record, tiny

__all__ = ["home", "practised"]  # fixtures

GOAL = "Learn from your runs"
FINISH = ToolCall(name="finish", arguments={"answer": "done"})


def closed(stream: Iterable[events.Event]) -> Trajectory:
    (run,) = [event.trajectory for event in stream if isinstance(event, events.Closed)]
    return run


# --- another model in the middle of a run -------------------------------------------------------------------


@tool(effects=("train",), needs="finetune")
def learn(*, ctx: Context) -> str:
    """Learn."""
    return str(ctx.service("finetune")())


@dataclass
class Promoting:
    """A training that always makes the same version, which is found better."""

    versions: Versions
    name: str
    said: list[str] = field(default_factory=list)
    spoilt: bool = False  # the file is damaged right after

    def __call__(self, *, ctx: Context) -> str:
        self.versions.use(self.name)
        if self.spoilt:
            (self.versions.folder / self.name / "model.safetensors").write_bytes(b"no weights")
        self.said.append(ctx.services["renew"]())
        return self.said[-1]


class School:
    """A home with two random versions, the first in use, and runs whose first action is to learn."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        self.versions = Versions(self.home)
        self.old, self.new = (
            self.versions.add(tiny(folder / f"tiny{seed}", seed=seed), prompts=prompt_hash()).name
            for seed in (0, 1)
        )
        self.versions.use(self.old)
        self.training = Promoting(self.versions, self.new)
        self.sampling = self._dice()

    def _dice(self) -> Sampling:
        """Those with which the random model happens to learn first."""
        model = load_model(self.old, home=self.home)
        for seed in range(60):
            sampling = Sampling(temperature=1, seed=seed)
            agent = self.agent(model=model, sampling=sampling, home=self.folder / "dice", max_steps=1)
            calls = agent.run(GOAL).trajectory.steps[0].reply.calls
            self.versions.use(self.old)
            if [each.name for each in calls] == ["learn"]:
                self.training.said.clear()
                return sampling
        raise AssertionError("it never learns")

    def agent(self, max_steps: int = 3, home: Path | None = None, **options: Any) -> Agent:
        return Agent(
            [learn],
            home=home or self.home,
            workspace=self.folder / "work",
            limits=Limits(max_steps=max_steps, reply_tokens=48),
            conduct=Conduct(plan="off"),
            memory=False,
            builtins=False,
            services={"finetune": self.training},
            approve=lambda request: True,
            **({"sampling": self.sampling} if "sampling" not in options else {}),
            **options,
        )

    def hash(self, name: str) -> str:
        return self.versions.get(name).hash


@pytest.fixture
def school(tmp_path: Path) -> School:
    return School(tmp_path)


def test_the_run_goes_on_token_by_token_with_the_promoted_version(school: School) -> None:
    agent = school.agent()
    first = weakref.ref(agent.loaded_model())
    heard = list(agent.events(GOAL))
    run = closed(heard)

    assert run.steps[0].observations[0].content == "This run goes on with it."
    assert run.models == {0: school.hash(school.old), 1: school.hash(school.new)}
    changes = [event for event in heard if isinstance(event, events.ModelChanged)]
    assert [(event.step, event.model) for event in changes] == [(1, school.hash(school.new))]

    before, after = run.steps[0].reply.trace, run.steps[1].reply
    assert before is not None
    assert after.trace is not None
    context = [*before.prompt_ids, *before.completion_ids, *after.trace.prompt_ids]
    assert after.trace.kept == len(before.prompt_ids) + len(before.completion_ids)
    assert (after.counts.cached, after.counts.prefilled) == (0, len(context))
    expected = logprobs(school, school.new, context, after.trace.completion_ids)
    chosen = [place for place, origin in enumerate(after.trace.origins) if origin == "s"]
    assert chosen
    assert [after.trace.logprobs[place] for place in chosen] == pytest.approx(
        [expected[place] for place in chosen], abs=0.02
    )

    gc.collect()
    assert first() is None, "the old model is still in memory"


def logprobs(school: School, name: str, context: list[int], completion: tuple[int, ...]) -> list[float]:
    """Of each token of a completion, by a model of its own."""
    import torch

    model = cast("LocalModel", load_model(name, home=school.home)).engine.model
    with torch.no_grad():
        logits = model(torch.tensor([[*context, *completion]])).logits[0]  # (T, V)
    logs = torch.log_softmax(logits.float(), dim=-1)
    return [float(logs[len(context) - 1 + place, token]) for place, token in enumerate(completion)]


def test_a_run_of_two_versions_trains_as_one_and_is_of_neither_alone(school: School) -> None:
    store = Store(school.home)
    run = school.agent(max_steps=2).run(GOAL).trajectory
    store.rate(run.run_id, good=True)
    data = build_dataset(store.verified())
    (example,) = data.train
    traces = [step.reply.trace for step in run.steps if step.reply.trace]
    assert len(example.ids) == sum(len(each.prompt_ids) + len(each.completion_ids) for each in traces)
    assert data.sheet.models == {f"{school.hash(school.old)}, then {school.hash(school.new)}": 1}

    chosen = QUICK.model_copy(update={"selection": Selection(models=(school.old,))})
    with pytest.raises(UsageError, match="1 run changed the model on the way"):
        finetune(school.home, suite=None, config=chosen)


def test_a_run_that_broke_off_after_the_promotion_goes_on_with_the_new_version(school: School) -> None:
    stream = cast("Generator[events.Event, None, None]", school.agent().events(GOAL))
    next(event for event in stream if isinstance(event, events.Observed))
    stream.close()
    assert Store(school.home).load("last").models == {0: school.hash(school.old)}

    heard = list(school.agent().resume())
    assert [event.model for event in heard if isinstance(event, events.Started)] == [school.hash(school.new)]
    assert closed(heard).models == {0: school.hash(school.old), 1: school.hash(school.new)}


def test_a_model_that_was_named_stays(school: School) -> None:
    run = school.agent(model=school.old).run(GOAL).trajectory
    said = f"This run goes on with {school.old}, the model that was named for it."
    assert run.steps[0].observations[0].content == said
    assert school.versions.current() == school.new
    assert run.models == {0: school.hash(school.old)}


def test_a_version_that_cannot_be_loaded_leaves_the_old_one_at_work(school: School) -> None:
    school.training.spoilt = True
    run = school.agent().run(GOAL).trajectory
    assert f"{school.old} stays at work" in run.steps[0].observations[0].content
    assert run.models == {0: school.hash(school.old)}


# --- the training itself, asked for by a model that follows a script ----------------------------------------


class ThenInUse:
    """At first a model that follows a script, then the version in use, if that is another one by then."""

    def __init__(self, home: Path, call: ToolCall) -> None:
        self._versions, self._home = Versions(home), home
        self._began = self._versions.current()
        self._model: Model = ScriptedModel([call, FINISH])

    def model(self) -> Model:
        return self._model

    def renew(self) -> tuple[str, ...]:
        if self._versions.current() != self._began and isinstance(self._model, ScriptedModel):
            self._model = load_model(None, home=self._home)
        return ()


def retraining(
    home: Path, suite: Suite | None = SUITE, asked: list[Request] | None = None, **call: Any
) -> Agent:
    """An agent whose first action is ``finetune``; ``config`` is how it trains."""
    config = call.pop("config", QUICK.model_copy(update={"epochs": 1}))

    def approve(request: Request) -> bool:
        if asked is not None:
            asked.append(request)
        return True

    return Agent(
        model=ThenInUse(home, ToolCall(name="finetune", arguments=call)),
        home=home,
        workspace=home.parent / "work",
        limits=Limits(max_steps=2, reply_tokens=48),
        conduct=Conduct(plan="off"),
        memory=False,
        builtins=["finetune"],
        services={"finetune": finetune_service(home, suite, config)},
        approve=approve,
    )


def observed(heard: Iterable[events.Event]) -> list[str]:
    return [event.observation.content for event in heard if isinstance(event, events.Observed)]


def test_it_asks_shows_how_far_it_is_and_goes_on_with_the_old_version(home: Path) -> None:
    asked: list[Request] = []
    before = Versions(home).current()
    heard = list(retraining(home, asked=asked, note="weekly").events(GOAL))

    assert [request.effects for request in asked] == [("train",)]
    assert f"learn from 6 verified runs, starting from {before}; sft: imitate" in asked[0].preview
    assert "held-out goals of the suite held out decide" in asked[0].preview
    assert "how long it takes is not known yet" in asked[0].preview

    progress = [event for event in heard if isinstance(event, events.Progress)]
    stages = list(dict.fromkeys(event.stage for event in progress if event.total))
    assert stages == ["training", "measuring the old model", "measuring the new model"]
    last = [event for event in progress if event.stage == "training"][-1]
    assert last.done == last.total > 0
    assert last.figures["loss"] > 0

    lines = observed(heard)[0].splitlines()
    assert lines[0].startswith("Made v2-")
    assert lines[1].startswith("Training (sft): ")
    assert lines[2] == "Gate (held out): old 0/2, new 0/2."
    assert lines[3].startswith("Refused: not better")
    assert lines[4] == "The model in use stays."
    run = closed(heard)
    assert (run.ending, run.models) == ("finished", {0: "scripted"})
    assert Versions(home).current() == before

    again = finetune_service(home, SUITE, QUICK).preview()
    assert "takes about" in again  # as long as the one before


def test_a_promoted_version_answers_in_the_same_run_and_is_rolled_back_bit_by_bit(tmp_path: Path) -> None:
    """One random model happens to finish, another never does; it learns to from the runs of the first."""
    home = tmp_path / "home"
    versions, store = Versions(home), Store(home)
    finishes, never = (
        versions.add(tiny(tmp_path / f"tiny{seed}", seed=seed), prompts=prompt_hash()).name for seed in (0, 3)
    )
    versions.use(finishes)
    record(home, [f"say the number {n}" for n in range(8)], check=None, temperature=0)
    for run in store.runs(ending="finished"):
        store.rate(run.run_id, good=True)
    versions.use(never)
    files = contents(versions.path(never))
    ends = Expected(calls=("finish",))
    tasks = (Task(id=str(n), family="f", goal=f"say the number {n}", expected=ends) for n in range(12, 19))
    better = QUICK.model_copy(update={"epochs": 20, "gate": GateConfig(limits=SHORT)})

    run = closed(retraining(home, Suite("ends", tuple(tasks)), config=better).events(GOAL))
    said = run.steps[0].observations[0].content.splitlines()
    assert said[2].startswith("Gate (ends): old 0/7, new ")
    assert said[3].startswith("Promoted: ")
    assert said[4] == "It is in use now. This run goes on with it."
    made = versions.get(versions.current())
    assert run.models == {0: "scripted", 1: made.hash}
    assert run.steps[1].reply.trace is not None
    assert made.promoted
    assert made.data is not None
    assert set(made.data["sheet"]["models"]) == {versions.get(finishes).hash}
    assert versions.rollback() == never
    assert contents(versions.path(never)) == files


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ({"runs": "nosuchrun"}, "leave runs empty to learn from all of them"),
        ({"method": "dpo"}, 'or call finetune with method="sft"'),
        ({"method": "kto"}, 'call finetune with method="sft"'),
    ],
)
def test_what_cannot_be_done_is_one_line_that_says_what_to_do(
    home: Path, call: dict[str, str], words: str
) -> None:
    heard = list(retraining(home, **call).events(GOAL))
    line = observed(heard)[0]
    assert words in line
    assert "\n" not in line
    assert closed(heard).ending == "finished"


def test_a_second_training_at_a_time_waits_for_later(home: Path) -> None:
    with one_at_a_time(home):
        heard = list(retraining(home).events(GOAL))
    assert "another training is under way" in observed(heard)[0]
    assert observed(heard)[0].endswith("nothing was trained now: try again later")


def test_without_verified_runs_the_model_is_told_and_the_person_too(tmp_path: Path) -> None:
    versions = Versions(tmp_path / "home")
    versions.use(versions.add(tiny(tmp_path / "tiny")).name)
    asked: list[Request] = []
    heard = list(retraining(tmp_path / "home", asked=asked).events(GOAL))
    assert asked[0].preview.startswith("this will fail: no verified runs to learn from")
    assert observed(heard)[0].endswith("nothing was trained: there are no verified runs to learn from yet")


def test_ctrl_c_leaves_a_checkpoint_and_a_run_that_goes_on(home: Path) -> None:
    long = QUICK.model_copy(update={"epochs": 5000, "isolated": True})
    stream = cast("Generator[events.Event, None, None]", retraining(home, config=long).events(GOAL))
    next(event for event in stream if isinstance(event, events.Progress) and event.done)
    stream.throw(KeyboardInterrupt)
    assert closed(stream).ending == "interrupted"
    assert len(list((home / "training").glob("*/run/checkpoint.pt"))) == 1

    heard = list(retraining(home).resume())
    assert "whether it took effect is not known" in observed(heard)[0]  # the model decides what to do
    assert len(closed(heard).steps) > 1
