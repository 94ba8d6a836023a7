"""What a run changed can be seen, taken back, and taken back again; what others changed is not lost."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from autoagent.errors import StoreError, UsageError
from autoagent.store import RunRecord, Store
from autoagent.store.backup import backup
from autoagent.store.changes import FileChange, changes, run_span
from autoagent.store.restore import restore
from autoagent.store.undo import plan_redo, plan_undo
from autoagent.trajectory import Reply, Step


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / ".autoagent")
    yield store
    store.close()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    (work / "docs").mkdir(parents=True)
    (work / "keep.txt").write_text("as it was\n", encoding="utf-8")
    (work / "docs" / "a.md").write_text("one\ntwo\nthree\n", encoding="utf-8")
    (work / "gone.txt").write_text("bye\n", encoding="utf-8")
    return work


def step(record: RunRecord, index: int) -> None:
    record.stepped(Step(index=index, reply=Reply(text=""), seconds=1))
    record.snapshot(index)


@pytest.fixture
def record(store: Store, work: Path) -> RunRecord:
    """A run that changed docs/a.md in step 1, and in step 2 made new/b.bin and removed gone.txt."""
    record = store.begin("g", model="v", seed=0, check="", workspace=work)
    record.snapshot(0)
    (work / "docs" / "a.md").write_text("one\nTWO\nthree", encoding="utf-8")
    step(record, 1)
    (work / "new").mkdir()
    (work / "new" / "b.bin").write_bytes(b"\0\1")
    (work / "gone.txt").unlink()
    step(record, 2)
    step(record, 3)
    record.ended("finished", "1", 1.0)
    return record


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8", errors="replace")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def of(store: Store, span: str = "") -> list[FileChange]:
    return changes(store.snapshots, *run_span(store, "last", span))


@pytest.mark.usefixtures("record")
def test_each_file_is_told_with_its_lines(store: Store) -> None:
    changed, removed, added = of(store)
    assert (changed.kind, changed.path, changed.added, changed.removed) == ("changed", "docs/a.md", 2, 2)
    assert changed.lines[2:] == (
        "@@ -1,3 +1,3 @@", " one", "-two", "-three", "+TWO", "+three", "\\ No newline at end of file",
    )  # fmt: skip
    assert (removed.kind, removed.path, removed.lines[-1]) == ("removed", "gone.txt", "-bye")
    assert (added.kind, added.path, added.lines, added.note) == ("added", "new/b.bin", (), "binary, 2 bytes")


@pytest.mark.usefixtures("record")
@pytest.mark.parametrize(
    ("span", "paths"),
    [
        ("1", ["docs/a.md"]),
        ("2", ["gone.txt", "new/b.bin"]),
        ("3", []),
        ("0:1", ["docs/a.md"]),
        ("1:", ["gone.txt", "new/b.bin"]),
        (":1", ["docs/a.md"]),
        ("0", []),
    ],
)
def test_a_span_of_steps_is_told_alone(store: Store, span: str, paths: list[str]) -> None:
    assert [change.path for change in of(store, span)] == paths


@pytest.mark.usefixtures("record")
@pytest.mark.parametrize(("span", "says"), [("4", "no step 4: its last is step 3"), ("x", "is not a step")])
def test_a_step_that_is_none_says_so(store: Store, span: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        of(store, span)


@pytest.mark.skipif(shutil.which("patch") is None, reason="needs patch")
@pytest.mark.usefixtures("record")
def test_the_lines_are_a_patch(store: Store, work: Path) -> None:
    lines = [line for change in of(store) for line in change.lines]
    text = "\n".join(lines) + "\n"
    done = subprocess.run(["patch", "-R", "-p1"], cwd=work, input=text, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout
    assert (work / "docs" / "a.md").read_text(encoding="utf-8") == "one\ntwo\nthree\n"


def test_modes_links_folders_and_large_files_are_told_in_words(store: Store, work: Path) -> None:
    record = store.begin("g", model="v", seed=0, check="", workspace=work)
    record.snapshot(0)
    (work / "keep.txt").chmod(0o755)
    (work / "link").symlink_to("keep.txt")
    (work / "empty").mkdir()
    (work / "large.txt").write_text("line\n" * 200_000, encoding="utf-8")
    step(record, 1)
    told = {change.path: change.note for change in of(store)}
    assert told == {
        "keep.txt": "mode 644 is now 755",
        "link": "link to keep.txt",
        "empty": "folder",
        "large.txt": "large, 1.0 MB",
    }


@pytest.mark.usefixtures("record")
def test_an_undo_brings_everything_back_and_can_be_undone(store: Store, work: Path) -> None:
    after = tree(work)
    before = {"keep.txt": "as it was\n", "docs/a.md": "one\ntwo\nthree\n", "gone.txt": "bye\n"}
    undo = plan_undo(store, "last")
    assert (undo.restored, undo.removed) == (("docs/a.md", "gone.txt"), ("new", "new/b.bin"))
    undo.carry_out()
    assert tree(work) == before
    assert not (work / "new").exists()
    assert plan_undo(store, "last").nothing
    plan_redo(store, "last").carry_out()
    assert tree(work) == after
    plan_redo(store, "last").carry_out()  # which takes the redo back
    assert tree(work) == before


def test_a_copy_of_a_record_elsewhere_does_not_touch_the_projects_workspace(
    store: Store, work: Path, record: RunRecord, tmp_path: Path
) -> None:
    after = tree(work)
    backup(store.home, tmp_path / "all.tar")
    elsewhere = tmp_path / "copy" / ".autoagent"
    restore(elsewhere, tmp_path / "all.tar")
    copy = Store(elsewhere)
    with pytest.raises(UsageError, match=f"is on record in {store.home}, too, .* --home {store.home}"):
        plan_undo(copy, record.run_id)
    assert tree(work) == after
    shutil.rmtree(store.home)  # the original is lost: the copy takes its place
    plan_undo(copy, record.run_id).carry_out()
    copy.close()
    assert (work / "gone.txt").is_file()


@pytest.mark.usefixtures("record")
def test_an_undo_may_keep_the_first_steps(store: Store, work: Path) -> None:
    plan_undo(store, "last", to_step=1).carry_out()
    assert sorted(tree(work)) == ["docs/a.md", "gone.txt", "keep.txt"]
    assert (work / "docs" / "a.md").read_text(encoding="utf-8") == "one\nTWO\nthree"
    plan_undo(store, "last").carry_out()  # from there on to the beginning
    assert (work / "docs" / "a.md").read_text(encoding="utf-8") == "one\ntwo\nthree\n"
    plan_undo(store, "last", to_step=2).carry_out()  # and forward again
    assert sorted(tree(work)) == ["docs/a.md", "keep.txt", "new/b.bin"]
    assert (work / "docs" / "a.md").read_text(encoding="utf-8") == "one\nTWO\nthree"


@pytest.mark.usefixtures("record")
def test_what_others_changed_since_is_refused_by_name_or_forced(store: Store, work: Path) -> None:
    (work / "docs" / "a.md").write_text("mine", encoding="utf-8")
    (work / "keep.txt").write_text("mine, too", encoding="utf-8")  # the run did not touch it
    (work / "new" / "own.txt").write_text("mine as well", encoding="utf-8")
    undo = plan_undo(store, "last")
    assert undo.conflicts == ("docs/a.md",)
    with pytest.raises(UsageError, match=r"changed since run \w+: docs/a.md: --force"):
        undo.carry_out()
    assert (work / "docs" / "a.md").read_text(encoding="utf-8") == "mine"
    undo.carry_out(force=True)
    assert tree(work) == {
        "keep.txt": "mine, too",
        "docs/a.md": "one\ntwo\nthree\n",
        "gone.txt": "bye\n",
        "new/own.txt": "mine as well",
    }
    plan_redo(store, "last").carry_out()
    assert (work / "docs" / "a.md").read_text(encoding="utf-8") == "mine"


@pytest.mark.usefixtures("record")
def test_nothing_is_written_through_a_link(store: Store, work: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (work / "docs").rename(outside)
    (work / "docs").symlink_to(outside)
    with pytest.raises(UsageError, match="behind a link"):
        plan_undo(store, "last")
    assert (outside / "a.md").read_text(encoding="utf-8") == "one\nTWO\nthree"


def test_a_file_that_became_a_folder_becomes_a_file_again(store: Store, work: Path) -> None:
    record = store.begin("g", model="v", seed=0, check="", workspace=work)
    record.snapshot(0)
    (work / "keep.txt").unlink()
    (work / "keep.txt").mkdir()
    (work / "keep.txt" / "inner").write_text("x", encoding="utf-8")
    (work / "docs" / "a.md").unlink()
    (work / "docs").rmdir()
    (work / "docs").symlink_to("keep.txt")
    step(record, 1)
    record.close()
    plan_undo(store, "last").carry_out()
    assert (work / "keep.txt").read_text(encoding="utf-8") == "as it was\n"
    assert (work / "docs" / "a.md").read_text(encoding="utf-8") == "one\ntwo\nthree\n"


def test_permissions_come_back_too(store: Store, work: Path) -> None:
    (work / "keep.txt").chmod(0o640)
    record = store.begin("g", model="v", seed=0, check="", workspace=work)
    record.snapshot(0)
    (work / "keep.txt").unlink()
    step(record, 1)
    record.close()
    plan_undo(store, "last").carry_out()
    assert (work / "keep.txt").stat().st_mode & 0o777 == 0o640


def test_a_run_at_work_is_not_undone(store: Store, work: Path) -> None:
    record = store.begin("g", model="v", seed=0, check="", workspace=work)
    record.snapshot(0)
    (work / "keep.txt").unlink()
    step(record, 1)
    with pytest.raises(UsageError, match="being worked on"):
        plan_undo(store, "last").carry_out()
    assert not (work / "keep.txt").exists()


def test_a_run_without_copies_of_its_workspace_says_why(store: Store, work: Path) -> None:
    store.begin("g", model="v", seed=0, check="", workspace=work).close()
    with pytest.raises(UsageError, match="before it began to work"):
        plan_undo(store, "last")
    store.snapshots.max_bytes = 3
    large = store.begin("g", model="v", seed=0, check="", workspace=work)
    large.snapshot(0)
    with pytest.raises(UsageError, match="too large"):
        run_span(store, "last")
    with pytest.raises(UsageError, match="was not undone"):
        plan_redo(store, "last")


@pytest.mark.usefixtures("record")
def test_a_broken_snapshot_says_so(store: Store, work: Path) -> None:
    entry = store.snapshots.entries(store.snapshots_of("last")[0])["gone.txt"]
    (store.snapshots.root / entry.content[:2] / entry.content[2:]).write_bytes(b"junk")
    with pytest.raises(StoreError, match="is damaged"):
        of(store)
    os.rename(work, work.with_name("elsewhere"))
    with pytest.raises(UsageError, match="is gone"):
        plan_undo(store, "last")
