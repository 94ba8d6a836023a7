"""A small real server that says what a test tells it to: the ways of different servers, and their faults."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from autoagent.config import Sampling
from autoagent.models.protocol import Calls, Expect, Session, complete
from autoagent.models.remote import RemoteModel
from autoagent.trajectory import Message, Reply, ToolCall

ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
            "additionalProperties": False,
        },
    },
}
ONE_PLUS_TWO = ToolCall(name="add", arguments={"a": 1, "b": 2})
OPENING = [Message(role="user", content="Add 1 and 2.")]


class Talk(BaseHTTPRequestHandler):
    """``/v1/chat/completions`` takes from ``server.script``, every other path from ``server.facts``."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.partition("?")[0]
        if path == "/v1/chat/completions":
            self.server.asked.append(json.loads(body))
            self.server.script.pop(0)(self)
        elif path in self.server.facts:
            send(200, self.server.facts[path])(self)
        else:
            send(404, {"error": "not found"})(self)

    def log_message(self, *_: Any) -> None: ...


Act = Callable[[Talk], None]


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Talk)
        self.script: list[Act] = []
        self.asked: list[dict[str, Any]] = []
        self.facts: dict[str, Any] = {"/v1/models": {"object": "list", "data": [{"id": "m"}]}}
        self.url = f"http://127.0.0.1:{self.server_port}/v1"

    def model(self, **options: Any) -> RemoteModel:
        return RemoteModel.load("m", self.url, **options)

    def session(self, *script: Act) -> Session:
        self.script += script
        return self.model().open(OPENING, [ADD])


def send(status: int, body: Any, **headers: str) -> Act:
    """A whole answer: JSON, or text as HTML."""
    text = body if isinstance(body, str) else json.dumps(body)
    kind = "text/html" if isinstance(body, str) else "application/json"

    def act(talk: Talk) -> None:
        talk.send_response(status)
        for name, value in ({"Content-Type": kind} | headers).items():
            talk.send_header(name.replace("_", "-"), value)
        talk.send_header("Content-Length", str(len(text.encode())))
        talk.end_headers()
        talk.wfile.write(text.encode())

    return act


def stream(*chunks: Any, cut: bool = False, done: bool = True) -> Act:
    """A streamed answer; a str is sent as it is. ``cut``: the connection breaks before the end."""

    def act(talk: Talk) -> None:
        talk.send_response(200)
        talk.send_header("Content-Type", "text/event-stream")
        talk.send_header("Transfer-Encoding", "chunked")
        talk.end_headers()
        for chunk in [*chunks, *(["[DONE]"] if done else [])]:
            line = f"data: {chunk if isinstance(chunk, str) else json.dumps(chunk)}\n\n".encode()
            talk.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        if not cut:
            talk.wfile.write(b"0\r\n\r\n")
        talk.wfile.flush()
        talk.close_connection = True

    return act


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def said(text: str, **usage: Any) -> Act:
    more = [{"choices": [], "usage": usage}] if usage else []
    return stream(delta(role="assistant", content=""), delta(content=text), delta("stop"), *more)


def called(name: str, arguments: str) -> Act:
    call = {"index": 0, "id": "x", "type": "function", "function": {"name": name, "arguments": arguments}}
    return stream(delta(tool_calls=[call]), delta("tool_calls"))


ADDED = called("add", '{"a": 1, "b": 2}')


def refused(message: str, **more: str) -> Act:
    return send(400, {"error": {"message": message, "code": 400, **more}})


def ask(session: Session, expect: Expect | None = None, **sampling: Any) -> Reply:
    return complete(session.generate(expect or Calls((ADD,)), sampling=Sampling(**sampling), max_tokens=100))


@contextmanager
def talking() -> Iterator[Server]:
    """A running server."""
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()
