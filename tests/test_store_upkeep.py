"""Removing runs frees what only they needed; a check finds what is broken."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from autoagent.errors import UsageError
from autoagent.store import RunRecord, Store
from autoagent.store.upkeep import check, remove, sweep
from autoagent.trajectory import Observation, Reply, Step, ToolCall


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / ".autoagent")
    yield store
    store.close()


def a_run(store: Store, content: str, *, child: str = "") -> RunRecord:
    work = store.home.parent / "work"
    work.mkdir(exist_ok=True)
    (work / "file").write_text(content, encoding="utf-8")
    (work / "same").write_text("the same in all\n" * 100, encoding="utf-8")
    record = store.begin(content, model="v", seed=0, check="", workspace=work)
    record.snapshot(0)
    call = ToolCall(name="delegate")
    seen = Observation(call=call, content="", child=child)
    record.stepped(Step(index=0, reply=Reply(text="", calls=(call,)), observations=(seen,), seconds=1))
    record.ended("finished", "1", 1.0)
    return record


def test_a_removed_run_takes_only_what_nobody_else_needs(store: Store) -> None:
    first, second = a_run(store, "first"), a_run(store, "second")
    kept = store.home / "observations" / first.run_id
    kept.mkdir(parents=True)
    (kept / "1-0.txt").write_text("all of it", encoding="utf-8")
    before = set(store.snapshots.stored())
    removed = remove(store, [first.run_id])
    assert (removed.runs, removed.swept) == ((first.run_id,), True)
    assert removed.freed > 0
    assert [run.run_id for run in store.runs()] == [second.run_id]
    assert not kept.exists()
    gone = before - set(store.snapshots.stored())
    assert len(gone) == 2  # its manifest and its own file
    assert store.snapshots.read(store.snapshots_of("last")[0], "same")
    assert not list(check(store))


def test_what_it_delegated_goes_with_it_and_branches_stay(store: Store) -> None:
    child = a_run(store, "child")
    parent = a_run(store, "parent", child=child.run_id)
    branch = store.begin("b", model="v", seed=0, check="", workspace=store.home, parent=parent.run_id)
    branch.close()
    assert set(remove(store, [parent.run_id]).runs) == {parent.run_id, child.run_id}
    assert store.find("last").parent is None
    assert not list(check(store))


def test_a_run_at_work_is_not_removed_and_keeps_all_snapshots(store: Store) -> None:
    done = a_run(store, "done")
    working = store.begin("w", model="v", seed=0, check="", workspace=store.home.parent)
    with pytest.raises(UsageError, match="being worked on"):
        remove(store, [done.run_id, working.run_id])
    assert len(store.runs()) == 2
    assert not remove(store, [done.run_id]).swept  # it may be about to refer to what is there
    assert store.snapshots.stored()
    working.close()
    assert sweep(store)
    assert not store.snapshots.stored()


def test_nothing_is_swept_while_a_snapshot_cannot_be_read(store: Store) -> None:
    a_run(store, "one")
    snapshot = store.snapshots_of("last")[0]
    file = store.snapshots.root / snapshot[:2] / snapshot[2:]
    file.write_bytes(b"junk")
    count = len(store.snapshots.stored())
    assert sweep(store) == 0
    assert len(store.snapshots.stored()) == count


def test_a_sound_record_and_a_missing_one_have_no_problems(store: Store) -> None:
    assert list(check(store)) == []
    assert not store.home.exists()
    a_run(store, "one")
    assert list(check(store)) == []


def test_copies_of_workspaces_without_a_record_are_a_problem(store: Store) -> None:
    a_run(store, "one")
    store.close()
    for file in store.home.glob("runs.db*"):
        file.unlink()
    (problem,) = check(store)
    assert problem.what.endswith("runs.db is gone, but copies of workspaces are there")


def test_missing_content_is_found_and_named(store: Store) -> None:
    record = a_run(store, "one")
    entry = store.snapshots.entries(store.snapshots_of("last")[0])["same"]
    (store.snapshots.root / entry.content[:2] / entry.content[2:]).unlink()
    (problem,) = check(store)
    assert problem.run == record.run_id
    assert "after step 0" in problem.what


def test_damaged_rows_dangling_rows_and_leftovers_are_found(store: Store) -> None:
    record, other = a_run(store, "one"), a_run(store, "two")
    (store.home / "observations" / "r00000000000").mkdir(parents=True)
    store.close()
    with closing(sqlite3.connect(store.path)) as connection:  # which does not mind foreign keys
        connection.execute("UPDATE steps SET calls = 'no json' WHERE run = ?", (record.run_id,))
        connection.execute("DELETE FROM runs WHERE id = ?", (other.run_id,))
        connection.commit()
    found = list(check(store))
    assert any("is damaged" in problem.what and problem.run == record.run_id for problem in found)
    dangling = {problem.what.split()[0] for problem in found if problem.run == other.run_id}
    assert {"steps", "snapshots", "observations"} <= dangling | {"observations"}
    assert any("belongs to a run that is not on record" in problem.what for problem in found)
    assert all("\n" not in problem.what + problem.remedy for problem in found)
