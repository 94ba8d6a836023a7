"""``backup``, ``restore`` and ``runs check --repair`` as a user calls them."""

from __future__ import annotations

import shutil
from pathlib import Path

from autoagent.cli import Exit
from autoagent.store import Store

from .conftest import Cli, assert_one_line

RUN = ("run", "-g", "What is 6 * 7?", "-q", "--no-memory")


def test_a_project_is_backed_up_and_brought_back(cli: Cli, home: Path, tmp_path: Path) -> None:
    archive = tmp_path / "all.tar.gz"
    assert_one_line(cli("backup", str(archive)), Exit.USAGE, "nothing to back up")
    assert cli(*RUN).code == Exit.OK
    done = cli("backup", str(archive))
    assert (done.code, done.err) == (Exit.OK, "")
    assert done.out.startswith(f"{archive}: 1 run, ")
    assert_one_line(cli("backup", str(archive)), Exit.USAGE, "is there already")
    assert_one_line(cli("restore", str(archive)), Exit.USAGE, "is not empty (runs.db")
    run = Store(home).load("last")
    shutil.rmtree(home)
    done = cli("restore", str(archive))
    assert (done.code, done.err) == (Exit.OK, "")
    assert done.out.startswith("1 run, ")
    assert Store(home).load("last") == run
    done = cli("restore", str(archive), "--force")
    assert done.code == Exit.OK
    assert done.err.startswith("what was there before: ")
    for force in ([], ["--force"]):
        assert_one_line(cli("restore", "none.tar", *force), Exit.USAGE, "none.tar cannot be read: ")


def test_damage_is_told_mended_and_then_gone(cli: Cli, home: Path) -> None:
    assert cli(*RUN).code == Exit.OK
    assert cli("runs", "check").out == "1 run, nothing wrong\n"
    for file in (home / "snapshots").glob("*/*"):
        file.write_bytes(b"")
    done = cli("runs", "check")
    assert done.code == Exit.ERROR
    assert "autoagent runs check --repair" in done.out
    done = cli("runs", "check", "--repair", "--json")
    assert done.code == Exit.OK
    assert done.json["problems"] == []
    assert any("cannot be undone" in line for line in done.json["done"])
    assert cli("runs", "check", "--repair").out == "1 run, nothing wrong\n"
    assert cli(*RUN).code == Exit.OK
    assert cli("runs", "check").out == "2 runs, nothing wrong\n"
