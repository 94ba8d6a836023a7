"""A model that is put in use while a run works takes the run over: events, record, resuming, exports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from autoagent import Agent, events, tool
from autoagent.config import Limits
from autoagent.models.protocol import Expect, Json
from autoagent.models.scripted import Line, ScriptedModel
from autoagent.store import Store
from autoagent.store.branches import branch
from autoagent.store.export import atif
from autoagent.tools import Context
from autoagent.trajectory import Message, Trajectory

from .stage import FINISH, PLAN, call, look


@tool(effects=("train",))
def learn(*, ctx: Context) -> str:
    """Learn."""
    return str(ctx.service("renew")())


@dataclass
class InUse:
    """First one model, then another: the source of an agent that follows the version in use."""

    old: ScriptedModel
    new: ScriptedModel
    renewed: int = 0
    after: int = 0  # renewals of runs that begin, before there is something new

    def model(self) -> ScriptedModel:
        return self.new if self.renewed > self.after else self.old

    def renew(self) -> Sequence[str]:
        self.renewed += 1
        return ()


@dataclass
class Workshop:
    """Runs that look, then learn; ``told`` is what the new model was told."""

    folder: Path
    told: list[Sequence[Message]] = field(default_factory=list)

    def agent(self, *, begun: int = 1, **options: Any) -> Agent:
        source = InUse(ScriptedModel(self._old, version="old"), ScriptedModel(self._new, version="new"))
        source.after = begun
        options = {"model": source, "approve": lambda request: True, **options}
        return Agent(
            [look, learn], workspace=self.folder / "w", home=self.folder / "h", memory=False, **options
        )

    def _old(self, messages: Sequence[Message], expect: Expect) -> Line:
        if isinstance(expect, Json):
            return PLAN
        done = sum(message.role == "tool" for message in messages)
        return [call("look", place="attic"), call("learn"), FINISH][done]

    def _new(self, messages: Sequence[Message], expect: Expect) -> Line:
        self.told.append(messages)
        return FINISH

    @property
    def store(self) -> Store:
        return Store(self.folder / "h")


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def closed(stream: Iterable[events.Event]) -> Trajectory:
    (run,) = [event.trajectory for event in stream if isinstance(event, events.Closed)]
    return run


def test_the_new_model_is_told_all_that_was_said(workshop: Workshop) -> None:
    heard = list(workshop.agent().events("Learn something"))
    run = closed(heard)
    assert (run.ending, run.models) == ("finished", {0: "old", 3: "new"})
    assert [(event.step, event.model) for event in heard if isinstance(event, events.ModelChanged)] == [
        (3, "new")
    ]
    (told,) = workshop.told
    assert list(told) == workshop.store.messages(run.run_id)[: len(told)]
    assert [message.content for message in told if message.role == "tool"] == [
        "nothing in attic",
        "This run goes on with it.",
    ]


def test_a_model_that_was_given_stays(workshop: Workshop) -> None:
    model = ScriptedModel(workshop._old, version="old")
    run = workshop.agent(model=model).run("Learn something").trajectory
    assert run.acts[1].observations[0].content == "This run goes on with the model it began with."
    assert run.models == {0: "old"}


def test_a_resumed_run_is_taken_over_like_any_other(workshop: Workshop) -> None:
    first = workshop.agent(limits=Limits(max_steps=1)).run("Learn something").trajectory
    assert first.ending == "max_steps"
    run = closed(workshop.agent().resume())
    assert (run.ending, run.models) == ("finished", {0: "old", 3: "new"})


def test_a_run_resumed_with_another_model_says_from_which_step_on(workshop: Workshop) -> None:
    workshop.agent(limits=Limits(max_steps=1)).run("Learn something")
    heard = list(workshop.agent(begun=0).resume())
    assert any("begun with another model" in event.text for event in heard if isinstance(event, events.Note))
    assert closed(heard).models == {0: "old", 2: "new"}


def test_an_export_names_the_model_of_a_step_where_it_is_another(workshop: Workshop) -> None:
    run = workshop.agent().run("Learn something").trajectory
    document = atif(workshop.store, run.run_id, {})
    spoken = [step for step in document["steps"] if step["source"] == "agent"]
    assert document["agent"]["model_name"] == "old"
    assert [step.get("model_name") for step in spoken] == [None, None, None, "new"]


def test_a_branch_is_not_of_the_models_that_came_later(workshop: Workshop, tmp_path: Path) -> None:
    run = workshop.agent().run("Learn something").trajectory
    begun = branch(workshop.store, run.run_id, 2).begin(
        tmp_path / "branch", model="third", seed=0, settings={}, tags=()
    )
    assert workshop.store.load(begun).models == {0: "third"}
