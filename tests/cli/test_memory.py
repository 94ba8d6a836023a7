"""``autoagent memory`` as a user types it."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoagent.cli import Exit
from autoagent.memory import open_memory

from .conftest import Cli, assert_one_line


@pytest.fixture
def notes(workspace: Path) -> Path:
    folder = workspace / "notes"
    folder.mkdir()
    (folder / "office.md").write_text("# Office\n\nIt opens at nine.\n", encoding="utf-8")
    (folder / "prices.csv").write_text("part,price\nbolt,3\n", encoding="utf-8")
    (folder / "logo.png").write_bytes(b"\x89PNG\0\0")
    return folder


@pytest.mark.parametrize("command", ["list", "stats", "search", "reindex"])
def test_an_empty_memory_says_so_and_is_not_made(cli: Cli, home: Path, command: str) -> None:
    done = cli("memory", command, *(["x"] if command == "search" else []))
    assert (done.code, done.out) == (Exit.OK, "")
    assert done.err.count("\n") == 1
    assert done.err.startswith("Nothing")
    assert not home.exists()


def test_a_folder_is_read_cited_and_kept_up_to_date(cli: Cli, notes: Path) -> None:
    done = cli("memory", "add", "notes")
    assert (done.code, done.out) == (Exit.OK, "2 chunks of 2 files added\n")
    assert done.err == "skipped 1 file: 1 binary\n"
    assert cli("memory", "add", "notes").out == "nothing new; 2 files unchanged\n"
    place = notes / "office.md"
    [best] = cli("memory", "search", "when does the office open", "-n", "1", "--json").json
    assert (best["citation"], best["source"]) == (f"{place}:1-3", str(place))
    assert f"{place}:1-3  # Office It opens at nine." in cli("memory", "search", "opens at nine").out
    place.write_text("# Office\n\nIt opens at ten.\n", encoding="utf-8")
    (notes / "prices.csv").unlink()
    done = cli("memory", "add", "notes")
    assert done.out == "1 chunk of 1 file added; 1 old chunk replaced; 1 file no longer there, forgotten\n"
    assert "ten" in cli("memory", "list").out
    assert cli("memory", "search", "bolt").out == ""
    assert cli("memory", "forget", "--source", "notes").out == "forgot 1\n"


def test_files_may_be_named_one_by_one_and_a_text_that_is_also_a_file_can_be_forced(
    cli: Cli, notes: Path
) -> None:
    assert cli("memory", "add", "notes/office.md", "notes/prices.csv").out == "2 chunks of 2 files added\n"
    id = cli("memory", "add", "--text", "notes").out.strip()
    assert f"{id}  notes\n" in cli("memory", "recall", "notes").out
    assert cli("memory", "add", "-", stdin=b"from a pipe\n").code == Exit.OK
    assert "from a pipe" in cli("memory", "search", "pipe").out


def test_list_filters_by_kind_and_source_newest_first(cli: Cli, notes: Path) -> None:
    cli("memory", "add", "an early fact", "--source", "letter")
    cli("memory", "add", "notes")
    cli("memory", "add", "to release, tag and push", "--kind", "procedural")
    texts = [each["text"] for each in cli("memory", "list", "--json").json]
    assert (texts[0], texts[-1], len(texts)) == ("to release, tag and push", "an early fact", 4)
    assert len(cli("memory", "list", "-n", "2").out.splitlines()) == 2
    [only] = cli("memory", "list", "--kind", "procedural", "--json").json
    assert only["text"] == texts[0]
    assert only["added"].startswith("20")
    assert [each["text"] for each in cli("memory", "list", "--source", "letter", "--json").json] == [
        "an early fact"
    ]
    assert len(cli("memory", "list", "--source", "notes", "--json").json) == 2
    assert cli("memory", "list", "--kind", "episodic").err == "Nothing of that sort is kept.\n"
    assert cli("memory", "search", "release", "--kind", "semantic").out == ""


def test_stats_count_by_kind_and_source_and_name_place_size_and_embedder(
    cli: Cli, notes: Path, home: Path
) -> None:
    cli("memory", "add", "notes")
    cli("memory", "add", "a fact")
    shown = dict(
        line.rsplit(maxsplit=1) for line in cli("memory", "stats").out.splitlines() if "MB" not in line
    )
    assert (shown["entries"], shown["  semantic"], shown["sources"], shown["  user"]) == ("3", "3", "3", "1")
    assert (shown["embedder"], shown["where"]) == ("grams-384-v1", str(home / "memory"))
    found = cli("memory", "stats", "--json").json
    assert (found["entries"], found["kinds"], found["sources"]["user"]) == (3, {"semantic": 3}, 1)
    assert found["bytes"] > 10_000


def test_forgetting_everything_asks_first_or_wants_yes(cli: Cli) -> None:
    for number in range(3):
        cli("memory", "add", f"fact {number}")
    assert_one_line(cli("memory", "forget", "--all"), Exit.USAGE, "--all needs --yes")
    assert cli("memory", "forget", "--all", "--yes").out == "forgot 3\n"
    assert cli("memory", "forget", "--all", "--yes").out == "forgot 0\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["add", " "], "the text is empty"),
        (["add", "the", "wifi", "is", "on"], 'put quotes around one: "the wifi is on"'),
        (["add", "notes/nope.md"], "there is no file or folder notes/nope.md"),
        (["add", "notes/office.md", "nope.md"], "there is no file or folder nope.md"),
        (["add", "notes/logo.png"], "there is no text in what was named"),
        (["forget"], "say what to forget"),
        (["forget", "abc", "--all"], "say what to forget"),
        (["forget", "abc"], "there is nothing with such an id"),
        (["forget", "--source", "nobody"], "there is nothing from nobody"),
        (["list", "--kind", "fact"], "fact"),
    ],
)
def test_bad_input_is_one_clear_line(cli: Cli, notes: Path, arguments: list[str], words: str) -> None:
    done = cli("memory", *arguments)
    assert (done.code, done.out) == (Exit.USAGE, "")
    assert done.err.splitlines()[-1].startswith("autoagent: error: ")
    assert words in done.err


def test_a_held_memory_and_an_unreachable_server_are_one_clear_line(
    cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = open_memory(home)
    monkeypatch.setattr("autoagent.cli.memory._WAIT", 0.1)
    assert_one_line(cli("memory", "list"), Exit.ERROR, "in use by another process")
    holder.close()
    monkeypatch.setenv("AUTOAGENT_MEMORY_URL", "http://127.0.0.1:1")
    assert_one_line(cli("memory", "list"), Exit.ERROR, "server at http://127.0.0.1:1 cannot be reached")


def test_the_embedder_of_the_settings_is_used(cli: Cli, home: Path, tmp_path: Path) -> None:
    cli("memory", "add", "a fact")
    (home / "config.toml").write_text(f'memory_embedder = "{tmp_path}/none"\n', encoding="utf-8")
    done = cli("memory", "list")
    assert (done.code, done.out) == (Exit.USAGE, "")
    assert f"memory_embedder {tmp_path}/none is no folder" in done.err
    (home / "config.toml").unlink()
    assert cli("memory", "reindex").out == "1 entry is embedded with grams-384-v1\n"
