"""Run a program where it can do little harm: bubblewrap around it, limits on it, a clean environment in it.

Inside there are the system's programs and libraries (read-only), Python's own folders (read-only), an empty
``/tmp``, and the workspace (writable) at its usual path, without autoagent's home, with ``.git``, ``.venv``
and ``node_modules`` read-only. There is no network, no other process, no other file.

What is not covered: holes in the kernel; how much of the disk the workspace fills, file by file; what timing
or load tell; files in the workspace that your own programs run later (a Makefile, conftest.py, a ``.git``
made inside). The memory and process limits are looked at ten times a second: between two looks only each
process's own memory is limited. With ``unsafe=True`` there is no wall at all: time, output, memory and
environment are limited; files, network and other processes are not, and a program that leaves its session on
purpose may outlive the run.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field

from autoagent.config import Settings
from autoagent.errors import ToolError
from autoagent.home import FOLDER as HOME
from autoagent.security.crowd import crowd_limit
from autoagent.security.probe import blocked, understands
from autoagent.security.watch import Outcome, watch
from autoagent.workspace import Workspace

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SETTINGS = (
    "alternatives",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
)  # of /etc
_KEPT = frozenset({".git", ".venv", "node_modules"})  # other programs run what is in them: read-only
_MOST_FOLDERS = 20_000  # of a workspace, looked through for such folders; what lies beyond is not protected
_CROWD = 16  # processes above the limit, so that a program that reaches it can be told from one that does not
# By a POSIX shell. The limit on a user's processes counts, in a sandbox, only those in there.
_CROWDED = "ulimit -u {0} 2>/dev/null || ulimit -p {0} 2>/dev/null || :"  # bash, dash
_LIMITED = 'ulimit -c 0; ulimit -f "$1"; ulimit -d "$2" 2>/dev/null; eval "$3"; shift 3; exec "$@"'


class SandboxLimits(Settings):
    """What one program, with all that it starts, may use."""

    seconds: float = Field(default=60.0, gt=0, description="Wall-clock time, in seconds.")
    output: int = Field(default=50_000, ge=100, description="Output kept, head and tail, in bytes.")
    flood: int = Field(default=50_000_000, ge=100, description="Output at which it is stopped, in bytes.")
    memory: int = Field(
        default=2 * 2**30, ge=2**24, description="Memory of all processes together, in bytes."
    )
    processes: int = Field(default=128, ge=4, description="Processes and threads at the same time.")
    file_size: int = Field(default=2**30, ge=2**10, description="Largest file it may write, in bytes.")


@dataclass(frozen=True)
class Sandbox:
    """Runs programs in a workspace.

    Args:
        unsafe: Run them without bubblewrap, with the rights of this process.
        limits: What one program may use.
    """

    unsafe: bool = False
    limits: SandboxLimits = field(default_factory=SandboxLimits)

    @property
    def blocked(self) -> str:
        """Why no program can be run, and the fix, in one line; empty when it can."""
        return "" if self.unsafe else blocked(shutil.which("bwrap"))

    def run(self, command: Sequence[str], workspace: Workspace, *, seconds: float | None = None) -> Outcome:
        """Run a program to its end, or to a limit. Ctrl-C stops it, too.

        Args:
            command: Program and arguments; the program is looked for in the system's folders.
            workspace: Its folder; the rest of what it may not touch is hidden from it.
            seconds: Less time than the limits give.

        Raises:
            ToolError: there is no sandbox here, or the program cannot be started.
        """
        if self.blocked:
            raise ToolError(self.blocked)
        if not self.unsafe and workspace.root == Path(workspace.root.anchor):
            raise ToolError(
                "programs cannot be run: the workspace is the whole disk, so nothing would be outside"
            )
        limits = self.limits
        if seconds is not None:
            limits = limits.model_copy(update={"seconds": min(seconds, limits.seconds)})
        bounded = [
            "/bin/sh", "-c", _LIMITED, "sh",
            str(limits.file_size // 512), str(limits.memory // 1024),
            ":" if self.unsafe else _CROWDED.format(limits.processes + _CROWD), *command,
        ]  # fmt: skip
        if not self.unsafe:
            bounded = [*_walls(workspace, limits), *bounded]
        with crowd_limit(limits.processes + _CROWD) as join:
            return watch([*join, *bounded], workspace.root, _environment(self.unsafe), limits)


def _walls(workspace: Workspace, limits: SandboxLimits) -> list[str]:
    """The bubblewrap command line. The order counts: what comes later is mounted over what came before."""
    bwrap = shutil.which("bwrap")
    assert bwrap is not None  # or it would be blocked
    root = str(workspace.root)
    inside = [path for path in _interpreter() if Path(path).is_relative_to(root) and path != root]
    outside = [path for path in _interpreter() if path not in inside and path != root]
    walls = [bwrap, *base(bwrap, limits.memory)]
    walls += [word for path in outside for word in ("--ro-bind", path, path)]
    walls += ["--bind", root, root]
    walls += [word for path in (*inside, *_kept(workspace.root)) for word in ("--ro-bind", path, path)]
    for path in _hidden(workspace):
        walls += ["--tmpfs", str(path), "--remount-ro", str(path)] if path.is_dir() else [
            "--ro-bind", "/dev/null", str(path)
        ]  # fmt: skip
    return [*walls, "--remount-ro", "/", "--chdir", root, "--"]


def base(bwrap: str, memory: int) -> list[str]:
    """What every sandbox has: the system read-only, an empty /tmp, names of its own for all there is."""
    options = ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    if understands(bwrap, "--disable-userns"):
        options += ["--unshare-user", "--disable-userns"]
    for path in _SYSTEM:
        if os.path.islink(path):
            options += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            options += ["--ro-bind", path, path]
    for name in _SETTINGS:
        options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    room = ["--size", str(memory // 4)] if understands(bwrap, "--size") else []
    options += ["--proc", "/proc", "--remount-ro", "/proc"]  # root owns the kernel's switches in there
    options += ["--dev", "/dev", *room, "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
    return [*options, *room, "--tmpfs", "/tmp"]


def _interpreter() -> list[str]:
    """The folders of the Python that runs us, where the system's folders do not hold them already."""
    found = dict.fromkeys(os.path.realpath(path) for path in (sys.base_prefix, sys.prefix))
    covered = ("/", *_SYSTEM)
    return [
        path
        for path in found
        if path != "/" and not path.startswith(tuple(f"{each}/" for each in _SYSTEM)) and path not in covered
    ]


def _kept(root: Path) -> Iterator[str]:
    """Folders (of git, also files) in the workspace that may be read but not changed."""
    for number, (folder, folders, files) in enumerate(os.walk(root)):
        if number >= _MOST_FOLDERS:
            return
        for name in sorted(_KEPT & {*folders, *files}):
            if not os.path.islink(os.path.join(folder, name)):
                yield os.path.join(folder, name)
        folders[:] = [name for name in folders if name not in _KEPT and name != HOME]


def _hidden(workspace: Workspace) -> list[Path]:
    """Files and folders in the workspace that must not be seen: records, settings, memory."""
    found = dict.fromkeys([*workspace.protected, *_homes(workspace.root)])
    return [path for path in found if path.exists()]


def _homes(root: Path) -> Iterator[Path]:
    """Homes of this and of other projects in the workspace."""
    for number, (folder, folders, _) in enumerate(os.walk(root)):
        if number >= _MOST_FOLDERS:
            return
        if HOME in folders and not os.path.islink(os.path.join(folder, HOME)):
            yield Path(folder) / HOME
        folders[:] = [name for name in folders if name not in _KEPT and name != HOME]


def _environment(unsafe: bool) -> dict[str, str]:
    """What programs are told, bubblewrap itself included, whose environment its children can read."""
    folders = [os.path.dirname(sys.executable), "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]
    temporary = os.environ.get("TMPDIR", "/tmp") if unsafe else "/tmp"
    return {
        "PATH": os.pathsep.join(folders),
        "HOME": temporary,
        "TMPDIR": temporary,
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }
