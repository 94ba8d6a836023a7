"""What the memory on disk promises beyond that: it lasts, it is exclusive, it stays on this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from autoagent.errors import StoreError
from autoagent.memory import Chunk, LazyMemory, MemoryLocked, open_memory, reindex
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
    sure = 2.0

    def embed(self, texts: Sequence[str]) -> Vectors:
        counts = np.array([[1 + text.lower().count(chr(97 + i)) for i in range(26)] for text in texts])
        unit: Vectors = (counts / np.linalg.norm(counts, axis=1, keepdims=True)).astype(np.float32)
        return unit


class FlatEmbedder:
    """Vectors that say next to nothing, of two numbers: quick to make, and another one for every text.

    Which of equal vectors are the nearest is up to the index, which may say otherwise once opened again.
    """

    name = "flat"
    dimension = 2
    sure = 2.0

    def embed(self, texts: Sequence[str]) -> Vectors:
        angles = np.array([zlib.crc32(text.encode("utf-8")) for text in texts]) / 2**32 * 2 * np.pi
        unit: Vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
        return unit


def test_what_another_embedder_wrote_is_noticed_until_it_is_embedded_again(tmp_path: Path) -> None:
    memory = open_memory(tmp_path)
    memory.add("first", kind="episodic", source="run-1")
    memory.replace("a.txt", [Chunk("second", 3, 4)])
    memory.close()
    with pytest.raises(
        StoreError, match=r"embedder grams-384-v1, not letters: run `autoagent memory reindex`"
    ) as e:
        open_memory(tmp_path, embedder=LetterEmbedder())
    assert "2 entries" in str(e.value)
    assert "\n" not in str(e.value)
    open_memory(tmp_path, wait=0).close()  # it did not keep the lock, nor change anything
    assert reindex(tmp_path, embedder=LetterEmbedder())[0] == 2
    memory = open_memory(tmp_path, embedder=LetterEmbedder())
    [first] = memory.recall("first", k=1)
    assert (first.kind, first.source) == ("episodic", "run-1")
    assert memory.recall("second")[0].citation == "a.txt:3-4"
    memory.close()
    with pytest.raises(StoreError, match="embedder letters, not grams"):
        open_memory(tmp_path)
    assert reindex(tmp_path)[0] == 2
    assert reindex(tmp_path)[0] == 2  # nothing to do is no error


def test_another_embedder_may_have_an_empty_memory(tmp_path: Path) -> None:
    open_memory(tmp_path).close()
    open_memory(tmp_path, embedder=LetterEmbedder()).close()
    open_memory(tmp_path).close()


def test_the_word_index_is_kept_and_made_again_when_it_is_lost_or_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autoagent.memory.chroma.PAGE", 1_000)
    many = 2_500  # several pages
    memory = open_memory(tmp_path, embedder=FlatEmbedder())
    memory.replace("a.txt", [Chunk(f"row {n} about w{n % 50}", n + 1, n + 1) for n in range(many)])
    memory.forget(memory.recall("row 17 about w17")[0].id)
    best, counts = memory.recall("row 1234 w34", k=10), memory.counts()
    memory.close()
    words = tmp_path / "memory" / "words.npz"
    for spoil in (
        lambda: None,
        lambda: words.unlink(),
        lambda: words.write_bytes(b"PK damaged"),
        lambda: words.write_bytes(words.read_bytes()[:-2_000]),
    ):
        spoil()
        memory = open_memory(tmp_path, embedder=FlatEmbedder())
        assert memory.recall("row 1234 w34", k=10) == best
        assert memory.counts() == counts == {("semantic", "a.txt"): many - 1}
        assert len(memory.entries()) == many - 1
        memory.close()


def test_a_killed_process_leaves_no_word_index_that_lies(tmp_path: Path) -> None:
    memory = open_memory(tmp_path)
    gone = memory.add("the old fact")
    memory.close()
    code = (
        "import sys, os; from autoagent.memory import open_memory; m = open_memory(sys.argv[1]);"
        "m.forget(sys.argv[2]); m.add('the new fact'); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path, gone], check=False).returncode == 9
    memory = open_memory(tmp_path)  # as many entries as before, but others
    assert [each.text for each in memory.recall("fact")] == ["the new fact"]
    memory.close()


def test_looking_into_a_memory_that_was_never_written_to_makes_nothing(tmp_path: Path) -> None:
    lazy = LazyMemory(tmp_path / "home")
    assert (lazy.recall("x"), lazy.count(), lazy.entries(), lazy.forget("x")) == ([], 0, [], 0)
    lazy.close()
    assert not (tmp_path / "home").exists()


def test_importing_the_package_is_cheap() -> None:
    code = (
        "import sys, autoagent.memory, autoagent.tools.memory;"
        "print([m for m in ('numpy', 'chromadb', 'torch') if m in sys.modules])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert shown.stdout.strip() == "[]"
