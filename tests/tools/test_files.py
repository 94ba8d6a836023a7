"""The file tools do what they say, say what they cannot, and damage nothing they were not asked to touch."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoagent.errors import ToolError
from autoagent.tools import Context, Toolbox, builtin_tools
from autoagent.workspace import Workspace

from .conftest import Use


@pytest.fixture(autouse=True)
def _files(root: Path) -> None:
    (root / "docs" / "old").mkdir(parents=True)
    (root / "notes.txt").write_text("milk\nbread\n", encoding="utf-8")
    (root / "docs" / "Plan.md").write_text("Buy bread first", encoding="utf-8")
    (root / "empty.txt").write_text("", encoding="utf-8")
    (root / "latin.txt").write_bytes("café\n".encode("latin-1"))
    for hidden in (".git", ".autoagent", "__pycache__"):
        (root / hidden).mkdir()
        (root / hidden / "bread.txt").write_text("bread", encoding="utf-8")


@pytest.mark.parametrize(
    ("tool", "arguments", "answer"),
    [
        ("list_files", {}, "docs/\nempty.txt\nlatin.txt\nnotes.txt"),
        ("list_files", {"folder": "docs"}, "Plan.md\nold/"),
        ("list_files", {"folder": "docs/old/"}, "The folder is empty."),
        ("read_file", {"path": "notes.txt"}, "milk\nbread"),
        ("read_file", {"path": "./docs/../notes.txt"}, "milk\nbread"),
        ("read_file", {"path": "empty.txt"}, "The file is empty."),
        ("find_file", {"name": "plan"}, "docs/Plan.md"),
        ("find_file", {"name": "*.txt"}, "empty.txt\nlatin.txt\nnotes.txt"),
        ("find_file", {"name": "nothing"}, "No file matches nothing."),
        ("search_files", {"text": "BREAD"}, "notes.txt:2: bread\ndocs/Plan.md:1: Buy bread first"),
        ("search_files", {"text": "tea"}, "No file contains tea."),
    ],
)
def test_looking(use: Use, tool: str, arguments: dict[str, str], answer: str) -> None:
    assert use(tool, **arguments) == answer


@pytest.mark.parametrize(
    ("tool", "arguments", "file", "content"),
    [
        ("write_file", {"path": "new/a.txt", "content": "hi"}, "new/a.txt", "hi\n"),
        ("write_file", {"path": "notes.txt", "content": "x\n"}, "notes.txt", "x\n"),
        ("write_file", {"path": "notes.txt", "content": ""}, "notes.txt", ""),
        ("append_file", {"path": "notes.txt", "content": "tea"}, "notes.txt", "milk\nbread\ntea\n"),
        ("append_file", {"path": "docs/Plan.md", "content": "x"}, "docs/Plan.md", "Buy bread first\nx\n"),
        ("append_file", {"path": "new.txt", "content": "tea\n"}, "new.txt", "tea\n"),
        ("edit_file", {"path": "notes.txt", "old": "milk", "new": "tea"}, "notes.txt", "tea\nbread\n"),
        ("edit_file", {"path": "notes.txt", "old": "milk\n", "new": ""}, "notes.txt", "bread\n"),
        ("move_file", {"source": "notes.txt", "target": "docs"}, "docs/notes.txt", "milk\nbread\n"),
        ("move_file", {"source": "notes.txt", "target": "a/b/c.txt"}, "a/b/c.txt", "milk\nbread\n"),
        ("move_file", {"source": "docs", "target": "papers"}, "papers/Plan.md", "Buy bread first"),
    ],
)
def test_changing(
    use: Use, root: Path, tool: str, arguments: dict[str, str], file: str, content: str
) -> None:
    use(tool, **arguments)
    assert (root / file).read_bytes() == content.encode()
    if tool == "move_file":
        assert not (root / arguments["source"]).exists()


def test_deleting(use: Use, root: Path) -> None:
    assert use("delete_file", path="notes.txt") == "Deleted notes.txt."
    assert not (root / "notes.txt").exists()


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("list_files", {"folder": "nowhere"}, "no such folder: nowhere"),
        ("read_file", {"path": "nowhere.txt"}, "no such file: nowhere.txt"),
        ("read_file", {"path": "docs"}, "docs is a folder, not a file"),
        ("read_file", {"path": "notes.txt/below"}, "notes.txt/below cannot be read: Not a directory"),
        ("read_file", {"path": "latin.txt"}, "latin.txt is not UTF-8 text"),
        ("edit_file", {"path": "latin.txt", "old": "c", "new": "d"}, "latin.txt is not UTF-8 text"),
        ("append_file", {"path": "latin.txt", "content": "x"}, "latin.txt is not UTF-8 text"),
        ("read_file", {"path": "n" * 300}, "cannot be a path: File name too long"),
        ("write_file", {"path": "n" * 300, "content": ""}, "cannot be a path: File name too long"),
        ("read_file", {"path": "\ud800"}, "cannot be a path: Not Unicode text"),
        ("write_file", {"path": "docs", "content": "x"}, "docs is a folder, not a file"),
        ("write_file", {"path": "notes.txt/a/b", "content": "x"}, "cannot be written: Not a directory"),
        ("write_file", {"path": "notes.txt", "content": "x\ud800"}, "half a character"),
        ("edit_file", {"path": "notes.txt", "old": "tea", "new": ""}, "'tea' stands 0 times in notes.txt"),
        ("edit_file", {"path": "notes.txt", "old": "", "new": "x"}, "'' stands 0 times in notes.txt"),
        ("edit_file", {"path": "notes.txt", "old": "b", "new": "x\ud800"}, "half a character"),
        ("edit_file", {"path": "docs/Plan.md", "old": "r", "new": "x"}, "'r' stands 2 times"),
        ("move_file", {"source": "nowhere", "target": "a"}, "no such file: nowhere"),
        ("move_file", {"source": "notes.txt", "target": "empty.txt"}, "empty.txt exists already"),
        ("move_file", {"source": "notes.txt", "target": "."}, "notes.txt exists already"),
        ("move_file", {"source": "notes.txt", "target": "empty.txt/a"}, "cannot be moved to empty.txt/a"),
        ("move_file", {"source": "docs", "target": "docs/old"}, "cannot be moved to docs/old"),
        ("move_file", {"source": ".", "target": "docs"}, "cannot be moved to docs"),
        ("delete_file", {"path": "nowhere"}, "no such file: nowhere"),
        ("delete_file", {"path": "docs"}, "docs is a folder; only files can be deleted"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(
    use: Use, root: Path, tool: str, arguments: dict[str, str], said: str
) -> None:
    before = contents(root)
    with pytest.raises(ToolError) as error:
        use(tool, **arguments)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert contents(root) == before


def contents(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def test_line_ends_of_other_systems_are_hidden_from_the_model_and_kept_in_the_file(
    use: Use, root: Path
) -> None:
    (root / "dos.txt").write_bytes(b"one\r\ntwo\r\nthree\r\n")
    assert use("read_file", path="dos.txt") == "one\ntwo\nthree"
    use("edit_file", path="dos.txt", old="one\ntwo", new="1\n2")
    assert (root / "dos.txt").read_bytes() == b"1\r\n2\r\nthree\r\n"
    use("append_file", path="dos.txt", content="four")
    assert (root / "dos.txt").read_bytes() == b"1\r\n2\r\nthree\r\nfour\n"


def test_a_byte_order_mark_is_no_text(use: Use, root: Path) -> None:
    (root / "bom.txt").write_bytes("\ufeffmilk".encode())
    assert use("read_file", path="bom.txt") == "milk"


def test_a_pipe_is_not_waited_for(use: Use, root: Path) -> None:
    os.mkfifo(root / "pipe")
    for tool, more in (
        ("read_file", {}),
        ("append_file", {"content": "x"}),
        ("write_file", {"content": "x"}),
    ):
        with pytest.raises(ToolError, match="pipe is no ordinary file"):
            use(tool, path="pipe", **more)
    assert use("search_files", text="milk") == "notes.txt:1: milk"


def test_a_search_shows_at_most_50_lines(use: Use, root: Path) -> None:
    (root / "long.txt").write_text("needle\n" * 70, encoding="utf-8")
    assert len(use("search_files", text="needle").splitlines()) == 50


@given(text=st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"]), max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_any_text_is_read_back_as_it_was_written(use: Use, text: str) -> None:
    use("write_file", path="any.txt", content=text)
    read: Any = use("read_file", path="any.txt")
    assert read == (text.rstrip("\n").removeprefix("\ufeff") or "The file is empty.")


def test_what_the_run_has_put_aside_is_read_and_never_changed(root: Path, tmp_path: Path) -> None:
    workspace = replace(Workspace.at(root), attached=tmp_path / "kept")
    name = workspace.keep("1.txt", "a long text")
    (root / "a.txt").write_text("mine", encoding="utf-8")
    tools, context = Toolbox(builtin_tools()), Context(workspace=workspace)
    assert tools["read_file"]({"path": name}, context) == "a long text"
    assert tools["show_lines"]({"path": name, "first": 1, "last": 1}, context) == "1: a long text"
    for tool, arguments in {
        "write_file": {"path": name, "content": "x"},
        "append_file": {"path": name, "content": "x"},
        "edit_file": {"path": name, "old": "a", "new": "b"},
        "delete_file": {"path": name},
        "move_file": {"source": "a.txt", "target": name},
    }.items():
        with pytest.raises(ToolError, match="can only be read"):
            tools[tool](arguments, context)
    assert tools["read_file"]({"path": name}, context) == "a long text"
    for odd, why in (("n" * 300, "File name too long"), ("\ud800", "Not Unicode text")):
        with pytest.raises(ToolError, match=f"cannot be a path: {why}"):
            tools["read_file"]({"path": f"@kept/{odd}"}, context)


def test_a_file_with_the_longest_name_there_can_be_is_changed(use: Use, root: Path) -> None:
    name = "字" * 85  # 255 bytes
    (root / name).write_text("one\n", encoding="utf-8")
    use("append_file", path=name, content="two")
    assert (root / name).read_text(encoding="utf-8") == "one\ntwo\n"


def test_what_a_killed_process_left_keeps_nobody_from_writing(use: Use, root: Path) -> None:
    (root / f".notes.txt.{os.getpid()}.new").write_text("half of", encoding="utf-8")
    use("append_file", path="notes.txt", content="tea")
    assert (root / "notes.txt").read_text(encoding="utf-8").endswith("tea\n")
