"""A secret that a local model says is taken out of its tokens, and such a run is not learned from."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoagent import Agent, tool
from autoagent.config import Conduct, Limits
from autoagent.goal import expect
from autoagent.models.local import LocalModel, LocalSession
from autoagent.models.tiny import write_tiny_model
from autoagent.store import Store
from autoagent.store.export import atif
from autoagent.training.dataset import DatasetConfig, build_dataset
from autoagent.training.examples import NO_IDS
from autoagent.training.replay import LedModel, dictation
from autoagent.trajectory import ToolCall

pytestmark = pytest.mark.usefixtures("one_thread")

VALUE = "zx81-safe-77"
GIVEN: list[str] = []


@tool
def log_in(token: str) -> str:
    """Log in with a token."""
    GIVEN.append(token)
    return "logged in"


def call(name: str, /, **arguments: str) -> ToolCall:
    return ToolCall(name=name, arguments=arguments)


def test_the_tokens_of_a_secret_are_taken_back_and_never_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_TOKEN", VALUE)
    GIVEN.clear()
    held: list[str] = []
    close = LocalSession.close

    def closing(session: LocalSession) -> None:
        held.append(session._decode(session._ids))
        close(session)

    monkeypatch.setattr(LocalSession, "close", closing)
    model = LedModel.of(LocalModel.load(write_tiny_model(tmp_path / "tiny")))
    for said in (call("log_in", token="one"), call("log_in", token=VALUE), call("finish", answer="done")):
        model.dictations.append(dictation(model, "so", said))
    agent = Agent(
        model=model,
        tools=[log_in],
        builtins=False,
        memory=False,
        workspace=tmp_path / "work",
        home=tmp_path / "home",
        conduct=Conduct(plan="off"),
        limits=Limits(reply_tokens=400),
    )
    run = agent.run("Log in", check=expect("done")).trajectory
    assert run.verdict.status == "verified"
    assert ["one", VALUE] == GIVEN
    assert [step.reply.trace is None for step in run.steps] == [False, True, False]

    assert VALUE not in held[-1]  # the last reply was given without it in sight
    assert '{"token": "[secret: ACME_TOKEN]"}' in held[-1]
    last = run.steps[2].reply.trace
    assert last is not None
    assert "[secret: ACME_TOKEN]" in model.vocabulary.spell(last.prompt_ids).decode()

    dataset = build_dataset([run], DatasetConfig(validation=0))
    assert (dataset.train, dict(dataset.sheet.refused)) == ((), {NO_IDS: 1})
    steps = atif(Store(tmp_path / "home"), run.run_id, {})["steps"]
    told = ["prompt_token_ids" in step["metrics"] for step in steps if step["source"] == "agent"]
    assert told == [True, False, False]  # what the last one follows is not on record
