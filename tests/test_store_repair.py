"""A damaged record is told, and mended as far as that goes; what is taken out of it is moved aside."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from autoagent.errors import StoreError, UsageError
from autoagent.store import Store
from autoagent.store.repair import repair
from autoagent.store.upkeep import check, unneeded
from autoagent.trajectory import Message, Observation, Reply, Step, ToolCall


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / ".autoagent")
    yield store
    store.close()


def a_run(store: Store, content: str, *, steps: int = 2, kept: str = "") -> str:
    work = store.home.parent / "work"
    work.mkdir(exist_ok=True)
    (work / "file").write_text(content, encoding="utf-8")
    opening = [Message(role="user", content=content)]
    record = store.begin(content, model="v", seed=0, check="", workspace=work, opening=opening)
    record.snapshot(0)
    call = ToolCall(name="look")
    for index in range(steps):
        seen = Observation(call=call, content=f"{index} " * 100, kept=kept)
        record.stepped(
            Step(index=index, reply=Reply(text="", calls=(call,)), observations=(seen,), seconds=1)
        )
    record.ended("finished", "1", 1.0)
    return record.run_id


def change(store: Store, *statements: str) -> None:
    """Behind our back, without minding what refers to what."""
    store.close()
    with closing(sqlite3.connect(store.path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def test_a_sound_record_is_left_as_it_is(store: Store) -> None:
    assert repair(store) == []
    a_run(store, "one")
    assert repair(store) == []
    assert not list(store.home.glob("aside/damaged-*"))


def test_a_record_is_not_repaired_under_a_run(store: Store) -> None:
    record = store.begin("g", model="v", seed=0, check="", workspace=store.home.parent)
    with pytest.raises(UsageError, match="being worked on"):
        repair(store)
    record.close()


@pytest.mark.parametrize("damage", [b"", b"junk", None])
def test_a_damaged_file_of_a_snapshot_costs_that_snapshot_and_is_kept_anew(
    store: Store, damage: bytes | None
) -> None:
    """Empty: as after a power cut; junk: as of a failing disk; None: removed."""
    run, other = a_run(store, "one"), a_run(store, "two")
    content = store.snapshots.entries(store.snapshots_of(run)[0])["file"].content
    file = store.snapshots.file(content)
    file.unlink() if damage is None else file.write_bytes(damage)
    (problem,) = check(store)
    assert (problem.run, "after step 0" in problem.what) == (run, True)
    done = repair(store)
    assert any(f"run {run} cannot be undone" in line for line in done)
    assert list(check(store)) == []
    assert store.snapshots_of(run) == {}
    assert store.snapshots_of(other)
    assert len(store.load(run).steps) == 2
    again = a_run(store, "one")  # the same content is written again, and is whole
    assert store.snapshots.read(store.snapshots_of(again)[0], "file") == b"one"


def test_rows_and_folders_without_a_run_and_missing_texts_are_mended(store: Store) -> None:
    run, other = a_run(store, "one"), a_run(store, "two", kept=".outputs/1-0.txt")
    (store.home / "observations" / run).mkdir(parents=True)
    change(store, f"DELETE FROM runs WHERE id = '{run}'")
    assert {problem.run for problem in check(store)} == {run, other}
    done = repair(store)
    assert any("steps were removed" in line for line in done)
    assert list(check(store)) == []
    (aside,) = store.home.glob("aside/damaged-*")
    assert (aside / "observations" / run).is_dir()
    assert store.load(other).steps[0].observations[0].kept == ""


def test_steps_missing_in_the_midst_are_told(store: Store) -> None:
    run = a_run(store, "one", steps=4)
    change(
        store,
        f"DELETE FROM observations WHERE run = '{run}' AND step = 1",
    )
    (problem,) = check(store)
    assert problem.what == f"step 1 of run {run} is not whole"
    change(store, f"DELETE FROM steps WHERE run = '{run}' AND number = 1")
    (problem,) = check(store)
    assert problem.what == f"step 1 of run {run} is missing"
    assert repair(store) == []
    assert list(check(store)) == [problem]


def test_what_killed_processes_leave_harms_nobody_and_is_swept(store: Store) -> None:
    a_run(store, "one")
    store.snapshots.keep(b"nobody refers to it")
    draft = store.snapshots.root / "ab" / ".new-x"
    draft.parent.mkdir(exist_ok=True)
    draft.write_bytes(b"half")
    assert list(check(store)) == []
    assert unneeded(store)[0] == 1
    (line,) = repair(store)
    assert "2 files" in line
    assert unneeded(store) == (0, 0)
    assert not draft.exists()


def test_damaged_pages_cost_what_is_on_them_and_no_more(store: Store) -> None:
    runs = [a_run(store, f"run {number}", steps=30) for number in range(12)]
    change(store, "UPDATE runs SET tags = tags")
    change(store, f"DELETE FROM snapshots WHERE run = '{runs[0]}'")  # as if its page were the damaged one
    copies = store.snapshots.stored()
    size = store.path.stat().st_size
    with store.path.open("r+b") as file:
        file.seek(size // 2 // 4096 * 4096)
        file.write(b"\xff" * 4096)
    assert any("runs.db is damaged" in problem.what for problem in check(store))
    done = repair(store)
    assert "runs.db was damaged" in done[0]
    assert not any("runs.db is damaged" in problem.what for problem in check(store))
    left = {run.run_id for run in store.runs()}
    assert len(left & set(runs)) >= 10
    whole = [run for run in left if len(store.load(run).steps) == 30]
    assert len(whole) >= 8
    (aside,) = store.home.glob("aside/damaged-*")
    assert (aside / "runs.db").stat().st_size == size
    assert store.snapshots.stored() == copies  # nobody knows which of them what was lost had named


def test_an_index_that_does_not_fit_its_table_is_made_anew(store: Store) -> None:
    runs = {a_run(store, f"run {number}") for number in range(3)}
    change(
        store,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET sql = 'CREATE INDEX runs_by_parent ON runs (goal)' "
        "WHERE name = 'runs_by_parent'",
    )
    assert any("runs.db is damaged" in problem.what for problem in check(store))
    repair(store)
    assert list(check(store)) == []
    assert {run.run_id for run in store.runs()} == runs


def test_a_torn_end_of_the_log_costs_only_what_was_never_acknowledged(store: Store) -> None:
    run = a_run(store, "one", steps=5)
    log = store.path.with_name("runs.db-wal")
    assert log.exists()
    with log.open("ab") as file:  # as when the power went while the next commit was written
        file.write(log.read_bytes()[-4120:-2000])
    again = Store(store.home)
    assert len(again.load(run).steps) == 5
    assert list(check(again)) == []
    again.close()


def test_what_cannot_be_read_at_all_is_left_for_a_backup(store: Store) -> None:
    store.home.mkdir()
    store.path.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="nothing in it can be read"):
        repair(store)
    assert store.path.read_bytes() == b"no database" * 1000


def test_of_a_file_that_was_cut_off_what_is_left_is_read(store: Store) -> None:
    runs = [a_run(store, f"goal {number}") for number in range(12)]
    change(store)
    whole = store.path.read_bytes()
    store.path.write_bytes(whole[: -3 * 4096])
    assert list(check(store))
    (done, *_) = repair(store)
    assert "what could be read is in a new one" in done
    assert not any("runs.db is damaged" in problem.what for problem in check(store))
    assert {run.run_id for run in store.runs()} == {*runs}  # their last observations were at the end of it
