"""Programs that may reach hosts: what gets through the proxy, and that nothing gets past it.

The servers are real ones on this machine, which a list of hosts has to name itself. Where bubblewrap does not
work, the tests are skipped; ``test_sandbox.py`` shows that nothing is run there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from autoagent.errors import ConfigError, ToolError
from autoagent.security import Sandbox, SandboxLimits
from autoagent.tools import Context, Toolbox, builtin_tools
from autoagent.workspace import Workspace

pytestmark = pytest.mark.skipif(
    bool(Sandbox(only="bubblewrap").blocked), reason="bubblewrap does not work here"
)

Run = Callable[..., str]
FETCH = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())"
RAW = """
import os, socket, sys
def ask(text):
    way = socket.create_connection(("127.0.0.1", 3128), 5)
    way.sendall(text.encode())
    data = b""
    while more := way.recv(9999):
        data += more
    return data.decode("latin-1")
"""


class Site(BaseHTTPRequestHandler):
    """Says what it was asked; ``/away?URL`` leads elsewhere, ``/slow`` never ends."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path == "/slow":
            self.server.slow.set()  # type: ignore[attr-defined]
            self.rfile.read(1)
            return
        body = f"{self.command} {self.path} {dict(self.headers)}".encode()
        self.send_response(302 if path == "/away" else 200)
        if path == "/away":
            self.send_header("Location", query)
        if path == "/pieces":
            self.send_header("Transfer-Encoding", "chunked")
            body = b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body[::-1])

    def log_message(self, *arguments: object) -> None:
        """Keep quiet."""


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.daemon_threads = True
    server.slow = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def site(server: ThreadingHTTPServer) -> str:
    return f"127.0.0.1:{server.server_address[1]}"


@pytest.fixture
def run(site: str, tmp_path: Path) -> Run:
    """``run("curl …")`` as the model gets it: what it is told, whether that went well or not."""
    tools = Toolbox(builtin_tools())

    def call(text: str, *, hosts: tuple[str, ...] = (site,), tool: str = "run_shell", **limits: float) -> str:
        sandbox = Sandbox(hosts=hosts, limits=SandboxLimits(**limits))  # type: ignore[arg-type]
        around = Context(Workspace.at(tmp_path / "work"), sandbox=sandbox)
        try:
            return tools[tool]({"command" if tool == "run_shell" else "code": text}, around)
        except ToolError as problem:
            return str(problem)

    return call


def fetch(url: str) -> str:
    return f"{sys.executable} -c '{FETCH}' {url} 2>&1 | tail -1"


def test_a_named_host_is_reached_by_python_and_curl(run: Run, site: str) -> None:
    assert run(fetch(f"http://{site}/a%20b?c=1")).startswith(f"GET /a%20b?c=1 {{'Host': '{site}',")
    assert run(fetch(f"http://{site}/pieces")) == "onetwo"
    if shutil.which("curl"):
        assert run(f"curl -sS http://{site}/x").startswith("GET /x {")
        assert run(f"curl -sS -d hello http://{site}/; curl -sS http://{site}/pieces") == "ollehonetwo"
        assert "200 OK" in run(f"curl -sSI http://{site}/")


def test_another_host_or_port_is_refused_and_the_model_is_told_which(run: Run, site: str) -> None:
    told = run(f"{fetch('http://evil.example/')}; {fetch('https://evil.example:99/')}")
    for port in (80, 99):
        why = f"the host evil.example (port {port}) is not among those allowed here: {site}"
        assert told.count(f"\nConnection refused by the sandbox: {why}.") == 1
    assert "403" in told
    assert "(port 1) is not among" in run(fetch("http://127.0.0.1:1/"))


def test_a_refusal_is_told_with_a_failure_too(run: Run, site: str) -> None:
    told = run("import urllib.request as u; u.urlopen('http://evil.example/')", tool="run_python")
    assert "HTTP Error 403: the host evil.example" in told
    last = told.splitlines()[-2:]
    assert last[0].startswith("Connection refused by the sandbox: the host evil.example (port 80)")
    assert last[1] == "Ended with exit code 1."


def test_a_redirect_to_another_host_is_refused(run: Run, site: str) -> None:
    told = run(fetch(f"http://{site}/away?http://evil.example/x"))
    assert "Connection refused by the sandbox: the host evil.example (port 80)" in told
    assert run(fetch(f"http://{site}/away?/there")).startswith("GET /there {")


def test_bytes_pass_through_connect_in_both_directions(run: Run, site: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as echo:

        def answer() -> None:
            with echo.accept()[0] as client:
                while data := client.recv(9999):
                    client.sendall(data.upper())
                client.sendall(b"!")

        thread = threading.Thread(target=answer)
        thread.start()
        port = echo.getsockname()[1]
        code = RAW + (
            "way = socket.create_connection(('127.0.0.1', 3128), 5)\n"
            f"way.sendall(b'CONNECT 127.0.0.1:{port} HTTP/1.1\\r\\n\\r\\n' + b'early ')\n"
            "heard = way.makefile('rb'); print(heard.readline(), heard.readline())\n"
            "way.sendall(b'late' * 100_000); way.shutdown(socket.SHUT_WR)\n"
            "data = heard.read(); print(data[:10], len(data), data[-1:])\n"
        )
        told = run(code, tool="run_python", hosts=(f"127.0.0.1:{port}",))
        thread.join()
    assert told.splitlines() == [
        r"b'HTTP/1.1 200 Connection established\r\n' b'\r\n'", "b'EARLY LATE' 400007 b'!'",
    ]  # fmt: skip


def test_around_the_proxy_there_is_no_network(run: Run, site: str) -> None:
    port = site.partition(":")[2]
    code = (
        "import socket\n"
        "def tried(work):\n"
        "    try: print('REACHED', work())\n"
        "    except OSError as problem: print(type(problem).__name__)\n"
        f"tried(lambda: socket.create_connection(('127.0.0.1', {port}), 3))\n"
        "tried(lambda: socket.create_connection(('1.1.1.1', 443), 3))\n"
        "tried(lambda: socket.socket(2, 2).sendto(b'x', ('1.1.1.1', 53)))\n"
        "tried(lambda: socket.getaddrinfo('example.org', 443))\n"
        "tried(lambda: socket.socket(socket.AF_UNIX))\n"
        "tried(lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))\n"
        "tried(lambda: socket.socket(40, 1))\n"
    )
    told = run(code, tool="run_python")
    assert "REACHED" not in told
    assert len(told.splitlines()) == 7


def test_a_program_finds_no_unix_socket_among_its_files(run: Run) -> None:
    shown = run("for each in /proc/[0-9]*/fd/*; do readlink $each; done; cat /proc/net/unix")
    assert "pipe:" in shown
    assert "socket:" not in shown
    assert len([line for line in shown.splitlines() if ": " in line]) == 0  # nobody has one in here


ODD = (
    "GET http://{site}@evil.example/ HTTP/1.1\r\n\r\n",
    "GET http://evil.example\\@{site}/ HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: {site}\r\n\r\n",
    "GET https://{site}/ HTTP/1.1\r\n\r\n",
    "GET file:///etc/passwd HTTP/1.1\r\n\r\n",
    "CONNECT evil.example:443/@{site} HTTP/1.1\r\n\r\n",
    "CONNECT {site}@evil.example:443 HTTP/1.1\r\n\r\n",
    "CONNECT 0x7f.1:22 HTTP/1.1\r\n\r\n",
    "POST http://{site}/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 9\r\n\r\n",
    "POST http://{site}/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TRACE http://{site}/ HTTP/1.1\r\n\r\n",
    "GET http://{site}/ nonsense\r\n\r\n",
    "GET http://{site}/" + "x" * 66_000,
)


def test_odd_requests_are_refused(run: Run, site: str) -> None:
    asked = [each.format(site=site) for each in ODD]
    code = f"{RAW}for each in {asked!r}:\n    print(repr(ask(each)))"
    answers = run(code, tool="run_python").partition("\nConnection refused")[0].splitlines()
    assert len(answers) == len(ODD)
    for answer, request in zip(answers, asked, strict=True):
        refused = answer[1:].startswith(("HTTP/1.1 4", "HTTP/1.1 501")) or "Error code: 400" in answer
        assert refused, (request[:80], answer)


def test_one_connection_is_one_request_and_the_host_is_written_anew(run: Run, site: str) -> None:
    twice = (
        f"GET http://{site}/one HTTP/1.1\r\nHost: other.example\r\nX-Mine: 1\r\nConnection: X-Mine\r\n\r\n"
        f"GET /two HTTP/1.1\r\nHost: other.example\r\n\r\n"
    )
    told = run(f"{RAW}print(ask({twice!r}))", tool="run_python")
    assert "GET /one" in told
    assert f"'Host': '{site}'" in told
    assert not [word for word in ("GET /two", "other.example", "X-Mine") if word in told]


def test_a_name_that_leads_to_a_private_address_is_refused(run: Run, site: str) -> None:
    told = run(fetch(f"http://localhost:{site.partition(':')[2]}/"), hosts=("*:*", "localhost:1"))
    assert "localhost has the private address 127.0.0.1" in told
    told = run(
        f"{RAW}print(ask('CONNECT 169.254.169.254:443 HTTP/1.1\\r\\n\\r\\n'))",
        hosts=("*",),
        tool="run_python",
    )
    assert "Connection refused by the sandbox: 169.254.169.254 has the private address" in told


def test_what_was_checked_is_what_is_connected_to(
    run: Run, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, asked = int(site.partition(":")[2]), []

    def moving(host: str, *rest: object, **more: object) -> list[object]:
        asked.append(host)
        return [(socket.AF_INET, 1, 6, "", ("127.0.0.1" if len(asked) == 1 else "10.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", moving)
    told = run(fetch(f"http://name.example:{port}/x"), hosts=(site, f"name.example:{port}"))
    assert told.startswith(f"GET /x {{'Host': 'name.example:{port}',")
    assert asked == ["name.example"]


def test_a_host_that_does_not_answer_is_told_of(run: Run) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        told = run(fetch(f"http://127.0.0.1:{port}/"), hosts=(f"127.0.0.1:{port}",))
    assert "HTTP Error 502: 127.0.0.1 cannot be reached: [Errno 111]" in told


def left() -> tuple[int, int, list[str]]:
    """Threads, children and open files of this process."""
    files = []
    for each in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            files.append(os.readlink(f"/proc/self/fd/{each}"))
    kinds = sorted("socket" if each.startswith("socket") else each for each in files)
    return threading.active_count(), len(psutil.Process().children(recursive=True)), kinds


def settled(before: tuple[int, int, list[str]]) -> bool:
    """Whether what is left is what was there before, once the server's own threads have ended."""
    end = time.monotonic() + 5
    while (now := left()) != before and time.monotonic() < end:
        time.sleep(0.02)
    return now == before


def test_nothing_is_left_however_it_ends(run: Run, site: str, server: ThreadingHTTPServer) -> None:
    run("true")
    before = left()
    run(f"curl -sS http://{site}/ & {fetch('http://evil.example/')}")
    many = "for i in $(seq 40); do (exec 3<>/dev/tcp/127.0.0.1/3128; sleep 9) & done"
    slow = f"({fetch(f'http://{site}/slow')}) & {many}; sleep 60"
    assert "Stopped: it took longer than 2 s." in run(slow, seconds=2)
    run(f"setsid {fetch(f'http://{site}/slow')} & sleep 0.5")
    server.slow.clear()  # type: ignore[attr-defined]
    assert settled(before), left()


def test_a_program_may_end_while_a_connection_of_it_is_taken(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = threading.Thread.start

    def late(thread: threading.Thread) -> None:
        if thread.name == "sandbox proxy":
            time.sleep(0.15)  # as on a busy machine
        begin(thread)

    run("true")
    before = left()
    monkeypatch.setattr(threading.Thread, "start", late)
    for _ in range(8):  # which of its threads is waited for first is left to chance
        assert run("exec 3<>/dev/tcp/127.0.0.1/3128; sleep 0.05; echo done").startswith("done")
    assert settled(before), left()


def test_without_hosts_nothing_is_started(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, threading\n"
        "from autoagent.security import Sandbox\n"
        "from autoagent.workspace import Workspace\n"
        f"done = Sandbox().run(['/bin/sh', '-c', 'env'], Workspace.at(pathlib.Path({str(tmp_path)!r})))\n"
        "assert 'proxy' not in done.output.lower(), done.output\n"
        "assert not {'autoagent.security.proxy', 'http.server'} & {*sys.modules}\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr


def test_hosts_are_refused_where_there_is_only_landlock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for only, path in (("landlock", os.environ["PATH"]), ("", str(tmp_path))):
        monkeypatch.setenv("PATH", path)
        sandbox = Sandbox.chosen(only or "auto", ("example.org",))
        if Sandbox.chosen("landlock").blocked:
            pytest.skip("Landlock does not work here")
        assert "Landlock tells ports apart but not hosts" in sandbox.blocked
        assert ("set it to auto" if only else "`apt install bubblewrap`") in sandbox.blocked
        assert "\n" not in sandbox.blocked
        with pytest.raises(ToolError, match="or take program_hosts out"):
            sandbox.run(["/bin/true"], Workspace.at(tmp_path / "work"))


def test_a_malformed_host_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="is malformed"):
        Sandbox(hosts=("https://example.org",))
