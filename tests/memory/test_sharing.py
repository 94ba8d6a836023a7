"""Several processes share one memory: each has it for a moment, and what one says is found by all."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from autoagent.errors import StoreError
from autoagent.memory import LazyMemory, MemoryLocked, exists, open_memory, pending
from autoagent.memory.runs import remember_run
from autoagent.trajectory import Trajectory, Verdict


def test_who_does_not_use_it_lets_others_in(tmp_path: Path) -> None:
    first, second = LazyMemory(tmp_path), LazyMemory(tmp_path)
    first.add("the wifi password is 4411")
    began = time.monotonic()
    assert second.recall("wifi password")[0].text == "the wifi password is 4411"
    assert time.monotonic() - began < 3  # as soon as it was asked for
    second.add("it is off at night")
    assert {entry.text for entry in first.entries()} == {"the wifi password is 4411", "it is off at night"}
    first.close()
    second.close()


def test_it_is_closed_after_a_second_without_use(tmp_path: Path) -> None:
    lazy = LazyMemory(tmp_path)
    lazy.add("x")
    with pytest.raises(MemoryLocked):
        open_memory(tmp_path, wait=0)
    time.sleep(1.6)
    open_memory(tmp_path, wait=0).close()
    assert not [each for each in threading.enumerate() if each.name == "memory"]
    assert lazy.count() == 1
    lazy.close()


def test_what_cannot_be_added_now_is_put_aside_and_taken_in(tmp_path: Path) -> None:
    holder, lazy = open_memory(tmp_path), LazyMemory(tmp_path, wait=0)
    id = lazy.add("  the wifi password is 4411 ", "semantic", "user")
    assert lazy.add("the wifi password is 4411", "semantic", "user") == id
    with pytest.raises(ValueError, match="empty"):
        lazy.add(" ")
    with pytest.raises(MemoryLocked):
        lazy.count()
    holder.close()
    (entry,) = lazy.entries()
    assert (entry.id, entry.text, entry.source) == (id, "the wifi password is 4411", "user")
    assert pending.count(tmp_path / "memory") == 0
    lazy.close()


def test_what_was_put_aside_before_there_was_a_memory_is_found(tmp_path: Path) -> None:
    pending.put_aside(tmp_path / "memory", "a fact", "semantic", "")
    assert exists(tmp_path)
    lazy = LazyMemory(tmp_path)
    assert [each.text for each in lazy.recall("fact")] == ["a fact"]
    lazy.close()


def test_taking_in_twice_changes_nothing_and_nonsense_is_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "memory"
    pending.put_aside(folder, "a fact", "semantic", "")
    (waiting,) = (folder / "pending").iterdir()
    content = waiting.read_text(encoding="utf-8")
    open_memory(tmp_path).close()
    waiting.write_text(content, encoding="utf-8")  # as if the process had been killed right before it went
    for number, odd in enumerate(["", "[]", '{"text": 1}', '{"text": "", "kind": "semantic", "source": ""}']):
        (folder / "pending" / f"9{number}.json").write_text(odd, encoding="utf-8")
    memory = open_memory(tmp_path)
    assert memory.count() == 1
    memory.close()
    assert not list((folder / "pending").iterdir())


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "pending").write_text("in the way", encoding="utf-8")
    with pytest.raises(StoreError, match="cannot be written") as problem:
        pending.put_aside(tmp_path / "memory", "a fact", "semantic", "")
    assert "\n" not in str(problem.value)


def test_a_run_is_remembered_while_others_hold_the_memory(tmp_path: Path) -> None:
    def ended(run_id: str, answer: str) -> Trajectory:
        return Trajectory(
            run_id=run_id, goal="What is 6 * 7?", model="m", answer=answer, ending="finished",
            plan=("calculate",), verdict=Verdict(status="verified", by="check"),
        )  # fmt: skip

    holder, lazy = open_memory(tmp_path), LazyMemory(tmp_path, wait=0)
    assert len(remember_run(lazy, ended("r1", "41"))) == 2
    holder.close()
    assert lazy.counts() == {("episodic", "run r1"): 1, ("procedural", "run r1"): 1}
    remember_run(lazy, ended("r2", "42"))
    assert lazy.counts() == {("episodic", "run r2"): 1, ("procedural", "run r2"): 1}
    lazy.close()


USER = """
import json, sys
from pathlib import Path
from autoagent.memory import LazyMemory
name, home = sys.argv[1:]
memory = LazyMemory(home, wait=20)
found = 0
for number in range(12):
    memory.add(f"{name} counts sheep number {number}", source=name)
    found += any(each.source == name for each in memory.recall(f"{name} sheep {number}", 5))
print(json.dumps(found))
"""


def test_processes_that_use_it_at_once_lose_nothing_and_end_by_themselves(tmp_path: Path) -> None:
    names = ("anna", "bert", "carl")
    users = [
        subprocess.Popen([sys.executable, "-c", USER, name, tmp_path], stdout=subprocess.PIPE, text=True)
        for name in names
    ]
    told = [json.loads(user.communicate(timeout=120)[0]) for user in users]
    assert told == [12, 12, 12]
    memory = open_memory(tmp_path)
    assert memory.counts() == {("semantic", name): 12 for name in names}
    for name in names:
        for number in range(12):
            text = f"{name} counts sheep number {number}"
            assert text in [each.text for each in memory.recall(text, 3)]
    memory.close()
