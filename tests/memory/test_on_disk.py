"""What the memory on disk promises beyond that: it lasts, it is exclusive, it stays on this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from autoagent.errors import StoreError
from autoagent.memory import LazyMemory, MemoryLocked, open_memory
from autoagent.memory.embedder import Vectors

HOLDER = """
import sys, time
from autoagent.memory import open_memory
memory = open_memory(sys.argv[1])
memory.add("held by the other process")
print("held", flush=True)
time.sleep(60)
"""


def test_facts_survive_reopening(tmp_path: Path) -> None:
    memory = open_memory(tmp_path)
    kept = memory.add("the wifi password is 4411", source="tool")
    gone = memory.add("the old wifi password was 1234")
    memory.forget(gone)
    memory.close()
    memory = open_memory(tmp_path)
    assert [each.id for each in memory.recall("wifi password")] == [kept]
    assert memory.add("the wifi password is 4411", source="tool") == kept
    assert memory.count() == 1
    memory.close()


def test_a_second_process_is_told_that_the_memory_is_in_use_until_the_first_dies(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        start = time.monotonic()
        with pytest.raises(MemoryLocked, match="in use by another process") as error:
            open_memory(tmp_path, wait=0.2)
        assert 0.1 < time.monotonic() - start < 5
        assert "\n" not in str(error.value)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        memory = open_memory(tmp_path, wait=5)
        assert memory.recall("other process")[0].text == "held by the other process"
        memory.close()
    finally:
        holder.kill()
        holder.communicate()


def test_a_lazy_memory_locks_at_its_first_use_and_waits_only_once(tmp_path: Path) -> None:
    lazy = LazyMemory(tmp_path, wait=0.3)
    other = open_memory(tmp_path, wait=0)
    with pytest.raises(MemoryLocked):
        lazy.count()
    start = time.monotonic()
    with pytest.raises(MemoryLocked):
        lazy.count()
    assert time.monotonic() - start < 0.2
    other.close()
    assert lazy.count() == 0
    lazy.close()


def test_closing_twice_is_harmless_and_use_after_closing_says_so(tmp_path: Path) -> None:
    memory = open_memory(tmp_path)
    memory.close()
    memory.close()
    with pytest.raises(StoreError, match="is closed"):
        memory.add("too late")
    open_memory(tmp_path, wait=0).close()


def test_threads_may_share_a_memory_and_any_of_them_may_close_it(tmp_path: Path) -> None:
    memory = open_memory(tmp_path)

    def work(number: int) -> None:
        for turn in range(5):
            memory.add(f"fact {turn} of worker {number}")
            memory.recall("worker")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert memory.count() == 20
    closer = threading.Thread(target=memory.close)
    closer.start()
    closer.join()
    open_memory(tmp_path, wait=0).close()


def test_nothing_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the memory reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    memory = open_memory(tmp_path / "home")
    memory.add("the wifi password is 4411")
    assert memory.recall("wifi")[0].text == "the wifi password is 4411"
    memory.close()
    assert not (tmp_path / "nobody").exists()


def test_a_damaged_memory_is_one_clear_line(tmp_path: Path) -> None:
    folder = tmp_path / "memory"
    folder.mkdir()
    (folder / "chroma.sqlite3").write_bytes(b"not a database " * 500)
    with pytest.raises(StoreError, match="cannot be used") as error:
        open_memory(tmp_path)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_home_that_is_a_file_is_one_clear_line(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match="cannot be used"):
        open_memory(home)


class LetterEmbedder:
    """Another embedder with another dimension: counts of letters."""

    name = "letters"
    dimension = 26

    def embed(self, texts: Sequence[str]) -> Vectors:
        counts = np.array([[1 + text.lower().count(chr(97 + i)) for i in range(26)] for text in texts])
        unit: Vectors = (counts / np.linalg.norm(counts, axis=1, keepdims=True)).astype(np.float32)
        return unit


def test_another_embedder_takes_over_what_is_there(tmp_path: Path) -> None:
    memory = open_memory(tmp_path)
    memory.add("first", kind="episodic", source="run-1")
    memory.add("second")
    memory.close()
    memory = open_memory(tmp_path, embedder=LetterEmbedder())
    assert memory.count() == 2
    [first] = memory.recall("first", k=1)
    assert (first.kind, first.source) == ("episodic", "run-1")
    memory.add("third")
    memory.close()
    memory = open_memory(tmp_path)
    assert memory.recall("third")[0].text == "third"
    memory.close()


def test_importing_the_package_is_cheap() -> None:
    code = (
        "import sys, autoagent.memory, autoagent.tools.memory;"
        "print([m for m in ('numpy', 'chromadb', 'torch') if m in sys.modules])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert shown.stdout.strip() == "[]"
