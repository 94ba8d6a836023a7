"""Workspaces kept by content: taken, compared, brought back."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

import pytest

from autoagent.errors import StoreError, UsageError
from autoagent.snapshots import Snapshots


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    (root / "notes" / "old").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "notes" / "a.txt").write_text("alpha", encoding="utf-8")
    (root / "notes" / "old" / "b.bin").write_bytes(bytes(range(256)))
    script = root / "run.sh"
    script.write_text("#!/bin/sh\n", encoding="utf-8")
    script.chmod(0o750)
    (root / "link").symlink_to("notes/a.txt")
    return root


@pytest.fixture
def snapshots(tmp_path: Path) -> Snapshots:
    return Snapshots(tmp_path / "kept")


def taken(snapshots: Snapshots, folder: Path) -> str:
    snapshot = snapshots.take(folder)
    assert snapshot is not None
    return snapshot


def stored(snapshots: Snapshots) -> list[Path]:
    return [path for path in snapshots.root.rglob("*") if path.is_file()]


def test_what_was_taken_comes_back(workspace: Path, snapshots: Snapshots, tmp_path: Path) -> None:
    snapshot = taken(snapshots, workspace)
    copy = tmp_path / "copy"
    snapshots.restore(snapshot, copy)
    assert (copy / "notes" / "a.txt").read_text(encoding="utf-8") == "alpha"
    assert (copy / "notes" / "old" / "b.bin").read_bytes() == bytes(range(256))
    assert (copy / "run.sh").stat().st_mode & 0o777 == 0o750
    assert os.readlink(copy / "link") == "notes/a.txt"
    assert (copy / "empty").is_dir()
    assert taken(snapshots, copy) == snapshot


def test_the_same_content_is_stored_once(workspace: Path, snapshots: Snapshots) -> None:
    first = taken(snapshots, workspace)
    before = len(stored(snapshots))
    (workspace / "twin.txt").write_text("alpha", encoding="utf-8")
    (workspace / "twin.txt").chmod((workspace / "notes" / "a.txt").stat().st_mode & 0o777)
    assert taken(snapshots, workspace) != first
    assert len(stored(snapshots)) == before + 1  # the new manifest only


def test_changes_are_told_by_path(workspace: Path, snapshots: Snapshots) -> None:
    before = taken(snapshots, workspace)
    (workspace / "notes" / "a.txt").write_text("ALPHA", encoding="utf-8")
    (workspace / "new.txt").write_text("n", encoding="utf-8")
    (workspace / "run.sh").unlink()
    (workspace / "link").unlink()
    (workspace / "link").symlink_to("elsewhere")
    (workspace / "bare").mkdir()
    after = taken(snapshots, workspace)
    assert snapshots.diff(before, after) == [
        ("added", "bare"),
        ("changed", "link"),
        ("added", "new.txt"),
        ("changed", "notes/a.txt"),
        ("removed", "run.sh"),
    ]
    assert snapshots.diff(after, after) == []
    assert snapshots.read(before, "notes/a.txt") == b"alpha"


def test_a_file_rewritten_at_once_with_the_same_size_is_seen(workspace: Path, snapshots: Snapshots) -> None:
    file = workspace / "counter"
    seen = set()
    for number in range(50):  # far within one tick of the file system's clock
        file.write_text(f"{number:02}", encoding="utf-8")
        seen.add(taken(snapshots, workspace))
    assert len(seen) == 50


def test_unchanged_files_are_not_read_again(
    workspace: Path, snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autoagent.snapshots.SETTLED", 0)  # as if all files were old
    snapshot = taken(snapshots, workspace)
    opened: list[str] = []
    monkeypatch.setattr("builtins.open", lambda path, *rest, **more: opened.append(str(path)))
    assert snapshots.take(workspace) == snapshot
    assert opened == []


def test_links_are_never_followed(workspace: Path, snapshots: Snapshots, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("hidden", encoding="utf-8")
    (workspace / "out").symlink_to(secret)
    (workspace / "loop").symlink_to(workspace)
    entries = snapshots.entries(taken(snapshots, workspace))
    assert entries["out"].kind == "link"
    assert not any(name.startswith(("out/", "loop/")) for name in entries)


def test_records_caches_and_version_control_are_left_out(workspace: Path, snapshots: Snapshots) -> None:
    plain = taken(snapshots, workspace)
    for name in (".autoagent", ".git", "__pycache__", ".venv", "node_modules", "notes/.git"):
        (workspace / name).mkdir()
        (workspace / name / "x").write_text("x", encoding="utf-8")
    assert taken(snapshots, workspace) == plain


def test_a_store_inside_the_workspace_does_not_keep_itself(workspace: Path) -> None:
    inside = Snapshots(workspace / "records" / "snapshots")
    first = inside.take(workspace, skip=[workspace / "records"])
    assert inside.take(workspace, skip=[workspace / "records"]) == first


def test_past_the_cap_nothing_is_kept(workspace: Path, tmp_path: Path) -> None:
    small = Snapshots(tmp_path / "small", max_bytes=200)
    assert small.take(workspace) is None
    assert not small.root.exists()
    assert Snapshots(tmp_path / "few", max_files=3).take(workspace) is None


def test_pipes_are_left_out_and_do_not_block(workspace: Path, snapshots: Snapshots) -> None:
    plain = taken(snapshots, workspace)
    os.mkfifo(workspace / "pipe")
    assert taken(snapshots, workspace) == plain


@pytest.mark.skipif(
    os.name != "posix" or os.uname().sysname == "Darwin", reason="needs names that are not UTF-8"
)
def test_odd_names_come_back(workspace: Path, snapshots: Snapshots, tmp_path: Path) -> None:
    names = ["tab\tname", "new\nline", "ünï", os.fsdecode(b"\xff\xfe")]
    for name in names:
        (workspace / name).write_text(name, encoding="utf-8", errors="surrogateescape")
    snapshots.restore(taken(snapshots, workspace), tmp_path / "copy")
    assert {path.name for path in (tmp_path / "copy").iterdir()} >= set(names)


def test_restoring_over_something_is_refused(workspace: Path, snapshots: Snapshots) -> None:
    snapshot = taken(snapshots, workspace)
    with pytest.raises(UsageError, match="not empty"):
        snapshots.restore(snapshot, workspace)


def test_unknown_and_damaged_snapshots_say_so(workspace: Path, snapshots: Snapshots, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no snapshot content"):
        snapshots.restore("0" * 64, tmp_path / "copy")
    snapshot = taken(snapshots, workspace)
    (snapshots.root / snapshot[:2] / snapshot[2:]).write_bytes(b"rubbish")
    with pytest.raises(StoreError, match="damaged"):
        snapshots.diff(snapshot, snapshot)


def test_a_store_that_cannot_be_written_says_so(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match="no snapshot can be kept"):
        Snapshots(tmp_path / "file" / "kept").take(workspace)


def test_threads_may_take_at_once(workspace: Path, snapshots: Snapshots) -> None:
    found: list[str | None] = []
    threads = [threading.Thread(target=lambda: found.append(snapshots.take(workspace))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert not list(snapshots.root.rglob(".new-*"))


def test_what_belongs_to_programs_is_left_out_whatever_it_is(workspace: Path, snapshots: Snapshots) -> None:
    before = snapshots.take(workspace)
    (workspace / ".git").write_text("gitdir: elsewhere", encoding="utf-8")  # as in a worktree
    (workspace / ".venv").symlink_to("/tmp")
    (workspace / "Node_Modules").mkdir()
    assert snapshots.take(workspace) == before


@pytest.mark.parametrize(
    ("entries", "word"),
    [
        ({"../evil": ["file", "a" * 64, 0o644]}, "outside its folder"),
        ({"/etc/evil": ["link", "x", 0]}, "outside its folder"),
        ({"a\0b": ["folder", "", 0o755]}, "outside its folder"),
        ({".git/hooks/pre-commit": ["file", "a" * 64, 0o755]}, "no snapshot may"),
        ({"sub/.autoagent": ["folder", "", 0o755]}, "no snapshot may"),
        ({"a": ["file", "../../../etc/passwd", 0o644]}, "is no file, link or folder"),
        ({"a": ["device", "", 0o644]}, "is no file, link or folder"),
        ({"a": ["file"]}, "is no list of files"),
        (["a"], "is no list of files"),
    ],
)
def test_a_list_of_files_from_elsewhere_cannot_lead_out(
    snapshots: Snapshots, tmp_path: Path, entries: object, word: str
) -> None:
    snapshot = snapshots.keep(json.dumps(entries).encode("ascii"))
    with pytest.raises(StoreError, match=word):
        snapshots.restore(snapshot, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_ctrl_c_is_ctrl_c_also_right_after_a_file_is_in_its_place(
    workspace: Path, snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def struck(source: str, target: Path) -> None:
        replace(source, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", struck)
    with pytest.raises(KeyboardInterrupt):
        snapshots.take(workspace)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere paths are shorter")
def test_a_workspace_with_a_path_too_long_to_look_at_is_not_kept(
    workspace: Path, snapshots: Snapshots
) -> None:
    place = os.open(workspace, os.O_RDONLY)
    for _ in range((4_000 - len(str(workspace))) // 200):
        os.mkdir("d" * 199, dir_fd=place)
        place, above = os.open("d" * 199, os.O_RDONLY, dir_fd=place), place
        os.close(above)
    assert snapshots.take(workspace) is not None
    os.close(os.open("f" * 250, os.O_CREAT | os.O_WRONLY, dir_fd=place))
    os.close(place)
    assert snapshots.take(workspace) is None
