"""Text of files: counted, extracted, replaced, sorted, compared."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from autoagent.errors import InvalidCall, ToolError
from autoagent.tools import Context, Toolbox, builtin_tools
from autoagent.workspace import Workspace

from .conftest import Use

WRITES = {
    "replace_all": {"old": "a", "new": "b"},
    "replace_line": {"number": 1, "text": "b"},
    "sort_lines": {},
}


def put(root: Path, content: str | bytes, name: str = "a.txt") -> Path:
    path = root / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("content", "lines", "words", "characters"),
    [
        ("one two\nthree\n", "2", "3", "13"),
        ("one two\nthree", "2", "3", "13"),
        ("a\r\n\r\nb\r\n", "3", "2", "4"),
        ("\ufeffé\n", "1", "1", "1"),
        ("", "0", "0", "0"),
    ],
    ids=["lines", "no line end", "Windows", "byte order mark", "empty"],
)
def test_lines_words_and_characters_are_counted(
    use: Use, root: Path, content: str, lines: str, words: str, characters: str
) -> None:
    put(root, content)
    for what, number in (("lines", lines), ("words", words), ("characters", characters)):
        assert use("count_text", path="a.txt", what=what) == number
    with pytest.raises(InvalidCall, match="count_text: what: Input should be 'lines', 'words' or"):
        use("count_text", path="a.txt", what="pages")


def test_how_often_a_text_stands_there_is_counted_whatever_its_case(use: Use, root: Path) -> None:
    put(root, "Milk and milk,\r\nbuttermilk\r\n")
    assert use("count_matches", path="a.txt", text="milk") == "3"
    assert use("count_matches", path="a.txt", text=",\nbutter") == "1"
    assert use("count_matches", path="a.txt", text="tea") == "0"
    with pytest.raises(ToolError, match="the text is empty"):
        use("count_matches", path="a.txt", text="")


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        (
            "Ask bob@x.org, or <ann.b+c@mail.example.com>. BOB@X.ORG",
            "emails",
            "bob@x.org ann.b+c@mail.example.com",
        ),
        ("no one@ and @two or a@b", "emails", ""),
        (
            "See https://a.org/x?y=1, (http://b.org/) or www.c.net!",
            "links",
            "https://a.org/x?y=1 http://b.org/ www.c.net",
        ),
        ("2026-03-01; 2026-13-01, 2026-03-015, 2026-03-01", "dates", "2026-03-01"),
        ("1.2.2024 and 1/2/24, not 1/2.24", "dates", "1.2.2024 1/2/24"),
        ("3 apples, -2.5 pears, 10-20 plums, 3 more", "numbers", "3 -2.5 10 20 3"),
        ("1,200.50 of 1,000,000; 1,2,3", "numbers", "1,200.50 1,000,000 1 2 3"),
        ("12kg, 5%, $7. B12 v1.2.3", "numbers", "12 5 7"),
        ("on 2026-03-01 at 10:30 to a1@b2.org https://x.org/9: 4", "numbers", "4"),
    ],
)
def test_what_is_of_a_kind_is_extracted(use: Use, root: Path, text: str, kind: str, found: str) -> None:
    put(root, text)
    assert use("extract_text", path="a.txt", kind=kind) == (
        found.replace(" ", "\n") or f"There are no {kind}."
    )


def test_dates_with_the_name_of_the_month_are_extracted(use: Use, root: Path) -> None:
    put(root, "3 March 2026, Mar. 4, 2026, May 5th, 2026 and the 1st Sept 2026")
    assert use("extract_text", path="a.txt", kind="dates").splitlines() == [
        *("3 March 2026", "Mar. 4, 2026", "May 5th, 2026", "1st Sept 2026"),
    ]


@pytest.mark.parametrize("kind", ["emails", "numbers", "dates", "links"])
@pytest.mark.parametrize("piece", ["a", "1", "a.", "1.", "1,111", "a@", "-", "http://", "1-", "May "])
def test_no_text_takes_for_ever(use: Use, root: Path, kind: str, piece: str) -> None:
    put(root, piece * (200_000 // len(piece)))
    began = time.monotonic()
    use("extract_text", path="a.txt", kind=kind)
    assert time.monotonic() - began < 5


def test_every_occurrence_is_replaced(use: Use, root: Path) -> None:
    path = put(root, "red\r\nblue\r\nred, Red\r\n")
    assert use("replace_all", path="a.txt", old="red", new="green") == "Replaced 2 times in a.txt."
    assert use("replace_all", path="a.txt", old="green\nblue", new="one\ntwo") == "Replaced 1 time in a.txt."
    assert path.read_bytes() == b"one\r\ntwo\r\ngreen, Red\r\n"
    for missing in ("red", ""):
        with pytest.raises(ToolError, match=r"does not stand in a\.txt; read it"):
            use("replace_all", path="a.txt", old=missing, new="x")


def test_a_text_that_would_become_huge_is_left_as_it_is(use: Use, root: Path) -> None:
    path = put(root, "a" * 1000)
    with pytest.raises(ToolError, match=r"a\.txt would become too large"):
        use("replace_all", path="a.txt", old="a", new="b" * 200_000)
    assert path.read_bytes() == b"a" * 1000


def test_a_line_is_replaced_and_the_rest_stays(use: Use, root: Path) -> None:
    path = put(root, b"\xef\xbb\xbfone\r\ntwo\nthree")
    assert use("replace_line", path="a.txt", number=1, text="1") == "Replaced line 1 of a.txt."
    assert use("replace_line", path="a.txt", number=3, text="3\n") == "Replaced line 3 of a.txt."
    assert path.read_bytes() == b"\xef\xbb\xbf1\r\ntwo\n3"
    use("replace_line", path="a.txt", number=1, text="a\nb")
    assert path.read_bytes() == b"\xef\xbb\xbfa\r\nb\r\ntwo\n3"
    for number in (0, -1, 5):
        with pytest.raises(ToolError, match=f"a.txt has no line {number}; its lines are 1 to 4"):
            use("replace_line", path="a.txt", number=number, text="x")
    put(root, "")
    with pytest.raises(ToolError, match=r"a\.txt is empty"):
        use("replace_line", path="a.txt", number=1, text="x")


@pytest.mark.parametrize(
    ("content", "order", "after"),
    [
        ("pear\nApple\nfig\n", "ascending", "Apple\nfig\npear\n"),
        ("pear\nApple\nfig", "descending", "pear\nfig\nApple"),
        ("10\n9\n-1.5\n1e1\n", "ascending", "-1.5\n9\n10\n1e1\n"),
        ("10\n9\n11\n", "descending", "11\n10\n9\n"),
        ("10\n9\nx\n", "ascending", "10\n9\nx\n"),
        ("b\r\n\r\na\r\n", "ascending", "a\r\nb\r\n\r\n"),
        ("\ufeffb\na\n", "ascending", "\ufeffa\nb\n"),
        ("9007199254740993\n9007199254740992\n", "ascending", "9007199254740992\n9007199254740993\n"),
        ("nan\n2\n10\n", "ascending", "10\n2\nnan\n"),
        ("", "ascending", ""),
    ],
)
def test_lines_are_sorted(use: Use, root: Path, content: str, order: str, after: str) -> None:
    path = put(root, content)
    number = len(content.split())
    assert use("sort_lines", path="a.txt", order=order) == f"Sorted {number} lines of a.txt."
    assert path.read_bytes() == after.encode()


def test_two_files_are_compared_by_their_lines(use: Use, root: Path) -> None:
    put(root, "a\nb\nb\n\n")
    put(root, "a\r\nb\r\nb\r\n\r\n", "same.txt")
    put(root, "b\na\nc\n", "other.txt")
    put(root, "b\na\nb\n\n", "order.txt")
    assert use("compare_files", first="a.txt", second="same.txt") == "They are the same."
    assert (
        use("compare_files", first="a.txt", second="order.txt")
        == "They have the same lines in another order."
    )
    assert use("compare_files", first="a.txt", second="other.txt").splitlines() == [
        "Only in a.txt: b",
        "Only in a.txt: (an empty line)",
        "Only in other.txt: c",
    ]
    put(root, "".join(f"{number}\n" for number in range(100)), "long.txt")
    said = use("compare_files", first="a.txt", second="long.txt").splitlines()
    assert said[-2:] == ["Only in long.txt: 19", "… 80 more lines only in long.txt"]


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("count_text", {"what": "words"}),
        ("count_matches", {"text": "a"}),
        ("extract_text", {"kind": "numbers"}),
        *WRITES.items(),
    ],
)
def test_what_cannot_be_read_is_said(use: Use, root: Path, tool: str, arguments: dict[str, Any]) -> None:
    put(root, b"\xff")
    (root / "folder").mkdir()
    for path, said in (
        ("none.txt", "no such file: none.txt"),
        ("a.txt", "is not UTF-8 text"),
        ("folder", "is a folder, not a file"),
        ("../a.txt", "is outside the workspace"),
    ):
        with pytest.raises(ToolError, match=said):
            use(tool, path=path, **arguments)


@pytest.mark.parametrize(("tool", "arguments"), WRITES.items())
def test_what_the_run_has_put_aside_can_only_be_read(
    root: Path, tmp_path: Path, tool: str, arguments: dict[str, Any]
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    put(kept, "a\n", "long.txt")
    context = Context(Workspace(root, attached=kept))
    tools = Toolbox(builtin_tools())
    with pytest.raises(ToolError, match=r"@kept/long\.txt can only be read"):
        tools[tool]({"path": "@kept/long.txt", **arguments}, context)
    assert tools["count_text"]({"path": "@kept/long.txt", "what": "lines"}, context) == "1"
