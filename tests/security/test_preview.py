"""What a person sees before saying yes."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoagent.security import Diff, preview
from autoagent.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "a.txt").write_text("one\ntwo\nthree\n", encoding="utf-8")
    (tmp_path / "b.bin").write_bytes(b"\xff\xfe")
    return Workspace.at(tmp_path)


def body(diff: str) -> list[str]:
    return [line for line in diff.splitlines() if line[0] in "+-" and line[:3] not in ("+++", "---")]


def test_a_change_to_a_file_is_shown_as_a_diff(workspace: Workspace) -> None:
    diff = preview("write_file", {"path": "a.txt", "content": "one\n2\nthree\n"}, workspace)
    assert diff.splitlines()[:2] == ["--- a.txt", "+++ a.txt"]
    assert body(diff) == ["-two", "+2"]
    assert body(preview("append_file", {"path": "a.txt", "content": "four"}, workspace)) == ["+four"]
    edit = {"path": "a.txt", "old": "two", "new": "2\n2"}
    assert body(preview("edit_file", edit, workspace)) == ["-two", "+2", "+2"]
    gone = preview("delete_file", {"path": "a.txt"}, workspace)
    assert "+++ /dev/null" in gone
    assert body(gone) == ["-one", "-two", "-three"]


def test_commands_code_and_addresses_are_shown_whole(workspace: Workspace) -> None:
    assert preview("run_shell", {"command": "ls\nrm x"}, workspace) == "ls\nrm x"
    assert preview("run_python", {"code": "print(1)"}, workspace) == "print(1)"
    assert preview("http_get", {"url": "https://example.org"}, workspace) == "https://example.org"


def test_a_diff_is_one_by_what_the_tool_is_not_by_what_it_looks_like(workspace: Workspace) -> None:
    code = "--- a.txt\n+++ a.txt\nprint(1)"
    shown = preview("run_python", {"code": code}, workspace)
    assert (shown, isinstance(shown, Diff)) == (code, False)
    write = {"path": "a.txt", "content": "x", "command": "ls"}
    assert isinstance(preview("write_file", write, workspace), Diff)
    assert preview("write_file", write, workspace, built_in=False) == "ls"  # another tool of that name


def test_a_diff_shows_every_change_that_would_be_made(workspace: Workspace) -> None:
    many = "".join(f"{number}\n" for number in range(1000))
    assert len(body(preview("write_file", {"path": "a.txt", "content": many}, workspace))) == 1003
    (workspace.root / "f.py").write_text("# now\x0crun()\r\nend", encoding="utf-8", newline="")
    woken = preview("write_file", {"path": "f.py", "content": "# now\nrun()\nend"}, workspace)
    assert woken.split("\n")[3:] == [
        *("-# now\x0crun()\r", "-end", "\\ No newline at end of file"),
        *("+# now", "+run()", "+end"),  # the tool ends the last line
    ]


def test_where_nothing_is_lost_the_call_says_it_all(workspace: Workspace) -> None:
    assert preview("write_file", {"path": "new.txt", "content": "x"}, workspace) == ""
    assert preview("write_file", {"path": "../out", "content": "x"}, workspace) == ""
    assert preview("write_file", {"path": ".", "content": "x"}, workspace) == ""
    assert preview("finetune", {}, workspace) == ""


def test_what_cannot_be_compared_is_said_so(workspace: Workspace) -> None:
    assert "would be deleted" in preview("delete_file", {"path": "b.bin"}, workspace)
    (workspace.root / "c.txt").write_text("x\n" * 600_000, encoding="utf-8")
    assert "too long to show" in preview("write_file", {"path": "c.txt", "content": ""}, workspace)
