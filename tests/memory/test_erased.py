"""What was forgotten takes no room for ever: a memory that is written over and over stays small."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from autoagent.memory import chroma, open_memory, shelved
from autoagent.memory.chroma import ANEW, PREFIX, ChromaMemory
from autoagent.memory.pending import put_aside
from autoagent.memory.shelved import ShelvedMemory
from autoagent.memory.volatile import VolatileMemory


@pytest.fixture(autouse=True)
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (chroma, shelved):
        monkeypatch.setattr(module, "ROOM", 20)


def rewrite(memory: ShelvedMemory, runs: int) -> None:
    """Remember runs of ten goals, the latest of each only."""
    for number in range(runs):
        memory.add(f"Fill shelf {number % 10}. Answer: {number}", "episodic", f"run {number}")
        if number >= 10:
            memory.forget(source=f"run {number - 10}")


def kept(memory: ChromaMemory) -> tuple[int, int]:
    """Vectors that the index still holds, as far as it knows, and rows of the word index."""
    return memory.count() + memory._erased, len(memory._shelf._ids)


def test_nothing_grows_and_nothing_is_lost(tmp_path: Path) -> None:
    with closing(open_memory(tmp_path)) as memory:
        rewrite(memory, 95)
        assert memory.count() == 10
        assert kept(memory)[1] < 40
        assert {each.text.rpartition(" ")[2] for each in memory.entries()} == {*map(str, range(85, 95))}
        assert memory.recall("shelf 4", 1)[0].text == "Fill shelf 4. Answer: 94"
        assert len(memory.counts()) == 10
    with closing(open_memory(tmp_path)) as again:
        assert kept(again) == (10, 10)
        assert again.recall("shelf 7", 1)[0].text == "Fill shelf 7. Answer: 87"


def test_of_one_key_the_latest_is_kept_in_its_place(tmp_path: Path) -> None:
    with closing(open_memory(tmp_path)) as memory:
        ids = {memory.add(f"Run {number}", "episodic", f"run {number}", key="a goal") for number in range(50)}
        assert len(ids) == 1
        assert ids != {memory.add("Run 49", "procedural", "run 49", key="a goal")}
        assert kept(memory)[0] == 2
        assert [(each.text, each.source) for each in memory.entries(kind="episodic")] == [
            ("Run 49", "run 49")
        ]
        assert [each.text for each in memory.recall("run", 9, "episodic")] == ["Run 49"]


def test_what_was_put_aside_under_a_key_takes_its_place_too(tmp_path: Path) -> None:
    folder = tmp_path / "memory"
    ids = {put_aside(folder, f"Run {number}", "episodic", "run", "a goal") for number in range(3)}
    with closing(open_memory(tmp_path)) as memory:
        assert [each.text for each in memory.entries()] == ["Run 2"]
        assert {each.id for each in memory.entries()} == ids


def test_what_short_processes_erase_adds_up(tmp_path: Path) -> None:
    for number in range(16):
        with closing(open_memory(tmp_path)) as memory:
            for text in ("a", "b", "c"):
                memory.add(f"{text} {number}", source=text)
                memory.forget(*(each.id for each in memory.entries(source=text)[1:]))
            assert memory.count() == 3
            assert kept(memory)[0] < 30


def test_a_volatile_one_too() -> None:
    memory = VolatileMemory()
    rewrite(memory, 95)
    assert len(memory._shelf._ids) < 40
    assert memory.recall("shelf 4", 1)[0].text == "Fill shelf 4. Answer: 94"


@pytest.mark.parametrize("whole", [False, True], ids=["half written", "written, not named"])
def test_a_process_that_ended_while_all_was_written_anew_loses_nothing(tmp_path: Path, whole: bool) -> None:
    with closing(open_memory(tmp_path)) as memory:
        memory.add("The key is under the mat")
        name, client = memory._collection.name, memory._client
        assert client is not None
        assert name.startswith(PREFIX)
        fresh = client.create_collection(name + ANEW, embedding_function=None)
        if whole:
            had = memory._collection.get(include=["documents", "metadatas", "embeddings"])
            fresh.upsert(had["ids"], had["embeddings"], had["metadatas"], had["documents"])
            client.delete_collection(name)
    with closing(open_memory(tmp_path)) as again:
        assert again.recall("key", 1)[0].text == "The key is under the mat"
        again.add("The cat is on it")
        assert again.count() == 2
