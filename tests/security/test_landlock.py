"""Programs in the second sandbox, Landlock and seccomp: what they can do, and how the workspace gets it.

What they cannot do: test_escapes.py. Where this kernel has no Landlock, nothing is run; these are skipped.
"""

from __future__ import annotations

import errno
import os
import platform
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from autoagent.errors import ToolError
from autoagent.security import Outcome, Sandbox, SandboxLimits, landlock, seccomp
from autoagent.security.stage import Stage
from autoagent.workspace import Workspace

Run = Callable[..., Outcome]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    root = tmp_path / "work"
    for folder in (".autoagent", ".git/hooks", "sub/deep", ".venv"):
        (root / folder).mkdir(parents=True)
    for file in (".autoagent/config.toml", ".git/config", "own.toml"):
        (root / file).write_text("hidden words", encoding="utf-8")
    for file in ("a.txt", "sub/b.txt", "sub/deep/c.txt"):
        (root / file).write_text(f"{file}\n", encoding="utf-8")
    return Workspace.at(root, protected=[root / ".autoagent", root / "own.toml"])


@pytest.fixture
def run(workspace: Workspace) -> Run:
    sandbox = Sandbox(only="landlock")
    if sandbox.blocked:
        with pytest.raises(ToolError, match="--unsafe-no-sandbox"):
            sandbox.run(["/bin/sh", "-c", "echo > trace"], workspace)
        assert not (workspace.root / "trace").exists()
        pytest.skip(sandbox.blocked)

    def call(command: str, **limits: float) -> Outcome:
        chosen = SandboxLimits(**limits)  # type: ignore[arg-type]
        return Sandbox(only="landlock", limits=chosen).run(["/bin/bash", "-c", command], workspace)

    return call


def files(workspace: Workspace) -> dict[str, str]:
    """All there is in the workspace, with its text; links as they are; ours left out."""
    found = {}
    for path in sorted(workspace.root.rglob("*")):
        name = str(path.relative_to(workspace.root))
        ours = name.startswith((".autoagent/stage", ".git/hooks")) or ".autoagent-" in name  # set aside
        if not ours and (path.is_file() or path.is_symlink()):
            found[name] = f"-> {os.readlink(path)}" if path.is_symlink() else path.read_text(encoding="utf-8")
    return found


def test_a_program_works_in_the_workspace_and_leaves_no_second_one(run: Run, workspace: Workspace) -> None:
    before = files(workspace)
    done = run(
        "cat a.txt; echo more >> a.txt; sed -i s/sub/SUB/ sub/b.txt; mkdir -p new/one; echo x > new/one/y"
    )
    assert (done.output, done.code, done.stopped) == ("a.txt\n", 0, "")
    changed = {"a.txt": "a.txt\nmore\n", "sub/b.txt": "SUB/b.txt\n", "new/one/y": "x\n"}
    assert files(workspace) == before | changed
    assert run("exit 3").code == 3
    assert run("kill -9 $$").code == 137
    assert sorted(os.listdir(workspace.root / ".autoagent")) == ["config.toml"]


def test_what_is_moved_removed_or_replaced_is_so_in_the_workspace(run: Run, workspace: Workspace) -> None:
    before = files(workspace)
    run("mv sub/deep sub/low; rm a.txt; mkdir a.txt; echo in > a.txt/z; ln -s sub/b.txt link; ln sub/b.txt h")
    after = {name: text for name, text in before.items() if name not in ("a.txt", "sub/deep/c.txt")}
    after |= {"sub/low/c.txt": "sub/deep/c.txt\n", "a.txt/z": "in\n", "link": "-> sub/b.txt"}
    assert files(workspace) == after | {"h": "sub/b.txt\n"}
    assert not (workspace.root / "sub" / "deep").exists()


@pytest.mark.parametrize(
    "command",
    [
        "cat .autoagent/config.toml own.toml",
        "ls .autoagent && false",
        "cat {root}/own.toml",
        "echo evil > .git/config",
        "mv .git x; mkdir .git; echo evil > .git/config; rm x; false",
        "rm -rf .git .venv; ls .autoagent",
        "mv sub x; mkdir .autoagent; echo evil > .autoagent/config.toml; echo x > own.toml; mv x sub; false",
        "mkdir -p sub/.autoagent; touch sub/.autoagent/config.toml; false",
    ],
)
def test_what_is_ours_stays_hidden_and_what_others_run_stays_as_it_is(
    run: Run, workspace: Workspace, command: str
) -> None:
    before = files(workspace)
    done = run(command.replace("{root}", str(workspace.root)))
    assert done.code != 0
    assert "hidden words" not in done.output
    assert files(workspace) == before


def test_what_changed_meanwhile_is_kept_unless_the_program_changed_it_too(
    run: Run, workspace: Workspace
) -> None:
    def meanwhile() -> None:
        stage = workspace.root / ".autoagent" / "stage"
        while not list(stage.glob("*/go")):
            time.sleep(0.01)
        (workspace.root / "user.txt").write_text("mine\n", encoding="utf-8")
        (workspace.root / "a.txt").unlink()
        (workspace.root / "both").mkdir()
        (workspace.root / "both" / "user").touch()

    thread = threading.Thread(target=meanwhile)
    thread.start()
    run("touch go; sleep 0.7; rm go; mkdir both; touch both/program; echo new > own")
    thread.join()
    assert {"user.txt", "own", "both/user", "both/program"} <= files(workspace).keys()
    assert not (workspace.root / "a.txt").exists()


def test_a_link_that_another_program_puts_in_the_way_is_not_followed(
    workspace: Workspace, tmp_path: Path
) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    (tmp_path / "outside").mkdir()
    stages = [
        Stage(workspace.root, tmp_path / name, frozenset(), frozenset({".autoagent"}))
        for name in ("one", "two")
    ]
    for stage in stages:
        stage.build()
    (stages[0].folder / "sub" / "planted").write_text("evil", encoding="utf-8")
    other = stages[1].folder / "sub"
    for name in ("b.txt", "deep/c.txt"):
        (other / name).unlink()
    (other / "deep").rmdir()
    other.rmdir()
    other.symlink_to(tmp_path / "outside")
    stages[1].settle()
    assert (workspace.root / "sub").is_symlink()
    stages[0].settle()
    assert list((tmp_path / "outside").iterdir()) == []


def test_modes_and_times_of_its_own_files_can_be_changed_and_of_no_others(
    run: Run, workspace: Workspace
) -> None:
    done = run(
        "echo 'echo hi' > x.sh; chmod 4755 x.sh; ./x.sh; touch -t 202001010000 a.txt; cp -p a.txt $TMPDIR/b;"
        "touch -r $TMPDIR/b sub/b.txt; mkdir q; chmod 0 q; chown $(id -u) x.sh; touch -hd @1 x.sh && echo ok"
    )
    assert done.output == "hi\nok\n"
    root = workspace.root
    assert (root / "x.sh").stat().st_mode & 0o7777 == 0o755
    assert (root / "q").stat().st_mode & 0o777 == 0o700
    assert (root / "sub" / "b.txt").stat().st_mtime == (root / "a.txt").stat().st_mtime < 1_600_000_000
    odd = "import ctypes; c = ctypes.CDLL(None, use_errno=True); print([c.chmod(ctypes.c_void_p(8), 0), "
    odd += "c.utimensat(-100, b'a.txt', ctypes.c_void_p(8), 0), c.chmod(b'x' * 5000, 0), c.fchmod(999, 0)])"
    assert run(f'{sys.executable} -c "{odd}"; chmod 700 x.sh').output == "[-1, -1, -1, -1]\n"
    assert (root / "x.sh").stat().st_mode & 0o7777 == 0o700
    target = root / "own.toml"
    before = target.stat().st_mode, target.stat().st_mtime_ns
    done = run(
        f"chmod 777 {target}; ln -s {target} l; chmod 777 l .git/config; touch {target}; chown 12345 x.sh"
    )
    assert done.output.count("not permitted") + done.output.count("denied") == 5
    assert (target.stat().st_mode, target.stat().st_mtime_ns) == before


def test_a_workspace_in_what_programs_may_read_anyway_is_refused(
    run: Run, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autoagent.security.landlock.SYSTEM", (str(workspace.root.parent),))
    with pytest.raises(ToolError, match=r"config\.toml|\.autoagent would be seen"):
        run("echo > trace")
    assert not (workspace.root / "trace").exists()


def test_python_is_there_and_temporary_files_are_its_own(run: Run) -> None:
    code = "import pydantic, sys, tempfile; f = tempfile.NamedTemporaryFile(); f.write(b'1'); print(f.name)"
    name = run(f'{sys.executable} -c "{code}"; echo $HOME').output.split()
    assert name[0].startswith(name[1])
    assert not Path(name[1]).exists()
    assert run("diff <(echo 1) <(echo 1) && echo 1 > /dev/null").code == 0


def test_limits_end_everything_daemons_included(run: Run) -> None:
    mark = f"3{os.getpid()}.5"
    done = run(f"(setsid sleep {mark} &) ; trap '' TERM; sleep {mark}; sleep {mark}", seconds=1)
    assert done.stopped == "it took longer than 1 s"
    assert run(f"(setsid sleep {mark} > /dev/null 2>&1 &); sleep 0.2").code == 0
    assert not [each for each in psutil.process_iter(["cmdline"]) if mark in (each.info["cmdline"] or [])]


def test_when_we_are_killed_it_ends_too_and_what_it_left_is_cleared_away(
    run: Run, workspace: Workspace
) -> None:
    mark = f"4{os.getpid()}.5"
    code = (
        "from pathlib import Path; from autoagent.security import Sandbox;"
        "from autoagent.workspace import Workspace;"
        f"root = Path({str(workspace.root)!r});"
        f"Sandbox(only='landlock').run(['/bin/sh', '-c', '(setsid sleep {mark} &); sleep {mark}; :'],"
        "Workspace.at(root, protected=[root / '.autoagent']))"
    )

    def left() -> list[psutil.Process]:
        return [p for p in psutil.process_iter(["cmdline"]) if (p.info["cmdline"] or [])[-1:] == [mark]]

    with subprocess.Popen([sys.executable, "-c", code]) as ours:
        assert any(len(left()) == 2 or time.sleep(0.1) for _ in range(200))
        ours.kill()
    assert any(not left() or time.sleep(0.1) for _ in range(100))
    assert (workspace.root / ".autoagent" / "stage").exists()
    run("true")
    assert sorted(os.listdir(workspace.root / ".autoagent")) == ["config.toml"]


def test_the_first_that_works_is_taken_and_what_is_asked_for_is_not_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, workspace: Workspace
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Sandbox().walls == ("" if landlock.lacking() else "landlock")
    assert Sandbox(only="bubblewrap").walls == ""
    assert Sandbox.chosen("off").walls == "none"
    monkeypatch.setattr("autoagent.security.landlock.edition", lambda: 5)
    landlock.lacking.cache_clear()
    try:
        assert "bubblewrap is missing, and this kernel's Landlock has ABI 5, and 6 is" in Sandbox().blocked
        assert "\n" not in Sandbox().blocked
        with pytest.raises(ToolError, match="apt install bubblewrap"):
            Sandbox().run(["/bin/true"], workspace)
    finally:
        landlock.lacking.cache_clear()


# --- the filter of system calls, run as the kernel would ----------------------------------------------------


def answer(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """What the filter says to a call."""
    words = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack(
        "<IIQ6Q", number & 0xFFFFFFFF, architecture, 0, *(each & (2**64 - 1) for each in words)
    )
    steps, at, value = list(struct.iter_unpack("HBBI", program)), 0, 0
    while True:
        operation, yes, no, constant = steps[at]
        if operation == 0x06:
            return constant
        if operation == 0x20:
            value = struct.unpack_from("<I", data, constant)[0]
        elif operation == 0x54:
            value &= constant
        else:
            true = {0x15: value == constant, 0x25: value > constant, 0x45: bool(value & constant)}[operation]
            at += yes if true else no
        at += 1


ALLOWED, KILLED, REFUSED = 0x7FFF0000, 0x80000000, 0x00050000 | errno.EPERM
ASKED, UNKNOWN = 0x7FC00000, 0x00050000 | errno.ENOSYS


@pytest.mark.parametrize(
    ("machine", "calls"),
    [
        ("x86_64", {"read": 0, "socket": 41, "pair": 53, "clone": 56, "ptrace": 101, "chmod": 90, "key": 250,
                    "ioctl": 16, "limit": 302, "times": 280}),
        ("aarch64", {"read": 63, "socket": 198, "pair": 199, "clone": 220, "ptrace": 117, "chmod": 53,
                     "key": 219, "ioctl": 29, "limit": 261, "times": 88}),
    ],
)  # fmt: skip
def test_the_filter_refuses_what_it_should_on_both_architectures(machine: str, calls: dict[str, int]) -> None:
    code = seccomp.ARCHITECTURES[machine]
    for alone in (True, False):
        program = seccomp.program(machine, alone=alone)
        assert len(program) // 8 < 4096

        def said(name: str, *arguments: int, program: bytes = program) -> int:
            return answer(program, code, calls[name], *arguments)

        assert said("read", 3) == ALLOWED
        assert said("socket", 1, 1) == said("socket", 40, 1) == said("key", 11) == REFUSED
        assert said("socket", 2, 1) == (REFUSED if alone else ALLOWED)
        assert said("ptrace", 16) == (REFUSED if alone else ALLOWED)
        assert said("chmod", 0, 0o777) == said("times", -100) == (ASKED if alone else ALLOWED)
        assert said("pair", 1, 1 | 0o2000000) == said("pair", 1, 5) == ALLOWED
        assert said("pair", 1, 2) == said("pair", 2, 1) == REFUSED
        assert said("clone", 17) == ALLOWED
        assert said("clone", 0x10000000 | 17) == said("ioctl", 0, 0x5412) == REFUSED
        assert said("ioctl", 0, (1 << 32) | 0x5412) == REFUSED  # the kernel looks at the lower half only
        assert said("ioctl", 0, 0x5401) == said("limit", 0, 7) == ALLOWED
        assert said("limit", 1234, 7) == (REFUSED if alone else ALLOWED)
        assert answer(program, code, 435) == answer(program, code, 9999) == UNKNOWN
        assert answer(program, 0x40000003, calls["read"]) == KILLED
        other = next(each for each in seccomp.ARCHITECTURES.values() if each != code)
        assert answer(program, other, calls["read"]) == KILLED
    if machine == "x86_64":
        assert answer(seccomp.program(machine), code, 0x40000000) == KILLED
    with pytest.raises(ValueError, match="riscv64"):
        seccomp.program("riscv64")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the other way into the kernel is of x86_64")
def test_another_way_into_the_kernel_ends_the_program(run: Run) -> None:
    code = "import ctypes; ctypes.CDLL(None).syscall(ctypes.c_long(0x40000000 + 39)); print(1)"
    assert run(f'{sys.executable} -c "{code}"').code == 128 + 31
