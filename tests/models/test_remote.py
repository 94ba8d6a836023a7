"""Remote models, against a real OpenAI-compatible server: `transformers serve` with the embedded model."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from autoagent import Agent
from autoagent.config import Sampling
from autoagent.errors import ContextFull, ModelError
from autoagent.models.load import load_model
from autoagent.models.protocol import Calls, Json, Model, Session, Text, complete
from autoagent.models.versions import WEIGHTS
from autoagent.plan import SCHEMA
from autoagent.prompts import about
from autoagent.tools import calculator
from autoagent.trajectory import Message, ToolCall
from autoagent.workspace import Workspace

pytestmark = pytest.mark.slow
SPEC = f"openai:{WEIGHTS}"
GREEDY = Sampling()
CALCULATE = {
    "type": "function",
    "function": {
        "name": "calculate",
        "description": "Calculate an arithmetic expression",
        "parameters": {
            "type": "object",
            "properties": {"expression": {"type": "string"}},
            "required": ["expression"],
            "additionalProperties": False,
        },
    },
}
TALK = [
    Message(role="system", content="You are autoagent."),
    Message(role="user", content="Goal: What is 17 * 23?"),
    Message(role="assistant", content='{"plan": ["Calculate an expression"]}'),
    Message(role="user", content="Begin."),
]


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server, as a user would start it; up within seconds, offline."""
    folder = tmp_path_factory.mktemp("server")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [Path(sys.executable).with_name("transformers"), "serve", WEIGHTS, "--device", "cpu"]
    environment = {
        **os.environ,
        "HOME": str(folder),
        "HF_HOME": str(folder / "hub"),
        "HF_HUB_CACHE": str(folder / "hub"),
        "OMP_NUM_THREADS": "1",
    }
    (folder / "hub").mkdir()
    log = folder / "log.txt"
    with open(log, "w", encoding="utf-8") as output:
        server = subprocess.Popen(
            [str(part) for part in command] + ["--host", "127.0.0.1", "--port", str(port)],
            env=environment, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", server, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(30)


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"the server did not start:\n{log.read_text(encoding='utf-8')}")


@pytest.fixture(scope="module")
def model(base_url: str) -> Model:
    return load_model(SPEC, base_url=base_url)


@pytest.fixture
def session(model: Model) -> Session:
    return model.open(TALK, [CALCULATE])


def test_a_call_is_streamed_parsed_and_counted(session: Session) -> None:
    pieces = []
    stream = session.generate(Calls((CALCULATE,)), sampling=GREEDY, max_tokens=120)
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as stop:
            reply = stop.value
            break
    (call,) = reply.calls
    assert call.name == "calculate"
    assert "17 * 23" in call.arguments["expression"]
    assert len([piece for piece in pieces if piece]) > 3
    said = f'{{"name": "calculate", "arguments": {json.dumps(call.arguments)}}}'
    assert f"<tool_call>\n{said}\n</tool_call>" in "".join(pieces)
    assert (reply.counts.sampled, reply.counts.prefilled) > (10, 50)  # told by the server
    assert session.used == reply.counts.prefilled + reply.counts.sampled
    assert reply.trace is None  # ids stay on the server


def test_a_plan_comes_as_a_value(model: Model) -> None:
    session = model.open(TALK[:2], [CALCULATE])
    reply = complete(session.generate(Json(SCHEMA), sampling=GREEDY, max_tokens=120))
    assert reply.value["plan"]
    assert all(isinstance(sub_goal, str) for sub_goal in reply.value["plan"])


def test_the_result_of_a_call_is_read(session: Session) -> None:
    complete(session.generate(Calls((CALCULATE,)), sampling=GREEDY, max_tokens=120))
    before = session.used
    session.append(Message(role="tool", name="calculate", content="391"))
    reply = complete(session.generate(Text(), sampling=GREEDY, max_tokens=40))
    assert reply.counts.prefilled > before  # the server was sent the result, and read it


def test_rewinding_and_forking_lead_to_the_same_answer(session: Session) -> None:
    mark, used = session.mark(), session.used
    first = complete(session.generate(Calls((CALCULATE,)), sampling=GREEDY, max_tokens=120))
    session.rewind(mark)
    assert session.used == used
    twin = session.fork()
    twin.append(Message(role="user", content="Say something else."))
    again = complete(session.generate(Calls((CALCULATE,)), sampling=GREEDY, max_tokens=120))
    assert (again.calls, again.counts) == (first.calls, first.counts)


def test_an_answer_that_was_given_up_leaves_no_trace(session: Session) -> None:
    mark = session.mark()
    stream = session.generate(Calls((CALCULATE,)), sampling=GREEDY, max_tokens=120)
    next(stream)
    stream.close()
    assert session.mark() == mark


def test_an_answer_that_was_cut_says_so(session: Session) -> None:
    reply = complete(session.generate(Calls((CALCULATE,)), sampling=GREEDY, max_tokens=3))
    assert (reply.complete, reply.calls, reply.counts.sampled) == (False, (), 3)


def test_settings_that_the_server_refuses_are_left_out_from_then_on(base_url: str) -> None:
    model = load_model(SPEC, base_url=base_url)
    session = model.open(TALK, [CALCULATE])
    wanted = Sampling(temperature=0.1, top_k=20, min_p=0.05, seed=1)
    assert complete(session.generate(Text(), sampling=wanted, max_tokens=20)).counts.sampled > 0
    assert model.refused == ("min_p", "top_k")  # type: ignore[attr-defined]


def test_threads_share_a_model(model: Model) -> None:
    def call(_: int) -> tuple[ToolCall, ...]:
        session = model.open(TALK, [CALCULATE])
        return complete(session.generate(Calls((CALCULATE,)), sampling=GREEDY, max_tokens=120)).calls

    with ThreadPoolExecutor(3) as threads:
        answers = set(map(str, threads.map(call, range(3))))
    assert len(answers) == 1


def test_a_model_that_the_server_does_not_have_is_one_line(base_url: str) -> None:
    session = load_model("openai:other", base_url=base_url).open(TALK, [])
    with pytest.raises(ModelError, match="pinned to") as problem:
        complete(session.generate(Text(), sampling=GREEDY, max_tokens=20))
    assert "\n" not in str(problem.value)


def test_the_window_is_the_users_where_the_server_names_none(base_url: str) -> None:
    model = load_model(SPEC, base_url=base_url, window=64)
    assert (model.window, load_model(SPEC, base_url=base_url).window) == (64, 8192)
    with pytest.raises(ContextFull, match="of 64 tokens"):
        complete(model.open(TALK, [CALCULATE]).generate(Text(), sampling=GREEDY, max_tokens=20))


def test_versions_tell_servers_models_and_kind_apart(model: Model) -> None:
    assert model.version.startswith(f"{SPEC}@")
    assert model.count("one two three") == 4  # an estimate: 3.5 bytes a token


def test_a_whole_run(model: Model, tmp_path: Path) -> None:
    """The embedded model, with its own prompts, plans, calculates and finishes; here without any grammar."""
    home = tmp_path / "home"
    (home / "prompts").mkdir(parents=True)
    for name, text in about(WEIGHTS)["prompts"].items():
        (home / "prompts" / f"{name}.j2").write_text(text, encoding="utf-8")

    def is_391(workspace: Workspace, answer: str) -> bool:
        return answer == "391"

    with Agent(
        tools=calculator.TOOLS, model=model, workspace=tmp_path / "work", home=home, memory=False,
        builtins=False,
    ) as agent:  # fmt: skip
        result = agent.run("What is 17 * 23?", check=is_391)
    assert (result.answer, result.ending, result.verdict.status) == ("391", "finished", "verified")
    assert result.trajectory.model == model.version
    assert result.trajectory.counts.sampled > 30
