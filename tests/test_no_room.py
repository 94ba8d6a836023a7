"""A full disk, and a record that is locked, at every write in turn: one line, and nothing told is lost."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from autoagent import Agent, events
from autoagent.errors import StoreError
from autoagent.models import ScriptedModel
from autoagent.models.protocol import Expect, Json
from autoagent.models.scripted import Line
from autoagent.store import Store
from autoagent.store.upkeep import check
from autoagent.trajectory import Message, ToolCall


def careful(messages: list[Message], expect: Expect) -> Line:
    """Write two files, look at both, finish; whatever was done already."""
    if isinstance(expect, Json):
        return ["write", "look"]
    done = sum(message.role == "tool" for message in messages)
    if done >= 4:
        return ToolCall(name="finish", arguments={"answer": "done"})
    name = f"{done % 2}.txt"
    if done < 2:
        return ToolCall(name="write_file", arguments={"path": name, "content": f"line {name}\n" * 2_000})
    return ToolCall(name="read_file", arguments={"path": name})


class Trial:
    """A run that is broken off by a fault; what it said is on record must be there, and it must go on."""

    def __init__(self, home: Path, work: Path) -> None:
        self.home, self.work = home, work
        work.mkdir(exist_ok=True)
        self.run_id, self.steps, self.seen = "", 0, 0

    def agent(self) -> Agent:
        agent = Agent(model=ScriptedModel(careful), home=self.home, workspace=self.work, memory=False)  # type: ignore[arg-type]
        agent._store = Store(self.home, wait=0.02)
        return agent

    def play(self, each: Callable[[int], None] = lambda number: None, most_pages: int = 0) -> str | None:
        """Run until it ends or breaks off; the message, if it did. ``each`` is called after each event."""
        try:
            with self.agent() as agent:
                for number, event in enumerate(agent.events("Write and look")):
                    if isinstance(event, events.Started):
                        self.run_id = event.run_id
                        connection = agent._store.database._connection
                        assert connection is not None
                        if most_pages:
                            connection.execute(f"PRAGMA max_page_count = {most_pages}")
                    elif isinstance(event, events.Observed):
                        self.seen += 1
                    elif isinstance(event, events.Stepped):
                        self.steps += 1
                    each(number)
        except StoreError as problem:
            return str(problem)
        return None

    def judge(self) -> None:
        """When the fault is over: all that was told is on record, and the run comes to its end."""
        store = Store(self.home)
        assert list(check(store)) == []
        if not self.run_id:
            assert [run for run in store.runs() if run.ending == "finished"] == []
            store.close()
            return
        run = store.load(self.run_id)
        assert sum(step.whole for step in run.steps) >= self.steps
        assert sum(len(step.observations) for step in run.steps) >= self.seen
        if run.ending not in ("finished",):
            with self.agent() as agent:
                for _ in agent.resume(self.run_id):
                    pass
        assert store.load(self.run_id).ending == "finished"
        assert list(check(store)) == []
        store.close()


def test_a_record_that_is_locked_at_any_moment(tmp_path: Path) -> None:
    broken, number, over = 0, 0, False
    while not over:
        trial = Trial(tmp_path / f"home{number}", tmp_path / f"work{number}")
        lock = None

        def hold(now: int, at: int = number, trial: Trial = trial) -> None:
            nonlocal lock
            if now == at:
                lock = sqlite3.connect(trial.home / "runs.db", isolation_level=None)
                lock.execute("BEGIN IMMEDIATE")

        said = trial.play(hold)
        over = lock is None  # the run was over before
        if lock is not None:
            lock.close()
        if said is not None:
            assert "\n" not in said
            assert "is locked by another program" in said
            broken += 1
        trial.judge()
        number += 1
    assert number > 20
    assert broken > 15


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own of two megabytes, where that is allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)], capture_output=True, check=False
        )
    except OSError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip("file systems cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_full_at_any_moment(tmp_path: Path, disk: Path) -> None:
    said = []
    for room in range(4, 1_500, 55):  # kilobytes: from where nothing fits to where all does
        ballast = disk / "ballast"
        trial = Trial(disk / f"home{room}", tmp_path / f"work{room}")
        ballast.write_bytes(b"\0" * (2048 - room) * 1024)
        said.append(trial.play())
        ballast.unlink()
        trial.judge()
        subprocess.run(["rm", "-r", str(trial.home)], check=False)
    assert said[-1] is None
    broken = [each for each in said if each is not None]
    assert len(broken) > 5
    assert not any("\n" in each for each in broken)
    assert all("disk" in each or "space" in each.lower() for each in broken)


def test_a_file_that_may_not_grow_is_one_line(tmp_path: Path) -> None:
    """Where nothing can be mounted: SQLite itself refuses to let the file grow, as a full disk does."""
    for pages in range(26, 60, 3):
        trial = Trial(tmp_path / f"home{pages}", tmp_path / f"work{pages}")
        said = trial.play(most_pages=pages)
        assert said is None or "the disk is full" in said
        trial.judge()
    with closing(sqlite3.connect(trial.home / "runs.db")) as record:
        assert record.execute("PRAGMA page_count").fetchone()[0] > 26
