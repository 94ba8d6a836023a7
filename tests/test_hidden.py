"""Secrets of a run: not in what the model is told, not in the record, not in exports; tools get them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autoagent import events, tool
from autoagent.cli.runs_files import Format, _text
from autoagent.config import Limits, Safety
from autoagent.errors import ToolError
from autoagent.memory.volatile import VolatileMemory
from autoagent.security import Rules, Secrets
from autoagent.store import Store
from autoagent.trajectory import Observation, Verdict

from .stage import FINISH, Stage, call, stage

__all__ = ["stage"]

VALUE = 'zx"81-Ün\\safe-77'
GIVEN: list[str] = []


@tool
def show_env(name: str) -> dict[str, str]:
    """Show a variable."""
    return {"name": name, "value": VALUE}


@tool
def log_in(token: str) -> str:
    """Log in with a token."""
    GIVEN.append(token)
    return f"logged in with {token}"


@tool(effects=("network",))
def upload(text: str) -> str:
    """Upload a text."""
    GIVEN.append(text)
    return "uploaded"


@tool
def stumble(text: str) -> str:
    """Fail, and say too much."""
    raise ToolError(f"no access with {VALUE}")


@tool
def crash(text: str) -> str:
    """Crash, and say too much."""
    raise RuntimeError(f"no access with {VALUE}")


TOOLS = [show_env, log_in, upload, stumble, crash]


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_TOKEN", VALUE)
    GIVEN.clear()


def spelled(text: str) -> bool:
    return any(
        each in text for each in (VALUE, json.dumps(VALUE)[1:-1], json.dumps(VALUE, ensure_ascii=False)[1:-1])
    )


def recorded(home: Path) -> str:
    """All that is on disk in a home."""
    files = [file for file in home.rglob("*") if file.is_file() and "versions" not in file.parts]
    return "\n".join(file.read_bytes().decode("utf-8", "replace") for file in files)


def observations(run: Any) -> list[Observation]:
    return [each for step in run.trajectory.steps for each in step.observations]


def test_a_secret_is_not_told_not_recorded_and_still_of_use(stage: Stage) -> None:
    goal = f"Show a variable of the environment, then log in with the token; it is {VALUE}"
    use = call("log_in", token="[secret: ACME_TOKEN]")
    run = stage.play([["go"], call("show_env", name="ACME_TOKEN"), use, FINISH], goal, tools=TOOLS)
    assert GIVEN == [VALUE]
    assert not spelled(stage.heard)
    assert not spelled(recorded(stage.home))
    shown = [each.content for each in observations(run)]
    assert shown[0] == '{"name": "ACME_TOKEN", "value": "[secret: ACME_TOKEN]"}'
    assert shown[1] == "logged in with [secret: ACME_TOKEN]"
    assert run.trajectory.goal == goal.replace(VALUE, "[secret: ACME_TOKEN]")
    assert not any(spelled(event.model_dump_json()) for event in stage.seen)


def test_a_secret_that_would_leave_is_asked_about_even_where_the_user_named_the_place(stage: Stage) -> None:
    leave = call("upload", text="[secret: ACME_TOKEN]")
    goal = "Upload [secret: ACME_TOKEN]"
    run = stage.play([["go"], leave, FINISH], goal, tools=TOOLS)
    assert GIVEN == []
    assert "(upload would be given the secret ACME_TOKEN)" in observations(run)[0].content
    stage.play([["go"], leave, FINISH], goal, tools=TOOLS, rules=Rules(allow=("upload",)))
    assert GIVEN == []
    stage.play([["go"], leave, FINISH], goal, tools=TOOLS, approve=lambda request: True)
    assert GIVEN == [VALUE]


@pytest.mark.parametrize("length", [15, 40, 2_500])
def test_a_secret_at_the_place_where_a_text_is_cut_is_hidden(stage: Stage, length: int) -> None:
    @tool
    def flood(size: int) -> str:
        """Say a lot."""
        return "x" * size + VALUE + "y" * size

    limits = Limits(observation_chars=160)
    stage.play([["go"], call("flood", size=length), FINISH], "Go", tools=[flood], limits=limits)
    for size in range(8, len(VALUE) + 1):
        assert VALUE[:size] not in recorded(stage.home) + stage.heard
        assert VALUE[-size:] not in recorded(stage.home) + stage.heard


def test_failures_and_faults_do_not_tell(stage: Stage) -> None:
    run = stage.play(
        [["go"], call("stumble", text="a"), call("crash", text="b")], "Go", tools=TOOLS, builtins=False
    )
    assert observations(run)[0].content == "Error: no access with [secret: ACME_TOKEN]"
    assert run.ending == "error"
    assert "RuntimeError: no access with [secret: ACME_TOKEN]" in run.trajectory.error
    assert not spelled(recorded(stage.home))


def test_memory_and_the_users_own_words_do_not_tell(stage: Stage) -> None:
    memory = VolatileMemory()
    memory.add(f"the token for the report is {VALUE}")
    words = iter([f"use {VALUE}", *[""] * 9])
    stage.play(
        [["go"], ["go on"], FINISH],
        "What is the token for the report?",
        memory=memory,
        steer=lambda: next(words),
    )
    assert "The user says: use [secret: ACME_TOKEN]" in stage.heard
    assert "the token for the report is [secret: ACME_TOKEN]" in stage.heard
    assert not spelled(recorded(stage.home))


def test_plans_and_memories_keep_the_name_of_a_secret(stage: Stage) -> None:
    name = "use [secret: ACME_TOKEN]"
    memory = VolatileMemory()
    script = [["go"], call("save_memory", text=name), call("plan", sub_goals=[name]), FINISH]
    run = stage.play(script, "Go", tools=TOOLS, memory=memory, builtins=["save_memory", "plan"])
    assert run.trajectory.plan == (name,)
    assert name in [entry.text for entry in memory.entries()]
    assert not spelled(recorded(stage.home))


def test_what_a_check_prints_does_not_tell(stage: Stage) -> None:
    def check(workspace: Any, answer: str) -> Verdict:
        raise ValueError(f"no access with {VALUE}")

    run = stage.agent([["go"], FINISH], tools=TOOLS).run("Go", check=check)
    assert run.verdict.reason == "the check itself failed: ValueError: no access with [secret: ACME_TOKEN]"
    assert not spelled(recorded(stage.home))


def test_a_key_file_in_the_workspace_is_read_without_its_values(stage: Stage) -> None:
    (stage.work / ".env").write_text("DB_PASSWORD=tr0ub4dor-31\nPORT=8080\n", encoding="utf-8")
    run = stage.play([["go"], call("read_file", path=".env"), FINISH], "Read .env", tools=[])
    assert observations(run)[0].content.splitlines() == ["DB_PASSWORD=[secret: DB_PASSWORD]", "PORT=8080"]


def test_it_can_be_turned_off(stage: Stage) -> None:
    run = stage.play(
        [["go"], call("show_env", name="x"), FINISH], "Go", tools=TOOLS, safety=Safety(secrets=False)
    )
    assert spelled(observations(run)[0].content)


@pytest.mark.parametrize("form", list(Format))
def test_an_export_hides_what_an_older_version_recorded(stage: Stage, form: Format) -> None:
    run = stage.play(
        [["go"], call("show_env", name="x"), FINISH], "Go", tools=TOOLS, safety=Safety(secrets=False)
    )
    assert spelled(recorded(stage.home))
    secrets = Secrets()
    secrets.add("ACME_TOKEN", VALUE)
    runs = [run.trajectory.run_id]
    text = "".join(_text(Store(stage.home), runs, form, secrets=secrets, files=True))
    assert not spelled(text)
    assert "safe-77" not in text
    assert "[secret: ACME_TOKEN]" in text


def test_a_refusal_is_one_line_for_the_user_and_on_record(stage: Stage) -> None:
    run = stage.play([["go"], call("upload", text="a"), FINISH], "Go", tools=TOOLS)
    (asked,) = [each for each in stage.seen if isinstance(each, events.ApprovalWanted)]
    assert (asked.granted, asked.effects) == (False, ("network",))
    permission = observations(run)[0].permission
    assert permission is not None
    assert (permission.granted, permission.by) == (False, "policy")
