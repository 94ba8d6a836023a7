"""Programs in bubblewrap: what they can do, and all that they cannot. The other sandbox: test_landlock.py.

Where bubblewrap does not work, every test here asserts that nothing is run at all, and then is skipped.
"""

from __future__ import annotations

import os
import platform
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from autoagent.errors import ToolError
from autoagent.security import Outcome, Sandbox, SandboxLimits
from autoagent.security.seccomp import ARCHITECTURES
from autoagent.workspace import Workspace

Run = Callable[..., Outcome]
SHELL = ("/bin/sh", "-c")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    root = tmp_path / "work"
    for folder in (".autoagent", ".git/hooks", "sub/.git", ".venv", "secrets"):
        (root / folder).mkdir(parents=True)
    for file in (".autoagent/config.toml", "secrets/key", "own.toml", "../outside.txt"):
        (root / file).write_text("hidden words", encoding="utf-8")
    (root / "a.txt").write_text("hello\n", encoding="utf-8")
    return Workspace.at(root, protected=[root / "secrets", root / "own.toml"])


@pytest.fixture
def run(workspace: Workspace) -> Run:
    """``run("echo hi")`` in the sandbox."""
    sandbox = Sandbox(only="bubblewrap")
    if sandbox.blocked:
        trace = workspace.root / "trace"
        with pytest.raises(ToolError, match="--unsafe-no-sandbox"):
            sandbox.run([*SHELL, f"echo > {trace}"], workspace)
        assert not trace.exists()
        pytest.skip(sandbox.blocked)

    def call(command: str, **limits: float) -> Outcome:
        chosen = SandboxLimits(**limits)  # type: ignore[arg-type]
        return Sandbox(only="bubblewrap", limits=chosen).run([*SHELL, command], workspace)

    return call


def processes_with(word: str) -> list[psutil.Process]:
    return [each for each in psutil.process_iter() if word in " ".join(cmdline(each))]


def cmdline(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def none_left(word: str) -> bool:
    """Whether all processes with this word in their command line are gone, soon."""
    return any(not processes_with(word) or time.sleep(0.1) for _ in range(50))


def test_a_program_works_in_the_workspace(run: Run, workspace: Workspace) -> None:
    done = run("cat a.txt; echo warning >&2; echo new > sub/b.txt; pwd")
    assert done.output == f"hello\nwarning\n{workspace.root}\n"
    assert (done.code, done.stopped) == (0, "")
    assert (workspace.root / "sub" / "b.txt").read_text(encoding="utf-8") == "new\n"
    assert run("exit 3").code == 3


def test_python_and_its_packages_are_there(run: Run) -> None:
    assert run(f"{sys.executable} -c 'import pydantic, sys; print(sys.version_info[:2])'").code == 0


def test_the_usual_places_to_write_can_be_written_to(run: Run) -> None:
    assert (
        run("echo 1 > /tmp/x && echo 1 > /dev/null && echo 1 > $HOME/y && cat /tmp/x $TMPDIR/y").output
        == "1\n1\n"
    )


@pytest.mark.parametrize(
    "command",
    [
        "cat /etc/shadow",
        "cat /etc/passwd",
        "ls ~/.ssh",
        "ls {home}/.ssh",
        "cat {root}/../outside.txt",
        "ln -s ../outside.txt way && cat way",
        "ln -s / all && cat all/etc/hostname",
        "ln {root}/../outside.txt hard",
        "cat .autoagent/config.toml",
        "cat secrets/key",
        "cat own.toml && test -s own.toml",
        "cat /proc/1/root/etc/shadow",
        "cd /proc/1/cwd/../.. && cat outside.txt",
        "mount -t tmpfs none /mnt",
        "mount -o remount,rw / && touch /x",
        "umount {root}/.autoagent && cat .autoagent/config.toml",
        "unshare -Ur true",
        "grep 'CapEff:.*[1-9a-f]' /proc/self/status",
    ],
)
def test_what_is_outside_or_protected_is_not_there(run: Run, workspace: Workspace, command: str) -> None:
    done = run(command.replace("{root}", str(workspace.root)).replace("{home}", os.path.expanduser("~root")))
    assert done.code != 0
    assert "hidden words" not in done.output
    assert "root:" not in done.output


@pytest.mark.parametrize(
    "command",
    [
        "echo evil > .git/hooks/pre-commit",
        "echo evil > .git/config",
        "mv .git old",
        "rm -r sub/.git",
        "echo evil > .venv/x",
        "echo evil > .autoagent/config.toml",
        "rm own.toml",
        "touch /usr/bin/env",
        "echo evil > /x",
        "echo evil > /etc/x",
        "echo evil > /dev/x",
        "cat /proc/sys/kernel/core_pattern > /tmp/x && cat /tmp/x > /proc/sys/kernel/core_pattern",
        "echo evil > {root}/../x; false",
    ],
)
def test_what_other_programs_run_or_read_cannot_be_changed(
    run: Run, workspace: Workspace, command: str
) -> None:
    def everything() -> dict[str, bytes]:
        found = workspace.root.parent.rglob("*")
        return {str(path): path.read_bytes() if path.is_file() else b"" for path in found}

    before = everything()
    assert run(command.replace("{root}", str(workspace.root))).code != 0
    assert everything() == before


def test_there_is_no_network(run: Run) -> None:
    code = "import socket; socket.create_connection(('{}', {}), 3)"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert "refused" in run(f'{sys.executable} -c "{code.format("127.0.0.1", port)}"').output
    assert "unreachable" in run(f'{sys.executable} -c "{code.format("1.1.1.1", 53)}"').output


def test_our_environment_stays_ours(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "sk-hidden-words")
    shown = run("env; for file in /proc/[0-9]*/environ; do tr '\\0' '\\n' < $file; done").output
    assert "LANG=C.UTF-8" in shown
    assert "hidden-words" not in shown
    assert "API_KEY" not in shown


def test_other_processes_are_neither_seen_nor_reached(run: Run) -> None:
    shown = run(f"ls /proc | grep '^[0-9]' | wc -l; kill -0 {os.getpid()} && echo found; echo on").output
    assert int(shown.split()[0]) < 8
    assert "found" not in shown


def test_time_is_limited_and_all_children_end(run: Run) -> None:
    mark = f"9{os.getpid()}"
    done = run(f"(setsid sleep {mark} &) ; sleep {mark}", seconds=1)
    assert done.stopped == "it took longer than 1 s"
    assert done.seconds < 5
    assert none_left(mark)


def test_what_is_left_in_the_background_ends_with_the_program(run: Run) -> None:
    mark = f"8{os.getpid()}"
    done = run(f"setsid sleep {mark} >/dev/null 2>&1 & echo started")
    assert (done.output, done.stopped) == ("started\n", "")
    assert none_left(mark)
    assert run(f"sleep {mark} & echo started").seconds < 5  # holds the pipe open
    assert none_left(mark)


def test_a_fork_bomb_is_stopped(run: Run) -> None:
    before, most, over = len(psutil.pids()), 0, threading.Event()

    def look() -> None:
        nonlocal most
        while not over.wait(0.02):
            most = max(most, len(psutil.pids()))

    looking = threading.Thread(target=look)
    looking.start()
    done = run("bomb() { bomb | bomb & }; bomb; sleep 2", seconds=30)
    over.set()
    looking.join()
    assert done.stopped in ("it had more than 128 processes", "")  # or the kernel kept it from growing so far
    assert done.seconds < 20
    assert most - before < 1_000


def test_memory_is_limited_for_one_and_for_all(run: Run) -> None:
    grab = f"{sys.executable} -c 'import time; x = bytearray({{}} * 2**20); time.sleep(5)'"
    assert "MemoryError" in run(grab.format(500), memory=200 * 2**20).output
    several = " & ".join([grab.format(120)] * 3)
    assert run(f"{several} & wait", memory=250 * 2**20).stopped == "it took more than 250 MiB of memory"
    assert "No space" in run("head -c 200000000 /dev/zero > /tmp/x", memory=200 * 2**20).output


def test_a_flood_of_output_is_stopped_and_head_and_tail_kept(run: Run) -> None:
    done = run("echo first; yes", output=1_000, flood=1_000_000)
    assert done.stopped == "it wrote more than 1000000 bytes"
    assert done.output.startswith("first\ny\n")
    assert len(done.output) < 1_100
    done = run("echo first; seq 100000; echo last", output=1_000)
    assert done.stopped == ""
    assert done.output.startswith("first\n1\n")
    assert done.output.endswith("100000\nlast\n")
    assert "bytes left out" in done.output


def test_what_is_written_right_before_the_end_is_kept(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    select = selectors.DefaultSelector.select

    def slow(selector: selectors.DefaultSelector, timeout: float | None = None) -> list[Any]:
        select(selector, timeout)
        time.sleep(0.1)  # as on a busy machine
        return []  # what came meanwhile is not known yet

    monkeypatch.setattr(selectors.DefaultSelector, "select", slow)
    assert run("echo first; seq 2000; echo last").output.split("\n")[-3:] == ["2000", "last", ""]
    assert run("sleep 9 & echo done").output == "done\n"


def test_a_file_cannot_grow_without_end(run: Run, workspace: Workspace) -> None:
    run("head -c 3000000 /dev/zero > big", file_size=1_000_000)
    assert (workspace.root / "big").stat().st_size <= 1_000_000


def test_a_program_that_closes_its_output_is_waited_for(run: Run, workspace: Workspace) -> None:
    assert run("exec >&- 2>&-; sleep 1; echo x > done").code == 0
    assert (workspace.root / "done").exists()


def test_output_that_is_no_text_is_shown_as_well_as_can_be(run: Run) -> None:
    assert run("printf 'caf\\303\\251 \\377\\0'").output == "café \ufffd\0"


def test_nothing_is_read_from_our_terminal(run: Run) -> None:
    assert run("cat").output == ""
    assert run("cat < /dev/tty").code != 0


# The signal may come while psutil has a file open: CPython closes it, and says so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_ends_the_program(run: Run) -> None:
    mark = f"7{os.getpid()}"
    timer = threading.Timer(1, lambda: os.kill(os.getpid(), signal.SIGINT))
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run(f"sleep {mark}")
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, handler)
    assert none_left(mark)


def test_when_we_are_killed_it_ends_too(run: Run, workspace: Workspace) -> None:
    mark = f"6{os.getpid()}"
    code = (
        "from autoagent.security import Sandbox; from autoagent.workspace import Workspace;"
        f"Sandbox().run(['/bin/sh', '-c', 'sleep {mark}; :'], Workspace.at({str(workspace.root)!r}))"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as ours:
        assert any(processes_with(f"sleep {mark}") or time.sleep(0.1) for _ in range(200))
        ours.kill()
    assert none_left(f"sleep {mark}")


def test_named_sockets_are_refused_where_there_is_a_filter_and_pairs_are_not(run: Run) -> None:
    code = "import socket; socket.socketpair(); socket.socket(socket.AF_UNIX)"
    if platform.machine() in ARCHITECTURES:
        assert "PermissionError" in run(f'{sys.executable} -c "{code}"').output


def test_settings_that_a_program_makes_are_set_aside_and_that_is_told(run: Run, workspace: Workspace) -> None:
    done = run(
        "mkdir -p new/.autoagent && echo x > new/.autoagent/config.toml; ln -s sub sub/.autoagent; echo on"
    )
    assert done.output.startswith("on\n")
    assert "was renamed" in done.output
    assert not (workspace.root / "new" / ".autoagent").exists()
    assert not (workspace.root / "sub" / ".autoagent").is_symlink()
    assert (workspace.root / ".autoagent" / "config.toml").exists()


def test_a_workspace_of_an_odd_name_is_no_hole(run: Run, tmp_path: Path) -> None:
    root = tmp_path / "--bind / 'é\n"
    assert Sandbox().run([*SHELL, "ls /etc; echo $PWD; touch x"], Workspace.at(root)).code == 0
    assert (root / "x").exists()


def test_the_whole_disk_is_no_workspace_for_programs(run: Run) -> None:
    with pytest.raises(ToolError, match="the whole disk"):
        Sandbox().run([*SHELL, "true"], Workspace(Path("/")))


# --- where there is no sandbox ------------------------------------------------------------------------------


def test_without_bubblewrap_nothing_is_run_and_the_fix_is_told(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError) as error:
        Sandbox(only="bubblewrap").run([*SHELL, "echo > trace"], workspace)
    assert "`apt install bubblewrap`" in str(error.value)
    assert "--unsafe-no-sandbox" in str(error.value)
    assert "\n" not in str(error.value)
    assert not (workspace.root / "trace").exists()


@pytest.mark.parametrize(
    "script", ["echo 'bwrap: No permissions to create new namespace' >&2; exit 1", "exit 2", None]
)
def test_a_bubblewrap_that_does_not_work_is_found_out_before_it_is_relied_on(
    script: str | None, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text(f"#!/bin/sh\n{script}\n" if script else "\x7fELF", encoding="utf-8")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    blocked = Sandbox(only="bubblewrap").blocked
    assert "bubblewrap" in blocked
    assert "--unsafe-no-sandbox" in blocked
    assert "\n" not in blocked
    with pytest.raises(ToolError, match="programs cannot be run"):
        Sandbox(only="bubblewrap").run([*SHELL, "true"], workspace)


class TestUnsafe:
    """``--unsafe-no-sandbox``: no walls, but limits and a clean environment."""

    def run(self, workspace: Workspace, command: str, **limits: float) -> Outcome:
        sandbox = Sandbox(unsafe=True, limits=SandboxLimits(**limits))  # type: ignore[arg-type]
        assert sandbox.blocked == ""
        return sandbox.run([*SHELL, command], workspace)

    def test_it_runs_with_our_rights_and_a_clean_environment(
        self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("API_KEY", "sk-hidden-words")
        done = self.run(workspace, "cat ../outside.txt; env")
        assert done.output.startswith("hidden words")
        assert "API_KEY" not in done.output

    def test_time_output_and_processes_are_limited(self, workspace: Workspace) -> None:
        mark = f"5{os.getpid()}"
        assert self.run(workspace, f"setsid sleep {mark} & sleep {mark}", seconds=1).stopped
        assert none_left(mark)
        assert self.run(workspace, "yes", flood=100_000).stopped == "it wrote more than 100000 bytes"
        assert self.run(workspace, "for i in 1 2 3 4 5 6 7 8; do sleep 9 & done; wait", processes=4).stopped

    def test_a_program_that_does_not_exist_says_so(self, workspace: Workspace) -> None:
        done = self.run(workspace, "no-such-program-7")
        assert done.code == 127
        assert "not found" in done.output
