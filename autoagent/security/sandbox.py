"""Run a program where it can do little harm: walls around it, limits on it, a clean environment in it.

Inside there are the system's programs and libraries (read-only), Python's own folders (read-only), an empty
folder for temporary files, and the workspace (writable), without autoagent's home, with ``.git``, ``.venv``
and ``node_modules`` read-only. There is no network, no other process, no other file. Bubblewrap is the wall
where it works; else Landlock with seccomp (``landlock.py`` says what that cannot do); else no program is run.
Where hosts are named, programs in bubblewrap reach these by a proxy (``proxy.py``), and still nothing else.

What is not covered: holes in the kernel; how much of the disk the workspace fills, file by file; what timing
or load tell; files in the workspace that your own programs run later (a Makefile, conftest.py, a ``.git``
made inside). The memory and process limits are looked at ten times a second: between two looks only each
process's own memory is limited. With ``unsafe=True`` there is no wall at all: time, output, memory and
environment are limited; files, network and other processes are not, and a program that leaves its session on
purpose may outlive the run.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from autoagent.config import Settings
from autoagent.errors import ToolError
from autoagent.security import bubblewrap, landlock
from autoagent.security.crowd import crowd_limit
from autoagent.security.hosts import check_hosts
from autoagent.security.inside import Found, environment, look
from autoagent.security.probe import UNSAFE, problem
from autoagent.security.stage import is_stage, staged
from autoagent.security.watch import Outcome, threads_of_user, watch
from autoagent.workspace import Workspace

if TYPE_CHECKING:
    from autoagent.security.proxy import Proxy

Walls = Literal["bubblewrap", "landlock", "none"]
_CROWD = 16  # processes above the limit, so that a program that reaches it can be told from one that does not
# By a POSIX shell. The limit on a user's processes counts in bubblewrap only those in there, else all.
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
        unsafe: Run them without any walls, with the rights of this process.
        limits: What one program may use.
        only: The walls to use, or none; by default the first that work here.
        hosts: Those that programs may reach, such as ``example.org`` or ``*.example.org``; with ``unsafe``,
            they reach all anyway.
    """

    unsafe: bool = False
    limits: SandboxLimits = field(default_factory=SandboxLimits)
    only: Literal["", "bubblewrap", "landlock"] = ""
    hosts: tuple[str, ...] = ()

    @classmethod
    def chosen(cls, setting: str, hosts: tuple[str, ...] = ()) -> Sandbox:
        """The sandbox that the settings ``sandbox`` and ``program_hosts`` ask for."""
        only: Any = "" if setting in ("auto", "off") else setting
        return cls(unsafe=setting == "off", only=only, hosts=hosts)

    def __post_init__(self) -> None:
        check_hosts(self.hosts)

    @property
    def walls(self) -> Walls | Literal[""]:
        """What keeps programs in; empty where nothing can."""
        if self.unsafe:
            return "none"
        if self.only != "landlock" and not problem(shutil.which("bwrap"))[0]:
            return "bubblewrap"
        if self.hosts:
            return ""  # Landlock tells ports apart, but not hosts
        return "landlock" if self.only != "bubblewrap" and not landlock.lacking() else ""

    @property
    def blocked(self) -> str:
        """Why no program can be run, and the fix, in one line; empty when it can."""
        if self.walls:
            return ""
        why, fix = problem(shutil.which("bwrap"))
        if self.hosts and self.only != "bubblewrap" and not landlock.lacking():
            why, fix = ("sandbox is landlock", "set it to auto") if not why else (why, fix)
            return (
                "programs cannot be run: they may reach hosts (program_hosts), and Landlock tells ports"
                f" apart but not hosts; {why}: {fix}, or take program_hosts out"
            )
        if self.only == "landlock":
            return f"programs cannot be run: {landlock.lacking()}: set sandbox to auto, {UNSAFE}"
        second = "" if self.only or not sys.platform.startswith("linux") else f", and {landlock.lacking()}"
        return f"programs cannot be run: {why}{second}: {fix}, {UNSAFE}"

    def run(self, command: Sequence[str], workspace: Workspace, *, seconds: float | None = None) -> Outcome:
        """Run a program to its end, or to a limit. Ctrl-C stops it, too.

        Args:
            command: Program and arguments; the program is looked for in the system's folders.
            workspace: Its folder; the rest of what it may not touch is hidden from it.
            seconds: Less time than the limits give.

        Raises:
            ToolError: there is no sandbox here, or the program cannot be started.
        """
        walls = self.walls
        if not walls:
            raise ToolError(self.blocked)
        if walls != "none" and workspace.root == Path(workspace.root.anchor):
            raise ToolError(
                "programs cannot be run: the workspace is the whole disk, so nothing would be outside"
            )
        limits = self.limits
        if seconds is not None:
            limits = limits.model_copy(update={"seconds": min(seconds, limits.seconds)})
        if walls == "none":
            return _unprotected(command, workspace, limits)
        found = look(workspace)
        if walls == "bubblewrap":
            done = _in_bubblewrap(command, workspace, found, limits, self.hosts)
        else:
            done = _in_landlock(command, workspace, found, limits)
        return _without_new_homes(done, workspace, found.homes)


def _in_bubblewrap(
    command: Sequence[str],
    workspace: Workspace,
    found: Found,
    limits: SandboxLimits,
    hosts: tuple[str, ...],
) -> Outcome:
    with (
        bubblewrap.call_filter() as calls,
        crowd_limit(limits.processes + _CROWD) as join,
        _way_out(hosts) as proxy,
    ):
        line = [*join, *bubblewrap.walls(workspace, found, limits.memory, calls, trust=proxy is not None)]
        told, inherited = environment("/tmp"), [] if calls is None else [calls]
        if proxy is not None:
            line, told = [*line, *proxy.handover], told | proxy.environment
            inherited.append(proxy.inherited)
        line += _limited(command, limits, crowded=limits.processes + _CROWD)
        done = watch(line, workspace.root, told, limits, inherited=inherited)
        if proxy is None:
            return done
    return replace(done, refused=tuple(proxy.refused), reached=tuple(proxy.reached))


@contextmanager
def _way_out(hosts: tuple[str, ...]) -> Iterator[Proxy | None]:
    """The proxy that leads to the hosts; without any, there is none."""
    if not hosts:
        yield None
        return
    from autoagent.security.proxy import Proxy  # and all that it imports

    with Proxy(hosts) as proxy:
        yield proxy


def _in_landlock(
    command: Sequence[str], workspace: Workspace, found: Found, limits: SandboxLimits
) -> Outcome:
    most = limits.processes + _CROWD
    landlock.check_apart(found.hidden, found.kept)
    with landlock.room() as place, _stage(workspace, found) as folder, crowd_limit(most) as join:
        line = [*join, *landlock.walls(place, found.kept, [str(folder)])]
        line += _limited(command, limits, crowded=most + threads_of_user())
        return watch(line, folder, environment(str(place / "tmp")), limits, patient=True)


def _unprotected(command: Sequence[str], workspace: Workspace, limits: SandboxLimits) -> Outcome:
    temporary = os.environ.get("TMPDIR", "/tmp")
    with crowd_limit(limits.processes + _CROWD) as join:
        line = [*join, *_limited(command, limits)]
        return watch(line, workspace.root, environment(temporary), limits)


def _limited(command: Sequence[str], limits: SandboxLimits, crowded: int | None = None) -> list[str]:
    """The command under the limits that a shell can set, ``crowded`` on the processes of its user."""
    crowd = ":" if crowded is None else _CROWDED.format(crowded)
    sizes = (str(limits.file_size // 512), str(limits.memory // 1024))
    return ["/bin/sh", "-c", _LIMITED, "sh", *sizes, crowd, *command]


@contextmanager
def _stage(workspace: Workspace, found: Found) -> Iterator[Path]:
    """Where a program works: in the workspace itself, unless something in there has to be kept from it."""
    if not found.hidden and not found.kept:
        yield workspace.root
        return
    with staged(workspace.root, found.kept, found.hidden) as folder:
        yield folder


def _without_new_homes(done: Outcome, workspace: Workspace, before: Sequence[Path]) -> Outcome:
    """Set aside homes of autoagent that the program made: settings in there would be a policy of its own."""
    names = []
    for path in look(workspace).homes:
        if path in before or is_stage(path):
            continue
        with suppress(OSError):  # gone already
            path.rename(path.with_name(f"{path.name}-{secrets.token_hex(4)}"))
            names.append(str(path.relative_to(workspace.root)))
    if not names:
        return done
    told = f"{', '.join(names)} was renamed: no program may make settings of autoagent"
    return replace(done, output=f"{done.output}\n{told}")
