"""The web tools, against a real server on this machine."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from autoagent.errors import ToolError
from autoagent.security import hosts
from autoagent.tools import Context, builtin_tools, web
from autoagent.workspace import Workspace

Get = Callable[..., str]

PAGE = b"""<!DOCTYPE html><html><head><title>Prices</title><style>p {color: red}</style></head><body>
<nav>Home | About</nav><main><h1>Fruit</h1><p>We sell <b>good</b> <a href="/x">apples</a>.
<ul><li>red<li>green</ul><table><tr><th>kind<th>price<tr><td>apple<td>3</table></main>
<script>steal()</script><footer>All rights</footer></body></html>"""


class Site(BaseHTTPRequestHandler):
    """What the paths answer."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/drip":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            for _ in range(100):
                self.wfile.write(b"X-Slow: yes\r\n")
                time.sleep(0.1)
            return
        port = self.server.server_address[1]
        places = {
            "/there": "/page",
            "/loop": "/loop",
            "/away": f"http://127.0.0.1:{port}/page",
            "/file": "file:///etc/passwd",
            "/metadata": "http://169.254.169.254/latest",
            "/nowhere": "http://[",
        }
        bodies = {
            "/page": ("text/html; charset=utf-8", PAGE),
            "/text": ("text/plain; charset=latin-1", b"caf\xe9"),
            "/data": ("application/json", b'{"a": 1}'),
            "/odd": ("text/plain; charset=no-such", b"caf\xc3\xa9"),
            "/undefined": ("text/html; charset=undefined", b"caf\xc3\xa9"),
            "/picture": ("image/png", b"\x89PNG" + bytes(100)),
            "/large": ("text/plain", b"x" * 3_000_000),
            "/deep": ("text/html", b"<div>" * 20_000 + b"deep"),
            "/empty": ("text/html", b""),
            "/headers": ("text/plain", str(self.headers).encode()),
        }
        kind, body = bodies.get(path, ("text/plain", b"no such page"))
        self.send_response(302 if path in places else 200 if path in bodies else 404)
        if path in places:
            self.send_header("Location", places[path])
        self.send_header("Content-Type", kind)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Keep quiet."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"localhost:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def get(site: str, tmp_path: Path) -> Get:
    """``get("/page")``: what http_get answers; hosts as the run allows them."""
    tools = {each.name: each for each in builtin_tools()}

    def call(path: str, tool: str = "http_get", hosts: tuple[str, ...] = (site,)) -> str:
        url = path if ":" in path else f"http://{site}{path}"
        return tools[tool]({"url": url}, Context(Workspace.at(tmp_path), hosts=hosts))

    return call


def test_what_is_at_an_address_comes_as_it_is(get: Get) -> None:
    assert get("/data") == '{"a": 1}'
    assert get("/text") == "café"
    assert get("/odd") == get("/undefined") == "café"
    assert get("/page") == PAGE.decode()
    assert get("/empty") == "The answer is empty."


def test_a_page_is_read_as_text(get: Get) -> None:
    text = get("/page", "read_web_page")
    assert text.startswith("Prices\n\n# Fruit\n\nWe sell **good** apples.")
    assert "* red\n* green" in text
    assert "| apple | 3 |" in text
    assert not any(word in text for word in ("steal", "color", "About", "All rights", "\n\n\n"))
    assert get("/text", "read_web_page") == "café"
    assert get("/deep", "read_web_page") == "deep"
    assert get("/undefined", "read_web_page") == "café"
    assert get("/empty", "read_web_page") == "The page has no text."


def test_redirects_are_followed_on_the_list_only(get: Get, site: str) -> None:
    port = site.partition(":")[2]
    assert get("/there") == PAGE.decode()
    assert get("/away", hosts=(site, f"127.0.0.1:{port}")) == PAGE.decode()
    with pytest.raises(ToolError, match=r"127\.0\.0\.1 .* is not among those allowed"):
        get("/away")
    with pytest.raises(ToolError, match="has to begin with https"):
        get("/file")
    with pytest.raises(ToolError, match=r"169\.254\.169\.254 has the private address"):
        get("/metadata", hosts=(site, "*"))
    with pytest.raises(ToolError, match="is not an address: "):
        get("/nowhere")
    with pytest.raises(ToolError, match="leads on more than 5 times"):
        get("/loop")


def test_only_listed_hosts_are_reached(get: Get, site: str) -> None:
    with pytest.raises(ToolError, match="no host is allowed"):
        get("/page", hosts=())
    with pytest.raises(ToolError, match=r"is not among those allowed here: example\.org"):
        get("/page", hosts=("example.org",))
    with pytest.raises(ToolError, match="has the private address"):
        get("/page", hosts=("*:*",))  # any host, but that means public ones


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/none", r"/none answered with status 404"),
        ("/picture", r"this is image/png \(104 bytes\), not text"),
        ("http://localhost:1/", "cannot be reached: "),
        ("ftp://localhost/", "has to begin with https"),
    ],
)
def test_what_cannot_be_had_is_told_in_one_line(get: Get, site: str, path: str, said: str) -> None:
    with pytest.raises(ToolError, match=said) as error:
        get(path, hosts=(site, "localhost:1"))
    assert "\n" not in str(error.value)


def test_a_large_answer_is_cut(get: Get) -> None:
    text = get("/large")
    assert len(text) < 2_000_100
    assert text.endswith("… cut at 2000000 bytes")


def test_a_server_that_drips_is_given_up(get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "_SECONDS", 1.0)
    began = time.monotonic()
    with pytest.raises(ToolError, match="does not answer in time"):
        get("/drip")
    assert time.monotonic() - began < 5


@pytest.mark.skipif(sys.platform != "linux", reason="needs a second address of its own")
def test_an_address_that_keeps_silent_leaves_time_for_the_next(
    get: Get, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(site.partition(":")[2])
    monkeypatch.setattr(web, "_QUIET", 0.3)
    monkeypatch.setattr(hosts, "_looked_up", lambda host, port: ["127.0.0.2", "127.0.0.1"])
    with socket.create_server(("127.0.0.2", port), backlog=0) as silent, contextlib.ExitStack() as stack:
        for _ in range(3):  # it takes one, and lets the others wait for ever
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(silent.getsockname())
        assert get(f"http://two.test:{port}/text", hosts=("two.test:*", "127.0.0.0/8")) == "café"


def test_nothing_of_ours_is_told_to_the_host(get: Get, site: str) -> None:
    told = get("/headers")
    assert f"Host: {site}" in told
    assert {line.partition(":")[0] for line in told.split("\n") if line} == {
        "Host",
        "User-Agent",
        "Accept",
        "Accept-Encoding",
    }
