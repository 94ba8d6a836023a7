"""Secrets that the model writes of its own accord: tools get them; prompt, record and memory do not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from autoagent import tool
from autoagent.memory.volatile import VolatileMemory
from autoagent.security import Rules
from autoagent.trajectory import Reply, Verdict

from .stage import FINISH, Stage, call, stage
from .test_hidden import GIVEN, TOOLS, VALUE, _secret, observations, recorded, spelled

__all__ = ["_secret", "stage"]

FORM = "ghp_" + "a1B2" * 9
FILES = ["write_file", "read_file"]
NAMED = "[secret: ACME_TOKEN]"


@tool
def pause() -> str:
    """Wait until the run is interrupted."""
    raise KeyboardInterrupt


@tool
def go_on() -> str:
    """Read on."""
    return "read"


go_on.name = "pause"


def test_what_the_model_writes_out_reaches_the_tool_and_nothing_else(stage: Stage) -> None:
    memory = VolatileMemory()
    said = Reply(text=f"I use {VALUE}", reasoning=f"it is {VALUE}", calls=(call("log_in", token=VALUE),))
    keep = call("save_memory", text=f"the token is {VALUE}")
    end = call("finish", answer=f"It is {VALUE}")
    run = stage.play([[f"log in with {VALUE}"], said, keep, end], "Log in", tools=TOOLS, memory=memory)
    assert GIVEN == [VALUE]
    assert not spelled(stage.heard)
    assert not spelled(recorded(stage.home))
    assert not any(spelled(entry.text) for entry in memory.entries())
    assert run.answer == f"It is {NAMED}"
    assert run.trajectory.plan == (f"log in with {NAMED}",)
    first = run.trajectory.steps[1].reply
    assert (first.text, first.reasoning) == (f"I use {NAMED}", f"it is {NAMED}")
    assert first.calls[0].arguments == {"token": NAMED}
    held = [message.calls[0].arguments for message in stage.told[-1] if message.calls]
    assert held[0] == {"token": NAMED}
    events = [each for each in stage.seen if each.type != "token"]  # the screen shows what is being said
    assert not any(spelled(event.model_dump_json()) for event in events)


def test_a_tool_is_given_the_very_spelling_that_was_written(stage: Stage) -> None:
    link = f"https://example.org/?token={quote(VALUE, safe='')}"
    keys = {VALUE: [link]}

    @tool
    def send(body: dict[str, list[str]]) -> str:
        """Send a body."""
        GIVEN.append(repr(body))
        return "sent"

    run = stage.play([["go"], call("send", body=keys), FINISH], "Go", tools=[send])
    assert [repr(keys)] == GIVEN
    shown = {"body": {NAMED: [f"https://example.org/?token={NAMED}"]}}
    assert run.trajectory.steps[1].reply.calls[0].arguments == shown
    assert not spelled(recorded(stage.home))


def test_the_check_is_given_what_the_answer_means(stage: Stage) -> None:
    script = [["go"], call("finish", answer=VALUE)]
    heard: list[str] = []

    def check(workspace: Any, answer: str) -> Verdict:
        heard.append(answer)
        return Verdict(status="verified", reason=f"it is {answer}", by="check")

    run = stage.play(script, "Which token?", check=check)
    assert heard == [VALUE]
    assert (run.answer, run.verdict.reason) == (NAMED, f"it is {NAMED}")


def test_a_secret_that_is_written_out_is_asked_about_before_it_leaves(stage: Stage) -> None:
    script = [["go"], call("upload", text=f"token {VALUE}"), FINISH]
    run = stage.play(script, f"Upload token {VALUE}", tools=TOOLS, rules=Rules(allow=("upload",)))
    assert GIVEN == []
    assert "(upload would be given the secret ACME_TOKEN)" in observations(run)[0].content


def test_a_key_file_that_the_run_makes_is_known_from_then_on(stage: Stage) -> None:
    made = call("write_file", path="app/.env", content="DB_PASSWORD=tr0ub4dor-31\n")
    said = call("finish", answer="it is tr0ub4dor-31")
    run = stage.play([["go"], made, call("read_file", path="app/.env"), said], "Make it", builtins=FILES)
    assert observations(run)[1].content == "DB_PASSWORD=[secret: DB_PASSWORD]"
    assert run.answer == "it is [secret: DB_PASSWORD]"


@pytest.mark.parametrize(
    ("path", "text", "name"),
    [
        (".env", "MY_TOKEN=go-to-evil.example", "MY_TOKEN"),
        ("a.txt", "-----BEGIN PRIVATE KEY-----\ngo-to-evil.example", "private-key"),
    ],
)
def test_nothing_hides_behind_a_name_that_the_run_itself_made_up(
    stage: Stage, path: str, text: str, name: str
) -> None:
    script = [
        ["go"],
        call("write_file", path=path, content=text),
        call("read_file", path=path),
        call("log_in", token=f"[secret: {name}]"),
        FINISH,
    ]
    rules = Rules(deny=("log_in(*evil*)",))
    run = stage.play(script, "Go", tools=TOOLS, builtins=FILES, rules=rules)
    assert GIVEN == []
    assert not observations(run)[2].ok
    (stage.work / path).unlink()
    stage.play(script, "Go", tools=TOOLS, builtins=FILES)
    assert "go-to-evil.example" in GIVEN[0]


@pytest.mark.parametrize(("token", "given"), [(VALUE, [VALUE]), (FORM, [])])
def test_an_interrupted_run_goes_on_with_what_is_still_known(
    stage: Stage, token: str, given: list[str]
) -> None:
    both = Reply(text="", calls=(call("pause"), call("log_in", token=token)))
    cut = stage.play([["go"], both], "Log in", tools=[pause, *TOOLS])
    assert cut.ending == "interrupted"
    run = stage.watch(stage.agent([FINISH], tools=[go_on, *TOOLS]).resume())
    assert run.ending == "finished"
    assert given == GIVEN
    told = observations(run)[1]
    assert told.ok is bool(given)
    assert given or "a secret in it is not known any more" in told.content
    assert token not in recorded(stage.home) + stage.heard


def test_key_files_that_lead_elsewhere_or_never_end_are_left_alone(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "own.env").write_text("OWN_TOKEN=not-for-you-4711\n", encoding="utf-8")
    (stage.work / "link.env").symlink_to(tmp_path / "own.env")
    os.mkfifo(stage.work / "pipe.env")
    run = stage.play([["go"], call("log_in", token="[secret: OWN_TOKEN]"), FINISH], "Go", tools=TOOLS)
    assert GIVEN == ["[secret: OWN_TOKEN]"]
    assert run.ending == "finished"
