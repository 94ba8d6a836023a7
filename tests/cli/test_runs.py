"""``autoagent runs`` as people use it: look at a run, compare, undo, export, import, remove, check."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from autoagent.cli import Exit
from autoagent.store import Store
from autoagent.trajectory import Counts, Observation, Permission, Reply, Step

from .conftest import Cli, assert_one_line, call

WRITES: list[Any] = [
    ["write it", "finish"],
    ("1. write it", call("write_file", path="out.txt", content="42\n")),
    ("1. write it", call("edit_file", path="notes.md", old="open", new="done")),
    ("2. finish", call("finish", answer="it is written")),
]


@pytest.fixture
def written(cli: Cli, workspace: Path) -> str:
    """The id of a run that made out.txt in step 1 and changed notes.md in step 2."""
    (workspace / "notes.md").write_text("# Notes\nopen\n", encoding="utf-8")
    done = cli(
        "run",
        "-g",
        "write 42 to out.txt, then edit the text of notes.md",
        "--output-format",
        "json",
        script=WRITES,
    )
    assert done.code == 0, done.err
    return str(done.json["run_id"])


def test_runs_are_filtered(cli: Cli, written: str) -> None:
    cli("run", "-g", "only think", "--expect", "43")
    assert [run["goal"] for run in cli("runs", "list", "--verdict", "refuted", "--json").json] == [
        "only think"
    ]
    (run,) = cli("runs", "list", "--verdict", "unverified", "--ending", "finished", "--json").json
    assert (run["run_id"], run["state"]) == (written, "finished")
    assert len(cli("runs", "list", "--suite", "", "--model", run["model"]).out.splitlines()) == 2
    cli("runs", "correct", written, "--finish", "another way", "--good")
    (corrected,) = cli("runs", "list", "--tag", "correction", "--tag", "nothing", "--json").json
    assert (corrected["tags"], corrected["run_id"] == written) == (["correction"], False)
    exported = cli("runs", "export", "--all", "--tag", "correction", "--format", "messages")
    assert len(exported.out.splitlines()) == 1
    none = cli("runs", "list", "--ending", "stuck")
    assert (none.code, none.out) == (0, "")
    assert "No run fits" in none.err
    assert_one_line(cli("runs", "list", "--ending", "great"), Exit.USAGE, "choose one of finished")


def test_the_conversation_is_shown_word_for_word(cli: Cli, written: str) -> None:
    shown = cli("runs", "show", written, "--messages")
    assert "── system" in shown.out
    assert "write 42" in shown.out
    assert "Wrote out.txt." in shown.out
    roles = [message["role"] for message in cli("runs", "show", "--messages", "--json").json]
    assert roles[:3] == ["system", "user", "assistant"]


def test_the_prompt_of_a_step_is_what_the_model_saw(cli: Cli, written: str) -> None:
    first = cli("runs", "show", written, "--prompt", "0", "--json").json
    assert [message["role"] for message in first] == ["system", "user"]
    second = cli("runs", "show", "--prompt", "2", "--json").json
    assert second[-1]["content"] == "Wrote out.txt."
    assert_one_line(cli("runs", "show", "--prompt", "9"), Exit.USAGE, "its last is step 3")


@pytest.mark.usefixtures("written")
def test_a_diff_tells_what_was_changed(cli: Cli, workspace: Path) -> None:
    done = cli("runs", "diff")
    assert done.code == 0
    assert "-open" in done.out
    assert "+done" in done.out
    assert "+42" in done.out
    assert "out.txt" not in cli("runs", "diff", "last", "2").out
    stat = cli("runs", "diff", "--stat").out.splitlines()
    assert [line.split()[:3] for line in stat[:2]] == [
        ["notes.md", "changed", "2"],
        ["out.txt", "added", "1"],
    ]
    assert stat[2] == "2 files, 2 lines added, 1 removed"
    assert [change["path"] for change in cli("runs", "diff", "--json").json] == ["notes.md", "out.txt"]
    assert "Nothing was changed" in cli("runs", "diff", "last", "3").err
    assert_one_line(cli("runs", "diff", "last", "7"), Exit.USAGE, "has no step 7")


def test_an_undo_can_be_undone(cli: Cli, workspace: Path, written: str) -> None:
    refused = cli("runs", "undo")
    assert refused.code == Exit.USAGE
    assert "say --yes" in refused.err
    assert (workspace / "out.txt").exists()
    done = cli("runs", "undo", "--yes")
    assert done.out == f"run {written} is undone; back with: autoagent runs redo {written}\n"
    assert "remove  out.txt" in done.err
    assert not (workspace / "out.txt").exists()
    assert (workspace / "notes.md").read_text(encoding="utf-8") == "# Notes\nopen\n"
    assert "is like that already" in cli("runs", "undo", "--yes").out
    assert cli("runs", "redo", written, "-y").code == 0
    assert (workspace / "out.txt").read_text(encoding="utf-8") == "42\n"


@pytest.mark.usefixtures("written")
def test_an_undo_does_not_lose_later_work(cli: Cli, workspace: Path) -> None:
    (workspace / "notes.md").write_text("mine\n", encoding="utf-8")
    assert_one_line(cli("runs", "undo", "--yes"), Exit.USAGE, "notes.md")
    assert (workspace / "out.txt").exists()
    assert "notes.md  (changed since)" in cli("runs", "undo", "--yes", "--force").err
    assert (workspace / "notes.md").read_text(encoding="utf-8") == "# Notes\nopen\n"


@pytest.mark.usefixtures("written")
def test_an_undo_may_stop_at_a_step(cli: Cli, workspace: Path) -> None:
    assert cli("runs", "undo", "--to", "1", "--yes").code == 0
    assert (workspace / "out.txt").exists()
    assert (workspace / "notes.md").read_text(encoding="utf-8") == "# Notes\nopen\n"
    assert_one_line(cli("runs", "undo", "--to", "8", "--yes"), Exit.USAGE, "has no step 8")


def test_a_run_is_exported_in_every_format(cli: Cli, tmp_path: Path, written: str) -> None:
    assert cli("runs", "export").out.startswith("<!doctype html>")
    assert cli("runs", "export", written, "--format", "atif").json["schema_version"] == "ATIF-v1.7"
    assert cli("runs", "export", "-f", "native", "--no-files").json["contents"] == {}
    chat = cli("runs", "export", "-f", "messages").json
    assert chat["messages"][-2]["tool_calls"][0]["function"]["name"] == "finish"
    assert "write_file" in [tool["function"]["name"] for tool in chat["tools"]]
    file = tmp_path / "page.html"
    done = cli("runs", "export", "-o", str(file))
    assert (done.code, done.out) == (0, "")
    assert f"{file}: 1 run, {file.stat().st_size:,} bytes" in done.err


@pytest.mark.usefixtures("written")
def test_many_runs_are_lines(cli: Cli, tmp_path: Path) -> None:
    cli("run", "-g", "what is 6 * 7?", "--expect", "42")
    for format_ in ("messages", "native", "atif"):
        lines = cli("runs", "export", "--all", "-f", format_).out.splitlines()
        assert [type(json.loads(line)) for line in lines] == [dict, dict]
    verified = cli("runs", "export", "--all", "--verdict", "verified", "-f", "messages").out.splitlines()
    assert len(verified) == 1
    assert_one_line(cli("runs", "export", "--all"), Exit.USAGE, "a page shows one run")
    assert_one_line(cli("runs", "export", "--verdict", "refuted"), Exit.USAGE, "add --all")
    assert_one_line(cli("runs", "export", "--all", "last"), Exit.USAGE, "not both")
    assert_one_line(cli("runs", "export", "--all", "--suite", "none"), Exit.USAGE, "no run fits")
    assert_one_line(cli("runs", "export", "-o", str(tmp_path / "no" / "x")), Exit.USAGE, "cannot be written")


def test_runs_move_to_another_project(cli: Cli, tmp_path: Path, written: str) -> None:
    cli("run", "-g", "what is 6 * 7?", "--expect", "42")
    file = tmp_path / "runs.jsonl"
    cli("runs", "export", "--all", "-f", "native", "-o", str(file))
    other = ("--home", str(tmp_path / "other"))
    assert cli(*other, "runs", "import", str(file)).out.count("is on record\n") == 2
    assert cli(*other, "runs", "import", str(file)).out.count("is here already\n") == 2
    assert cli(*other, "runs", "show", written, "--json").json == cli("runs", "show", written, "--json").json
    assert cli(*other, "runs", "diff", written).out == cli("runs", "diff", written).out
    assert_one_line(cli(*other, "runs", "undo", written, "--yes"), Exit.USAGE, "was imported")
    piped = cli("runs", "export", written, "-f", "atif").out.encode()
    assert "(was " in cli("runs", "import", "-", stdin=piped).out


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "holds no exported run"),
        (b"[1]", "holds no exported run"),
        (b'{"a": 1}', "its format is None"),
        (b'{"a": 1}\n{"b"', "line 2: no JSON"),
        (b"\xff\xfe", "no UTF-8 text"),
        (b'{"schema_version": "ATIF-v1.7"}', "no ATIF trajectory"),
    ],
)
def test_what_cannot_be_imported_says_so(cli: Cli, tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "odd.json"
    file.write_bytes(content)
    assert_one_line(cli("runs", "import", str(file)), Exit.USAGE, says)
    assert_one_line(cli("runs", "import", str(tmp_path / "none")), Exit.USAGE, "No such file")


def test_runs_are_removed_for_good(cli: Cli, home: Path, written: str) -> None:
    cli("run", "-g", "what is 6 * 7?", "--expect", "42")
    assert_one_line(cli("runs", "rm"), Exit.USAGE, "name runs, or choose them")
    assert_one_line(cli("runs", "rm", "last", "--older-than", "1d"), Exit.USAGE, "name runs, or choose")
    assert_one_line(cli("runs", "rm", "--older-than", "soon"), Exit.USAGE, "such as 12h, 30d or 8w")
    assert "No run fits" in cli("runs", "rm", "--older-than", "1d", "--yes").err
    assert cli("runs", "rm", written).code == Exit.USAGE  # nobody to ask
    done = cli("runs", "rm", written[:10], written, "--yes")
    assert done.out.startswith("removed 1 run, ")
    assert "write 42" in done.err
    assert [run.goal for run in Store(home).runs()] == ["what is 6 * 7?"]
    assert cli("runs", "rm", "--older-than", "0h", "-y").code == 0
    assert Store(home).runs() == []


@pytest.mark.parametrize("part", ["runs", "negative_runs"])
def test_removing_what_a_version_learned_from_is_said(cli: Cli, home: Path, written: str, part: str) -> None:
    version = home / "models" / "v1-0123abcd"
    version.mkdir(parents=True)
    manifest = {"name": version.name, "hash": "x", "data": {"sheet": {part: [written]}}}
    (version / "version.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert "v1-0123abcd learned from 1 run of these" in cli("runs", "rm", written, "--yes").err


def test_a_check_finds_what_is_broken(cli: Cli, home: Path, written: str) -> None:
    assert cli("runs", "check").out == "1 run, nothing wrong\n"
    for file in (home / "snapshots").glob("*/*"):
        file.write_bytes(b"junk")
    done = cli("runs", "check")
    assert done.code == Exit.ERROR
    assert f"run {written} is broken" in done.out
    assert len(cli("runs", "check", "--json").json) == 3  # one for each copy of the workspace
    (home / "runs.db").write_bytes(b"not a database" * 1000)
    for file in home.glob("runs.db-*"):
        file.unlink()
    assert_one_line(cli("runs", "check"), Exit.ERROR, "is damaged")


@pytest.mark.usefixtures("written")
def test_a_patch_of_the_diff_undoes_the_run(cli: Cli, workspace: Path) -> None:
    lines = cli("runs", "diff").out
    try:
        done = subprocess.run(
            ["patch", "-R", "-p1"], cwd=workspace, input=lines, text=True, capture_output=True
        )
    except FileNotFoundError:
        pytest.skip("needs patch")
    assert done.returncode == 0
    assert (workspace / "notes.md").read_text(encoding="utf-8") == "# Notes\nopen\n"


def test_a_damaged_run_can_be_removed(cli: Cli, home: Path, written: str) -> None:
    cli("run", "-g", "what is 6 * 7?")
    with closing(sqlite3.connect(home / "runs.db")) as connection:
        connection.execute("UPDATE runs SET tags = 'no json' WHERE id = ?", (written,))
        connection.commit()
    assert_one_line(cli("runs", "list"), Exit.ERROR, f"run {written}")
    assert f"autoagent runs rm {written}" in cli("runs", "check").out
    done = cli("runs", "rm", written, "--yes")
    assert (done.code, "its record is damaged" in done.err) == (0, True)
    assert len(cli("runs", "list").out.splitlines()) == 1


def test_a_run_is_shown_with_all_that_happened_in_it(cli: Cli, home: Path, workspace: Path) -> None:
    store = Store(home)
    child = store.begin("look", model="m", seed=0, check="", workspace=workspace)
    record = store.begin("sum", model="m", seed=0, check="", workspace=workspace)
    child.close()
    plan = Reply(text="", value={"plan": ["guess"]}, counts=Counts(prefilled=50, sampled=10))
    record.stepped(Step(index=0, kind="plan", reply=plan, recalled=("m-17",), seconds=1))
    ask = call("delegate", goal="look")
    permission = Permission(effects=("execute",), granted=False, by="user")
    seen = Observation(call=ask, content="no", ok=False, child=child.run_id, permission=permission)
    counts = Counts(cached=60, prefilled=900, sampled=40)
    record.stepped(
        Step(index=1, reply=Reply(text="1.", calls=(ask,), counts=counts), observations=(seen,), seconds=1)
    )
    record.stepped(Step(index=2, kind="compaction", reply=Reply(text="so far"), seconds=0))
    again = Reply(
        text="", value={"plan": ["look", "tell"]}, counts=Counts(cached=70, prefilled=30, sampled=9)
    )
    record.stepped(Step(index=3, kind="plan", reply=again, seconds=1))
    record.planned(["look", "tell it well"])  # as the user edited it
    shown = cli("runs", "show", record.run_id).out
    expected = ["m-17", "○ 1. guess", "refused: execute", f"autoagent runs show {child.run_id}"]
    expected += ["1,000 tokens became 100", "○ 2. tell it well", "a process is working on it now"]
    for words in expected:
        assert words in shown, words
    record.close()
    assert f"autoagent run --resume {record.run_id}" in cli("runs", "show", record.run_id).out
    store.close()


def test_a_long_observation_is_shown_with_its_end_which_tells_why(cli: Cli, workspace: Path) -> None:
    lines = [f"line {number}" for number in range(1, 31)]
    (workspace / "log.txt").write_text("\n".join([*lines, "Stopped: it wrote too much."]), encoding="utf-8")
    (workspace / "nine.txt").write_text("\n".join(lines[:9]), encoding="utf-8")
    script = [["read"], call("read_file", path="log.txt"), call("finish", answer="read")]
    expected = [*lines[:6], "… 23 more lines", "line 30", "Stopped: it wrote too much."]
    for screen in (cli("run", "-g", "Read log.txt", script=script).out, cli("runs", "show").out):
        shown = [line.strip() for line in screen.splitlines()]
        assert shown[shown.index("line 1") :][: len(expected)] == expected
    script[1] = call("read_file", path="nine.txt")
    assert "more lines" not in cli("run", "-g", "Read nine.txt", script=script).out
