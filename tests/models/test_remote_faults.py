"""Remote models whose server is down, slow, or talks nonsense: a small real server does just that."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from autoagent import Agent
from autoagent.config import Sampling
from autoagent.errors import AutoagentError, ModelError, ServerError
from autoagent.models.load import load_model
from autoagent.models.protocol import Text
from autoagent.models.remote import RemoteModel
from autoagent.store import Store

from .talk import ADDED, ONE_PLUS_TWO, OPENING, Act, Server, ask, delta, said, send, stream, talking

KEY = "sk-very-secret-0123456789"


@pytest.fixture
def server() -> Iterator[Server]:
    with talking() as running:
        yield running


def _one_line(problem: pytest.ExceptionInfo[AutoagentError]) -> None:
    assert "\n" not in str(problem.value)
    assert len(str(problem.value)) < 500


@pytest.mark.parametrize(
    "address", ["", "127.0.0.1:8000", "ftp://h/v1", "http://", "http://h:99999999/v1", "x"]
)
def test_an_address_that_is_none_is_one_line(address: str) -> None:
    with pytest.raises(ModelError, match=r"--base-url|no server's address") as problem:
        load_model("openai:m", base_url=address)
    _one_line(problem)


def test_nothing_listens(server: Server) -> None:
    with pytest.raises(ModelError, match=r"cannot be reached: .*refused; start it, or correct") as problem:
        RemoteModel.load("m", "http://127.0.0.1:1/v1")
    _one_line(problem)


def test_something_else_answers(server: Server) -> None:
    server.facts["/v1/models"] = "<!DOCTYPE html><html>Welcome</html>"
    with pytest.raises(ModelError, match="no OpenAI-compatible server"):
        server.model()


@pytest.mark.parametrize(
    "nonsense",
    [
        pytest.param(send(200, "<!DOCTYPE html><p>Welcome</p>"), id="html"),
        pytest.param(send(200, {"choices": []}), id="not streamed"),
        pytest.param(stream('{"choices": [{"del'), id="broken JSON"),
        pytest.param(stream({"choices": []}), id="no choices"),
        pytest.param(stream(), id="nothing"),
        pytest.param(stream("[1, 2]"), id="a list"),
        pytest.param(stream({"choices": "x"}), id="choices are text"),
        pytest.param(stream({"choices": [{"delta": {"content": {"a": 1}}}]}), id="content is an object"),
        pytest.param(stream({"choices": [None]}), id="choice is null"),
        pytest.param(stream({"usage": {"prompt_tokens": -5}}), id="tokens below none"),
        pytest.param(stream({"error": {"message": "out of memory"}}), id="error in the stream"),
    ],
)
def test_nonsense_is_one_line(server: Server, nonsense: Act) -> None:
    session = server.session(*[nonsense] * 3)
    with pytest.raises(
        ServerError, match=f"the server at {server.url} (answer|does not answer|stopped)"
    ) as problem:
        ask(session)
    _one_line(problem)
    assert session.mark() == 1


def test_a_server_that_never_stops_is_stopped(server: Server) -> None:
    reply = ask(server.session(stream(*[delta(content="la " * 1000)] * 50)), Text())
    assert not reply.complete
    assert len(reply.text) < 10_000


def test_a_busy_server_is_asked_again_when_it_says(server: Server) -> None:
    session = server.session(send(429, {"error": "busy"}, Retry_After="1"), ADDED)
    began = time.monotonic()
    assert ask(session).calls == (ONE_PLUS_TWO,)
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize(
    ("status", "words"), [(429, "try again later; slow down"), (503, "failed .503.: slow down")]
)
def test_a_server_that_stays_busy_is_given_up(server: Server, status: int, words: str) -> None:
    session = server.session(*[send(status, {"detail": "slow down"}, retry_after_ms="5")] * 4)
    with pytest.raises(ServerError, match=words):
        ask(session)
    assert not server.script  # it was asked four times


def test_a_gateway_in_the_way_is_named(server: Server) -> None:
    session = server.session(*[send(502, "<html>Bad Gateway</html>", retry_after_ms="5")] * 4)
    with pytest.raises(ServerError, match=r"failed \(502\): a web page"):
        ask(session)


def test_an_answer_that_breaks_off_is_asked_for_again(server: Server) -> None:
    session = server.session(stream(delta(content="abc"), cut=True, done=False), ADDED)
    assert ask(session).calls == (ONE_PLUS_TWO,)
    server.script += [stream(cut=True, done=False), ADDED]
    assert ask(session).calls == (ONE_PLUS_TWO,)
    server.script += [stream(delta(content="abc"), done=False)] * 3  # it ends well, but says no end
    with pytest.raises(ServerError, match="broke off its answer"):
        ask(session)


def test_a_silent_server_can_be_left_at_any_time(server: Server) -> None:
    leave = threading.Event()
    session = server.session(lambda talk: leave.wait(20) and None)
    stream = session.generate(Text(), sampling=Sampling(), max_tokens=9)
    began = time.monotonic()
    assert next(stream) == ""  # a sign of life of ours, so that the run can look at its clock
    stream.close()
    assert time.monotonic() - began < 5
    leave.set()


def test_a_server_that_says_nothing_for_too_long_is_one_line(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autoagent.models.remote.server.RETRIES", 0)
    leave = threading.Event()
    server.script.append(lambda talk: leave.wait(20) and None)
    session = server.model(timeout=0.3).open(OPENING, [])
    with pytest.raises(ServerError, match=r"has said nothing for 0\.3 seconds"):
        ask(session, Text())
    leave.set()


def test_a_key_is_sent_and_shown_nowhere(server: Server) -> None:
    said_so = {"error": {"message": f"Incorrect API key provided: {KEY}"}}
    server.script.append(lambda talk: send(401, said_so)(talk))
    model = server.model(api_key=KEY)
    with pytest.raises(ModelError, match="refuses the API key") as problem:
        ask(model.open(OPENING, []), Text())
    shown = "".join(traceback.format_exception(problem.value)) + repr(model) + model.version
    assert KEY not in shown
    with pytest.raises(ModelError, match="characters that no key has") as problem:
        server.model(api_key=f"{KEY}\x00é")
    assert KEY not in str(problem.value)


def test_a_server_lost_during_a_run_leaves_the_record_whole(server: Server, tmp_path: Path) -> None:
    server.script += [said('{"plan": ["add"]}'), *[send(500, {"error": "gone"}, retry_after_ms="5")] * 4]
    home = tmp_path / "home"
    with (
        Agent(model=server.model(), workspace=tmp_path / "work", home=home, memory=False) as agent,
        pytest.raises(ServerError, match=r"failed \(500\): gone"),
    ):
        agent.run("Add 1 and 2.")
    run = Store(home).load("last")
    assert (run.ending, run.plan, len(run.steps)) == ("error", ("add",), 1)
    assert "failed (500): gone" in run.error
