"""Parts of files: ranges of lines, and patterns."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from autoagent.errors import ToolError

from .conftest import Use


def test_a_range_of_lines_is_read(use: Use, root: Path) -> None:
    (root / "a.txt").write_text("".join(f"line {number}\n" for number in range(1, 101)), encoding="utf-8")
    assert use("show_lines", path="a.txt", first=2, last=3) == "2: line 2\n3: line 3"
    assert use("show_lines", path="a.txt", first=100, last=999) == "100: line 100"
    for first, last in ((0, 3), (5, 4), (-1, -1)):
        with pytest.raises(ToolError, match="is no range of lines"):
            use("show_lines", path="a.txt", first=first, last=last)
    with pytest.raises(ToolError, match="has only 100 lines"):
        use("show_lines", path="a.txt", first=101, last=102)


def test_a_pattern_is_searched_for(use: Use, root: Path) -> None:
    (root / "docs").mkdir()
    (root / "docs" / "a.txt").write_text("order 12\nno number\norder 345\n", encoding="utf-8")
    (root / "b.txt").write_text("order 7\n", encoding="utf-8")
    (root / "c.bin").write_bytes(b"order 8\xff")
    assert use("search_pattern", pattern=r"order \d+$") == (
        "b.txt:1: order 7\ndocs/a.txt:1: order 12\ndocs/a.txt:3: order 345"
    )
    assert use("search_pattern", pattern=r"\d{3}", folder="docs") == "docs/a.txt:3: order 345"
    assert use("search_pattern", pattern="zebra") == "Nothing fits zebra."
    for odd in ("(", "(?a)(?u)x"):
        with pytest.raises(ToolError, match="is not a regular expression: "):
            use("search_pattern", pattern=odd)
    with pytest.raises(ToolError, match="no such folder: nowhere"):
        use("search_pattern", pattern="a", folder="nowhere")
    with pytest.raises(ToolError, match="outside the workspace"):
        use("search_pattern", pattern="a", folder="..")


def test_a_pattern_that_would_take_years_is_given_up(use: Use, root: Path) -> None:
    (root / "a.txt").write_text("a" * 60 + "!b\n", encoding="utf-8")
    began = time.monotonic()
    with pytest.raises(ToolError, match=r"takes too long on a\.txt"):
        use("search_pattern", pattern=r"(a|aa|a?)+b")
    assert time.monotonic() - began < 40


def test_a_pattern_that_would_take_all_memory_is_given_up(use: Use, root: Path) -> None:
    (root / "a.txt").write_text("order 12\n", encoding="utf-8")
    with pytest.raises(ToolError, match=r"takes too much memory on a\.txt"):
        use("search_pattern", pattern="(?R)")  # itself, and again, and again
