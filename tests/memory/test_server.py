"""Long-term memory on a Chroma server: a real one, started here."""

from __future__ import annotations

import http.server
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from autoagent.errors import StoreError, UsageError
from autoagent.memory import Chunk, LazyMemory, Memory, open_memory


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """``chroma run`` of the installed package."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [
                Path(sys.executable).with_name("chroma"), "run", "--path", folder,
                "--host", "127.0.0.1", "--port", str(port),
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "HOME": str(folder)},
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/api/v2/heartbeat", timeout=1):
                    return
            except OSError:
                assert time.monotonic() < deadline, "the server did not come up"
                assert self.process.poll() is None, "the server ended"
                time.sleep(0.1)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("chroma"))
    yield running
    running.stop()


@pytest.fixture
def memory(server: Server, tmp_path: Path) -> Iterator[Memory]:
    opened = open_memory(tmp_path, url=server.url)
    yield opened
    opened.forget(*(entry.id for entry in opened.entries()))
    opened.close()


def test_it_keeps_and_recalls_and_leaves_nothing_here(memory: Memory, server: Server, tmp_path: Path) -> None:
    memory.add("the wifi password is 4411")
    memory.add("the release went out", kind="episodic")
    memory.replace("a.txt", [Chunk("plums are blue", 4, 5)])
    again = LazyMemory(tmp_path, url=server.url)
    assert again.recall("wifi pasword")[0].text == "the wifi password is 4411"
    assert again.recall("plums")[0].citation == "a.txt:4-5"
    assert [each.kind for each in again.recall("release", kind="episodic")] == ["episodic"]
    assert again.counts() == memory.counts()
    again.close()
    assert list(tmp_path.iterdir()) == []


def test_what_one_client_does_the_other_sees(memory: Memory, server: Server, tmp_path: Path) -> None:
    other = open_memory(tmp_path, url=server.url)
    first = memory.add("the key is under the mat")
    assert other.recall("key")[0].id == first
    second = other.add("the spare key is in the shed")
    assert {each.id for each in memory.recall("key")} == {first, second}
    other.forget(first)
    other.add("the ladder is in the barn")  # as many as before
    assert [each.id for each in memory.recall("key")] == [second]
    assert memory.count() == other.count() == 2
    other.close()


def test_a_server_that_went_away_is_one_clear_line(tmp_path: Path) -> None:
    server = Server(tmp_path / "chroma")
    memory = open_memory(tmp_path, url=server.url)
    memory.add("something")
    server.stop()
    with pytest.raises(StoreError, match=f"memory in {server.url} cannot be used") as error:
        memory.recall("something")
    assert "look whether the server runs" in str(error.value)
    assert "\n" not in str(error.value)
    memory.close()


def test_nobody_there_is_one_clear_line(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(StoreError, match=f"server at {url} cannot be reached") as error:
        open_memory(tmp_path, url=url)
    assert str(error.value).endswith("start it with `chroma run`, or correct memory_url.")
    assert "\n" not in str(error.value)


def test_a_server_that_does_not_answer_is_not_waited_for_forever(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        start = time.monotonic()
        with pytest.raises(StoreError, match="timed out"):
            open_memory(tmp_path, url=url, wait=0.3)
        assert time.monotonic() - start < 5


class Nonsense(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<html>welcome</html>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *values: object) -> None: ...


def test_another_kind_of_server_is_one_clear_line(tmp_path: Path) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), Nonsense) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        with pytest.raises(StoreError, match="is no Chroma server: correct memory_url"):
            open_memory(tmp_path, url=f"http://127.0.0.1:{web.server_port}")
        web.shutdown()


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://host", "http://", "http://host:none", "http://h/path"]
)
def test_what_is_no_address_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError, match="is no address of a Chroma server"):
        open_memory(tmp_path, url=url)
