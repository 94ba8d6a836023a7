"""Files and folders in memory: cut at sensible places, cited by lines, nothing stale."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoagent.memory import Memory
from autoagent.memory.chunks import SIZE, chunks
from autoagent.memory.documents import add_files, files_of, forget_vanished
from autoagent.memory.volatile import VolatileMemory

GUIDE = "# Office\n\nIt opens at nine.\n\n## Kitchen\n\n" + "\n\n".join(
    f"Paragraph {number} says that shelf {number} holds the cups of team {number}, and " + "so on, " * 30
    for number in range(8)
)


def add(memory: Memory, *files: Path, root: Path) -> list[tuple[int, int, str]]:
    return [(each.new, each.gone, each.skipped) for each in add_files(memory, files_of(files), root)]


def cited(memory: Memory, query: str) -> str:
    return memory.recall(query)[0].citation


def test_a_document_is_recalled_by_part_and_cited_by_path_and_lines(tmp_path: Path) -> None:
    guide = tmp_path / "notes" / "guide.md"
    guide.parent.mkdir()
    guide.write_text(GUIDE, encoding="utf-8")
    memory = VolatileMemory()
    add(memory, guide, root=tmp_path)
    [best] = memory.recall("cups of team 5", k=1)
    path, _, lines = best.citation.partition(":")
    first, last = map(int, lines.split("-"))
    assert path == best.source == "notes/guide.md"
    told = "\n".join(GUIDE.splitlines()[first - 1 : last])
    assert "the cups of team 5" in told
    assert best.text.endswith(told.strip())
    assert best.text.startswith("## Kitchen")  # the heading it stands under


@given(st.lists(st.text(alphabet="ab #\t,=-é\u4e2d", max_size=1_200), max_size=40))
@settings(max_examples=60, deadline=None)
def test_no_line_is_lost_and_no_part_is_too_long(lines: list[str]) -> None:
    parts = chunks("\n".join(lines), ".md")
    seen = "".join(part.text for part in parts)
    assert all(line.strip()[:300] in seen for line in lines if len(line) <= SIZE)
    assert all(len(part.text) <= SIZE + 200 for part in parts)
    assert all(1 <= part.first <= part.last <= len(lines) for part in parts)


def test_parts_overlap_and_begin_at_headings_and_definitions() -> None:
    lines = [f"line {number} " + "x" * 60 for number in range(40)]
    parts = chunks("\n".join(lines))
    assert all(later.first <= earlier.last for earlier, later in pairwise(parts))
    code = "\n\n".join(f"def f{n}(x):\n" + "    x += 1  # and a long comment on it\n" * 8 for n in range(4))
    assert [part.text.split("(")[0] for part in chunks(code, ".py")] == [
        "def f0",
        "def f1",
        "def f2",
        "def f3",
    ]


def test_rows_of_a_table_keep_its_header() -> None:
    rows = "\n".join(f"{number},part {number},{number * 3} EUR" for number in range(200))
    parts = chunks("id,name,price\n" + rows, ".csv")
    assert len(parts) > 3
    assert all(part.text.startswith("id,name,price\n") for part in parts)


def test_a_page_is_read_as_people_see_it(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        "<html><head><style>b {color: red}</style>\n<script>var hidden = 1</script></head>\n<body>\n"
        "<h1>Opening hours</h1><p>The office\nopens at <b>nine</b>.</p></body></html>",
        encoding="utf-8",
    )
    memory = VolatileMemory()
    add(memory, page, root=tmp_path)
    [found] = memory.recall("when does the office open")
    assert found.text == "# Opening hours The office\nopens at nine."
    assert found.citation == "page.html:4-5"


def test_a_very_long_line_is_cut_between_words() -> None:
    parts = chunks('{"a": ' + ", ".join(f'"word{n}"' for n in range(500)) + "}", ".json")
    assert len(parts) > 5
    assert all(part.text.rstrip().endswith((",", "}")) for part in parts)


def test_adding_a_changed_file_again_leaves_nothing_stale(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("the door code is 1111\n" + "x" * 700 + "\n\nthe gate code is 5555", encoding="utf-8")
    memory = VolatileMemory()
    memory.add("a fact about a.txt", source="a.txt")
    assert add(memory, file, root=tmp_path) == [(2, 0, "")]
    assert add(memory, file, root=tmp_path) == [(0, 0, "")]
    file.write_text("the door code is 2222\n" + "x" * 700 + "\n\nthe gate code is 5555", encoding="utf-8")
    assert add(memory, file, root=tmp_path) == [(1, 1, "")]
    assert memory.recall("door code")[0].text[:21] == "the door code is 2222"
    assert not [each for each in memory.entries() if "1111" in each.text]
    assert memory.count() == 3  # the fact is not part of the document
    file.write_text("# moved down\n\n\nthe door code is 2222", encoding="utf-8")
    add(memory, file, root=tmp_path)
    assert cited(memory, "door code") == "a.txt:1-4"


def test_a_folder_without_what_is_no_text_or_not_meant(tmp_path: Path) -> None:
    for name, data in {
        "a.md": b"apples",
        "sub/b.txt": b"\xef\xbb\xbfbananas",
        "sub/wide.txt": "cherries".encode("utf-16"),
        "picture.png": b"\x89PNG\0\0",
        "latin.txt": b"caf\xe9",
        "empty.txt": b" \n",
        ".git/config": b"hidden",
        ".env": b"secret",
        "node_modules/x.js": b"library",
        "env/pyvenv.cfg": b"home = /usr",
        "env/lib.py": b"library",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "link.md").symlink_to(tmp_path / "a.md")
    memory = VolatileMemory()
    results = {each.source: each.skipped for each in add_files(memory, files_of([tmp_path]), tmp_path)}
    assert results == {
        "a.md": "",
        "sub/b.txt": "",
        "sub/wide.txt": "",
        "empty.txt": "empty",
        "latin.txt": "not UTF-8 text",
        "picture.png": "binary",
    }
    assert [each.text for each in memory.recall("bananas")] == ["bananas"]
    assert memory.count() == 3
    (tmp_path / "sub/b.txt").unlink()
    assert forget_vanished(memory, tmp_path / "sub", tmp_path) == 1
    assert memory.recall("bananas") == []
    assert memory.count() == 2


def test_a_file_that_cannot_be_read_is_skipped_with_the_reason(tmp_path: Path) -> None:
    assert add(VolatileMemory(), tmp_path / "nope.txt", root=tmp_path) == [
        (0, 0, "No such file or directory")
    ]
    huge = tmp_path / "huge.log"
    with huge.open("wb") as file:
        file.truncate(10_000_001)
    assert add(VolatileMemory(), huge, root=tmp_path) == [(0, 0, "larger than 10 MB")]


def test_a_file_outside_of_the_project_is_cited_by_its_whole_path(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("apples", encoding="utf-8")
    memory = VolatileMemory()
    add(memory, file, root=tmp_path / "project")
    assert cited(memory, "apples") == f"{file}:1-1"


@pytest.mark.parametrize("name", ["odd\udce9name.txt", "with\nnewline.txt"])
def test_odd_file_names(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("apples", encoding="utf-8")
    memory = VolatileMemory()
    assert add(memory, tmp_path, root=tmp_path) == [(1, 0, "")]
    assert memory.recall("apples")[0].source.startswith(("odd", "with"))
