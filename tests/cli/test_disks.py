"""Disks that are full, or can only be read: one clear line, the documented code, an intact record."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autoagent.cli import Exit
from autoagent.store import Store

from .conftest import Cli, assert_one_line, call
from .test_faults import ODD, RUN, TOOLS, whole

Mount = Callable[[Path, str], None]
BACK = [call("finish", answer="back")]


@pytest.fixture(autouse=True)
def _tools(workspace: Path) -> None:
    (workspace.parent / "odd.py").write_text(TOOLS, encoding="utf-8")


@pytest.fixture
def mount() -> Iterator[Mount]:
    """``mount(folder, options)``: a file system of its own, where that is allowed."""
    mounted: list[Path] = []

    def make(folder: Path, options: str) -> None:
        folder.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, check=False)
        except OSError:
            pytest.skip("there is no mount command")
        if done.returncode:
            pytest.skip("file systems cannot be mounted here")
        mounted.append(folder)

    yield make
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_full_from_the_start_is_one_line(cli: Cli, home: Path, mount: Mount) -> None:
    mount(home, "size=64k")
    done = cli(*RUN, "-q", "--no-memory")
    assert_one_line(done, Exit.ERROR, "disk")


def test_a_disk_that_gets_full_during_a_run_is_one_line_and_the_run_goes_on_when_there_is_room(
    cli: Cli, home: Path, mount: Mount
) -> None:
    mount(home, "size=1m")
    script = [["talk"], *[call("talk", characters=300_000) for _ in range(60)]]
    plenty = ("--no-memory", *ODD, "--max-steps", "80", "--max-tokens", "999999")
    done = cli("run", "-g", "talk", "-q", *plenty, script=script)
    assert_one_line(done, Exit.ERROR, "runs.db cannot grow: the disk is full")
    whole(home)
    acts = Store(home).load("last").acts
    kept = [bool(step.observations[0].kept) for step in acts if step.observations]
    assert kept[0]
    assert not kept[-1]  # no room to put the rest aside: the run goes on without
    subprocess.run(["mount", "-o", "remount,size=4m", str(home)], check=True)
    assert cli("run", "-c", "-q", *plenty, script=BACK).out == "back\n"
    whole(home)


def test_a_snapshot_that_does_not_fit_on_the_disk_is_one_line_and_the_run_goes_on_later(
    cli: Cli, home: Path, workspace: Path, mount: Mount
) -> None:
    mount(home, "size=2m")
    script = [["fill"], call("fill", megabytes=4), call("finish", answer="done")]
    done = cli(
        "run",
        "-g",
        "fill the folder with noise",
        "-q",
        *ODD,
        "--no-memory",
        "--max-tokens",
        "999999",
        script=script,
    )
    assert_one_line(done, Exit.ERROR, "no snapshot can be kept in")
    assert Store(home).load("last").ending == "error"
    whole(home)
    (workspace / "noise").unlink()
    assert cli("run", "-c", "-q", "--no-memory", *ODD, script=[call("finish", answer="back")]).out == "back\n"
    whole(home)


def test_a_home_that_can_only_be_read_is_one_line(cli: Cli, home: Path, mount: Mount) -> None:
    mount(home, "size=2m")
    assert cli(*RUN, "--no-memory").code == Exit.OK
    subprocess.run(["mount", "-o", "remount,ro", str(home)], check=True)
    assert_one_line(cli(*RUN, "-q"), Exit.ERROR, "AUTOAGENT_HOME")
    assert "finished" in cli("runs", "list").out
    assert "42" in cli("runs", "show").out
    for command in (
        ("runs", "rate", "last", "good"),
        ("config", "set", "seed", "1"),
        ("init",),
        ("memory", "add", "../odd.py"),
    ):
        done = cli(*command)
        assert_one_line(done, Exit.ERROR if done.code == 1 else Exit.USAGE)


def test_a_workspace_that_can_only_be_read_is_one_line(
    cli: Cli, workspace: Path, home: Path, mount: Mount
) -> None:
    mount(workspace / "disk", "ro")
    assert_one_line(cli(*RUN, "-w", "disk"), Exit.USAGE, "is not writable: choose another")
    assert Store(home).runs() == []


def test_a_workspace_on_another_disk_works(cli: Cli, workspace: Path, home: Path, mount: Mount) -> None:
    mount(workspace / "disk", "size=1m")
    script = [["write"], call("write_file", path="a.txt", content="a"), call("finish", answer="done")]
    assert cli("run", "-g", "write a file", "-w", "disk", "-q", script=script).out == "done\n"
    assert cli("runs", "undo", "--yes").code == Exit.OK
    assert not (workspace / "disk" / "a.txt").exists()
    whole(home)
