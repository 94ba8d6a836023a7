"""No path leads out of the workspace: not by ``..``, not by a link, not by anything a model can spell."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoagent.errors import Recoverable, ToolError
from autoagent.tools import Context, Toolbox, builtin_tools
from autoagent.workspace import Workspace

SECRET = "the secret of the outside"
PARTS = st.sampled_from(
    [
        *(".. . a b.txt new in out up file dead round root own ~ secret.txt outside workspace".split()),
        *("", " ", "é", "a\0b", "x" * 300, "\\..\\", "%2e%2e", ".autoagent", "\udcff"),
    ]
)
LINKS = {
    "in": "a",
    "up": "..",
    "out": "../outside",
    "file": "../outside/secret.txt",
    "root": "/",
    "own": ".autoagent",
    "dead": "nowhere",
    "round": "round",
}
PATHS = st.builds(
    lambda start, parts: start + "/".join(parts),
    st.sampled_from(["", "", "", "/", "//", "{top}/", "{top}/workspace/", "{top}/workspace/../"]),
    st.lists(PARTS, max_size=6),
)
ANY = PATHS | st.text(max_size=12)


@contextmanager
def world() -> Iterator[tuple[Path, Workspace]]:
    """A folder with a workspace, full of links, and what lies outside it."""
    with tempfile.TemporaryDirectory() as name:
        top = Path(name).resolve()
        root = top / "workspace"
        (root / "a").mkdir(parents=True)
        (root / ".autoagent").mkdir()
        (top / "outside").mkdir()
        (root / "a" / "b.txt").write_text("inside", encoding="utf-8")
        (root / ".autoagent" / "config.toml").write_text(SECRET, encoding="utf-8")
        (top / "outside" / "secret.txt").write_text(SECRET, encoding="utf-8")
        for link, target in LINKS.items():
            os.symlink(target, root / link)
        yield top, Workspace.at(root)


def outside(top: Path) -> dict[str, bytes]:
    """All that must stay as it is."""
    places = (top / "outside", top / "workspace" / ".autoagent")
    return {str(path): path.read_bytes() for place in places for path in place.rglob("*")}


@given(ANY)
@settings(max_examples=200, deadline=None)
def test_a_path_is_inside_or_refused(path: str) -> None:
    with world() as (top, workspace):
        try:
            found = workspace.path(path.replace("{top}", str(top)))
        except ToolError:
            return
        real = Path(os.path.realpath(found))
        assert real == workspace.root or workspace.root in real.parents
        assert ".autoagent" not in real.relative_to(workspace.root).parts
        assert found == workspace.root / workspace.name(found)


ARGUMENTS = {
    "list_files": ["folder"],
    "read_file": ["path"],
    "write_file": ["path", "content"],
    "append_file": ["path", "content"],
    "edit_file": ["path", "old", "new"],
    "move_file": ["source", "target"],
    "delete_file": ["path"],
    "find_file": ["name"],
    "search_files": ["text"],
    "show_table": ["path"],
    "replace_all": ["path", "old", "new"],
    "compare_files": ["first", "second"],
    "join_tables": ["first", "second", "column", "target"],
}
CALLS = st.sampled_from(sorted(ARGUMENTS)).flatmap(
    lambda tool: st.tuples(st.just(tool), st.tuples(*[ANY for _ in ARGUMENTS[tool]]))
)


@given(st.lists(CALLS, min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
def test_no_calls_reveal_or_change_what_is_outside(calls: list[tuple[str, tuple[str, ...]]]) -> None:
    tools = Toolbox(builtin_tools())
    with world() as (top, workspace):
        before = outside(top)
        for tool, values in calls:
            spelt = [value.replace("{top}", str(top)) for value in values]
            arguments: dict[str, Any] = dict(zip(ARGUMENTS[tool], spelt, strict=True))
            try:
                answer = tools[tool](arguments, Context(workspace=workspace))
            except Recoverable as error:
                answer = str(error)
            assert SECRET not in answer
        assert outside(top) == before
        assert {path.name for path in top.iterdir()} == {"workspace", "outside"}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("../outside/secret.txt", "is outside the workspace"),
        ("out/secret.txt", "is outside the workspace"),
        ("file", "is outside the workspace"),
        ("/etc/passwd", "is outside the workspace"),
        ("a/../../x", "is outside the workspace"),
        ("round", "leads to itself|Too many levels"),
        ("a\0b", "cannot contain a NUL character"),
        (".autoagent/config.toml", "is out of bounds"),
        ("own/config.toml", "is out of bounds"),
        ("a/.autoagent/config.toml", "is out of bounds"),
    ],
)
def test_the_model_is_told_why(path: str, said: str) -> None:
    with world() as (_, workspace), pytest.raises(ToolError, match=said):
        Toolbox(builtin_tools())["read_file"]({"path": path}, Context(workspace=workspace))


def test_links_inside_are_followed_when_read_and_meant_themselves_when_moved_or_deleted() -> None:
    tools = Toolbox(builtin_tools())
    with world() as (_, workspace):
        context = Context(workspace=workspace)
        assert tools["read_file"]({"path": "in/b.txt"}, context) == "inside"
        tools["write_file"]({"path": "dead", "content": "found"}, context)
        assert (workspace.root / "nowhere").read_text(encoding="utf-8") == "found\n"
        tools["move_file"]({"source": "dead", "target": "link"}, context)
        assert os.readlink(workspace.root / "link") == "nowhere"
        tools["delete_file"]({"path": "link"}, context)
        tools["delete_file"]({"path": "in"}, context)
        assert not os.path.lexists(workspace.root / "link")
        assert (workspace.root / "nowhere").exists()
        assert (workspace.root / "a" / "b.txt").exists()


def test_searching_does_not_look_through_links_that_lead_out() -> None:
    with world() as (_, workspace):
        found = Toolbox(builtin_tools())["search_files"]({"text": "secret"}, Context(workspace=workspace))
        assert found == "No file contains secret."
