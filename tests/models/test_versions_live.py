"""A version that was promoted meanwhile is taken between runs; one that cannot be had is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from autoagent import Agent, events
from autoagent.cli import Exit, Parts, main
from autoagent.errors import ModelError, UsageError
from autoagent.models.live import Current
from autoagent.models.scripted import ScriptedModel
from autoagent.models.versions import Versions
from autoagent.trajectory import ToolCall


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Versions(tmp_path / "home")


@pytest.fixture
def made(versions: Versions, tmp_path: Path) -> Callable[[], str]:
    """Makes one version after the other, of files that nobody loads."""
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "config.json").write_text("{}", encoding="utf-8")

    def add() -> str:
        (folder / "model.safetensors").write_bytes(bytes(len(versions.list()) + 1))
        return versions.add(folder).name

    return add


class Loader:
    """Loads models that answer with their own name; keeps the names it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.broken, self.problem = "", UsageError

    def __call__(self, name: str, home: Path | None = None) -> ScriptedModel:
        self.asked.append(name)
        if name == self.broken:
            raise self.problem(f"{name} is damaged")
        script = [ToolCall(name="finish", arguments={"answer": name})] * 9
        return ScriptedModel(lambda messages, expect: _line(expect, script), version=f"hash of {name}")


def _line(expect: object, script: list[ToolCall]) -> object:
    return ["finish"] if type(expect).__name__ == "Json" else script[0]


def agent_with(model: object, versions: Versions, tmp_path: Path) -> Agent:
    home = versions.folder.parent
    return Agent(model=model, home=home, workspace=tmp_path / "work", memory=False)  # type: ignore[arg-type]


def notes(agent: Agent) -> list[str]:
    return [event.text for event in agent.events("say it") if isinstance(event, events.Note)]


def test_an_agent_takes_the_promoted_version_with_its_next_run(
    versions: Versions, made: Callable[[], str], tmp_path: Path
) -> None:
    load, name = Loader(), made()
    agent = agent_with(Current(versions.folder.parent, load), versions, tmp_path)
    assert agent.run("say it").answer == "embedded"
    stream = agent.events("say it")
    next(stream)
    versions.use(name)  # in the middle of a run, which goes on with what it began with
    *_, closed = stream
    assert isinstance(closed, events.Closed)
    assert closed.trajectory.answer == "embedded"
    assert notes(agent) == [f"another model is in use by now: {name}"]
    assert notes(agent) == []
    result = agent.run("say it")
    assert (result.answer, result.trajectory.model) == (name, f"hash of {name}")
    versions.rollback()
    assert agent.run("say it").answer == "embedded"
    assert load.asked == ["embedded", name, "embedded"]


@pytest.mark.parametrize("problem", [ModelError, UsageError])  # the latter: its prompts, its habits
def test_a_version_that_cannot_be_loaded_leaves_the_old_one_at_work_and_is_told_once(
    versions: Versions, made: Callable[[], str], tmp_path: Path, problem: type[UsageError]
) -> None:
    load, name, good = Loader(), made(), made()
    agent = agent_with(Current(versions.folder.parent, load), versions, tmp_path)
    agent.run("say it")
    load.broken, load.problem = name, problem
    versions.use(name)
    (line,) = notes(agent)
    assert line == f"embedded stays at work, for the model in use cannot be had: {name} is damaged"
    assert notes(agent) == []
    assert agent.run("say it").answer == "embedded"
    assert load.asked == ["embedded", name]  # it is not tried again and again
    (versions.folder / "current").write_bytes(b"../../etc")
    assert "names no model version" in notes(agent)[0]
    assert notes(agent) == []
    versions.use(good)
    assert agent.run("say it").answer == good


def test_a_model_that_was_named_stays(versions: Versions, made: Callable[[], str], tmp_path: Path) -> None:
    agent = agent_with(Loader()("mine"), versions, tmp_path)
    assert agent.run("say it").answer == "mine"
    versions.use(made())
    assert agent.run("say it").answer == "mine"
    assert notes(agent) == []


def test_a_chat_takes_a_promoted_version_unless_its_model_was_named(
    versions: Versions,
    made: Callable[[], str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load, name = Loader(), made()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    pointer = json.dumps(str(versions.folder / "current"))
    (tmp_path / "lines").write_text(f"say it\n!echo {name} > {pointer}\nsay it again\n", encoding="utf-8")

    def answers(*more: str) -> list[str]:
        with open(tmp_path / "lines", encoding="utf-8") as typed:
            monkeypatch.setattr("sys.stdin", typed)
            command = ["--home", str(versions.folder.parent), "chat", "--no-memory", *more]
            assert main(command, Parts(load=load)) == Exit.OK
        told = capsys.readouterr().out
        return [line.split()[-1] for line in told.splitlines() if line.startswith("answer")]

    assert answers() == ["embedded", name]
    assert answers("-m", "embedded") == ["embedded", "embedded"]
