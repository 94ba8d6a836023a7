"""Remote models: what the different servers answer, refuse and tell, spoken by a small real server."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autoagent import Agent
from autoagent.config import Conduct, Limits, Sampling
from autoagent.conversation import Conversation
from autoagent.errors import ContextFull, ModelError
from autoagent.models.protocol import Calls, Json, Text
from autoagent.models.remote import RemoteModel
from autoagent.plan import SCHEMA
from autoagent.prompts import Prompts
from autoagent.trajectory import Message, NoRecord

from .talk import (
    ADD,
    ADDED,
    ONE_PLUS_TWO,
    OPENING,
    Act,
    Server,
    ask,
    called,
    delta,
    refused,
    said,
    stream,
    talking,
)


@pytest.fixture
def server() -> Iterator[Server]:
    with talking() as running:
        yield running


# --- how the different servers tell a call ---------------------------------------------------------------


def _part(**fields: Any) -> dict[str, Any]:
    return delta(tool_calls=[fields])


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param(
            [
                _part(index=0, id="a", function={"name": "add", "arguments": ""}),
                _part(index=0, function={"arguments": '{"a": 1,'}),
                _part(index=0, function={"arguments": ' "b": 2}'}),
            ],
            id="in pieces",
        ),
        pytest.param(
            [
                _part(index=0, id="a", function={"name": "add", "arguments": '{"a": 1, "b": 2}'}),
                _part(index=0, id="b", function={"name": "add", "arguments": '{"a": 9, "b": 9}'}),
            ],
            id="every call numbered 0",
        ),
        pytest.param([_part(function={"name": "add", "arguments": {"a": 1, "b": 2}})], id="as an object"),
        pytest.param(
            [delta(content='<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>')],
            id="as text",
        ),
    ],
)
def test_calls_are_put_together(server: Server, chunks: list[Any]) -> None:
    session = server.session(stream(*chunks, delta("tool_calls")))
    assert ask(session).calls == (ONE_PLUS_TWO,)


def test_at_most_so_many_calls_are_taken(server: Server) -> None:
    two = [
        {"index": n, "id": str(n), "function": {"name": "add", "arguments": f'{{"a": {n}, "b": 0}}'}}
        for n in (0, 1)
    ]
    session = server.session(*[stream(delta(tool_calls=two), delta("tool_calls"))] * 2)
    assert [call.arguments["a"] for call in ask(session, Calls((ADD,), at_most=2)).calls] == [0, 1]
    assert [call.arguments["a"] for call in ask(session).calls] == [0]


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_reasoning_is_kept_apart(server: Server, field: str) -> None:
    session = server.session(
        stream(delta(**{field: "hm, "}), delta(**{field: "so"}), delta("stop", content="3"))
    )
    reply = ask(session, Text())
    assert (reply.reasoning, reply.text) == ("hm, so", "3")
    server.script.append(said("<think>hm</think>\n4"))
    reply = ask(session, Text())
    assert (reply.reasoning, reply.text) == ("hm", "4")
    assert "hm" not in json.dumps(server.asked[1]["messages"])


def test_tokens_are_counted_as_told(server: Server) -> None:
    told = {"prompt_tokens": 90, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 64}}
    session = server.session(said("yes", **told))
    counts = ask(session, Text()).counts
    assert (counts.cached, counts.prefilled, counts.sampled, session.used) == (64, 26, 7, 97)


def test_half_a_character_does_not_get_through(server: Server) -> None:
    session = server.session(stream(delta(content="\ud83d"), delta("stop", content="\ude00 \ud83d")))
    assert ask(session, Text()).text == "😀 \ufffd"


def test_every_call_in_the_conversation_has_its_answer(server: Server) -> None:
    session = server.session(ADDED, ADDED, said("done"))
    ask(session)
    session.append(Message(role="tool", name="add", content="3"))
    ask(session)
    session.append(Message(role="user", content="Stop."))
    ask(session, Text())
    sent = server.asked[2]["messages"]
    assert [each["role"] for each in sent] == ["user", "assistant", "tool", "assistant", "tool", "user"]
    ids = [each["tool_calls"][0]["id"] for each in sent if "tool_calls" in each]
    assert ids == [each["tool_call_id"] for each in sent if each["role"] == "tool"]
    assert len(set(ids)) == 2
    assert all(len(each) == 9 for each in ids)
    assert "not carried out" in sent[4]["content"]


# --- invalid calls and values ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (called("add", '{"a": 1}'), "'b' is a required property"),
        (called("add", '{"a": 1, "b": "two"}'), "add: b: 'two' is not of type 'integer'"),
        (called("add", '{"a": 1, "b": 2'), "no valid JSON"),
        (called("add", "[1, 2]"), "must be a JSON object"),
        (called("plus", '{"a": 1, "b": 2}'), "there is no tool 'plus'; there are add"),
        (said('<tool_call>\n{"name": "add", "arguments": {"a": 1,\n</tool_call>'), "no valid JSON"),
        (stream(delta(content="<tool"), {"error": "cannot parse"}, done=False), "could not be read"),
        (stream(delta(content="<tool"), '{"error": "a\nb"}', done=False), "could not be read"),
    ],
)
def test_an_invalid_call_is_sent_back_and_forgotten_once_it_is_right(
    server: Server, wrong: Act, complaint: str
) -> None:
    session = server.session(wrong, ADDED, said("ok"))
    mark = session.mark()
    reply = ask(session)
    assert reply.calls == (ONE_PLUS_TWO,)
    assert complaint in server.asked[1]["messages"][-1]["content"]
    assert session.mark() == mark + 1
    assert reply.counts.prefilled > session.used  # both attempts were paid for
    ask(session, Text())
    assert complaint not in json.dumps(server.asked[2]["messages"])


def test_after_two_repairs_the_reply_has_no_calls_and_shows_what_was_said(server: Server) -> None:
    session = server.session(*[called("add", '{"a": "one"}')] * 3)
    reply = ask(session)
    assert (reply.calls, reply.complete, len(server.asked)) == ((), True, 3)
    assert '{"name": "add", "arguments": {"a": "one"}}' in reply.text


def test_a_model_that_never_calls_ends_the_run_with_format_errors(server: Server, tmp_path: Path) -> None:
    server.script += [said('{"plan": ["add"]}'), *[called("nonsense", "{}")] * 9]
    with Agent(
        model=server.model(), workspace=tmp_path / "work", home=tmp_path / "home", memory=False
    ) as agent:
        assert agent.run("Add 1 and 2.").ending == "format_errors"
    assert len(server.asked) == 10


@pytest.mark.parametrize("text", ['{"plan": ["add"]}', 'Here:\n```json\n{"plan": ["add"]}\n```\nGood luck.'])
def test_json_is_found_in_what_is_said(server: Server, text: str) -> None:
    assert ask(server.session(said(text)), Json(SCHEMA)).value == {"plan": ["add"]}


def test_a_value_that_does_not_fit_is_sent_back_and_in_the_end_given_up(server: Server) -> None:
    session = server.session(said("no"), said('{"plan": []}'), said('{"plan": [1]}'))
    reply = ask(session, Json(SCHEMA))
    assert (reply.value, reply.text) == (None, '{"plan": [1]}')
    assert "should be non-empty" in server.asked[2]["messages"][-1]["content"]


# --- servers that do not take everything -----------------------------------------------------------------


def test_what_a_server_refuses_is_asked_for_in_another_way_and_remembered(server: Server) -> None:
    session = server.session(
        refused('"auto" and "named" only: tool_choice must not be required'),
        refused("Extra inputs are not permitted", param="stream_options"),
        refused("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
        ADDED,
        ADDED,
    )
    assert ask(session).calls == (ONE_PLUS_TWO,)
    assert ask(session).calls == (ONE_PLUS_TWO,)
    assert len(server.asked) == 5
    for request in server.asked[3:]:
        assert request["tool_choice"] == "auto"
        assert request["max_completion_tokens"] == 100
        assert not {"stream_options", "max_tokens"} & request.keys()


def test_json_falls_back_from_schema_to_object_to_text(server: Server) -> None:
    no = refused("this response_format is unavailable")
    plan = said('{"plan": ["add"]}')
    session = server.session(no, plan, no, plan, plan)
    for _ in range(3):
        assert ask(session, Json(SCHEMA)).value == {"plan": ["add"]}
    kinds = [request.get("response_format", {}).get("type") for request in server.asked]
    assert kinds == ["json_schema", "json_object", "json_object", None, None]


def test_a_refusal_that_names_nothing_ends_in_its_first_words(server: Server) -> None:
    session = server.session(refused("bad roles"), *[refused("still bad")] * 9)
    with pytest.raises(ModelError, match=r"refuses the request \(400\): bad roles$"):
        ask(session)
    assert session.mark() == 1
    server.script[:] = [ADDED]
    assert ask(session).calls == (ONE_PLUS_TWO,)
    assert server.asked[-1]["tool_choice"] == "required"  # none of it was to blame


@pytest.mark.parametrize(
    "words",
    [
        "This model's maximum context length is 64 tokens. However, you requested 90 tokens",
        "the request exceeds the available context size, try increasing it",
        "prompt is too long: 90 tokens > 64 maximum",
    ],
)
def test_a_conversation_that_does_not_fit_is_told_as_such(server: Server, words: str) -> None:
    with pytest.raises(ContextFull, match="fills the model's window"):
        ask(server.session(refused(words)))


# --- what servers tell about themselves ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "window"),
    [
        ({"/v1/models": {"data": [{"id": "m", "max_model_len": 1234}]}}, 1234),  # vLLM, SGLang
        ({"/props": {"default_generation_settings": {"n_ctx": 2345}}}, 2345),  # llama.cpp
        ({"/api/show": {"parameters": "stop x\nnum_ctx    3456"}}, 3456),  # Ollama, set
        ({"/api/show": {"model_info": {"llama.context_length": 131072}}}, 4096),  # Ollama, its default
        ({"/api/show": {"model_info": ["?"]}, "/props": "<html>"}, 8192),
    ],
)
def test_the_window_is_asked_from_the_server(server: Server, facts: dict[str, Any], window: int) -> None:
    server.facts |= facts
    model = server.model()
    assert (model.window, model.window_from == "server") == (window, window != 8192)
    assert server.model(window=99).window == 99


@pytest.mark.parametrize("answer", [{"count": 5, "tokens": None}, {"tokens": [1, 2, 3, 4, 5]}])
def test_tokens_are_counted_by_the_server_where_it_can(server: Server, answer: dict[str, Any]) -> None:
    server.facts["/tokenize"] = answer
    assert server.model().count("whatever it is") == 5


def test_the_version_changes_with_what_the_server_tells(server: Server) -> None:
    first, again = server.model().version, server.model().version
    server.facts["/v1/models"]["data"][0]["root"] = "other/weights"
    assert first == again != server.model().version
    assert first.startswith("openai:m@")


def test_the_only_model_needs_no_name(server: Server) -> None:
    assert RemoteModel.load("", server.url).name == "m"
    assert RemoteModel.load("m", server.url.removesuffix("/v1")).window == 8192  # /v1 is added
    server.facts["/v1/models"]["data"].append({"id": "n"})
    with pytest.raises(ModelError, match="it has m, n"):
        RemoteModel.load("", server.url)


def test_what_was_appended_counts_once_for_the_window(server: Server) -> None:
    model = server.model()
    session = model.open(OPENING, [ADD])
    given = (NoRecord(), Prompts(), Limits(), Sampling(), Conduct())
    talk = Conversation(session, *given, OPENING, model.window, model.count)
    before, text = talk.used, "seven " * 700
    talk.append(Message(role="tool", name="add", content=text))
    assert talk.used - before == pytest.approx(model.count(text), rel=0.1)


# --- the page --------------------------------------------------------------------------------------------


def test_what_docs_remote_shows_works(server: Server, tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "remote.md").read_text(encoding="utf-8")
    page = page.replace("http://127.0.0.1:8000/v1", server.url)
    (program,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (command,) = re.findall(r"^```sh\nautoagent (.*)\n```", page, re.MULTILINE)
    server.facts["/v1/models"]["data"] = [{"id": "qwen3"}]
    for arguments in (["-c", program], ["-m", "autoagent", *shlex.split(command.replace("NAME", "qwen3"))]):
        server.script += [said('{"plan": ["Answer"]}'), called("finish", '{"answer": "391"}')]
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8",
            timeout=200, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "391" in done.stdout
