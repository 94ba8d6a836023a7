"""The machine: Python, packages, disk, terminal, sandbox, device."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from autoagent.cli.checkup.finding import GB, Finding, Status
from autoagent.cli.parts import Parts

# What is no address is refused, so this is: a program has found the proxy, and nothing was reached.
_ASKING = """
import os, socket
host, port = os.environ["http_proxy"].removeprefix("http://").split(":")
way = socket.create_connection((host, int(port)), 10)
way.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
way.recv(1)
"""


def python(parts: Parts) -> Iterator[Finding]:
    """Which Python, on what, and which autoagent."""
    versions = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Finding("python", "ok", f"{versions}, autoagent {importlib.metadata.version('autoagent')}")


def packages(parts: Parts) -> Iterator[Finding]:
    """Whether everything autoagent needs is installed."""
    found, missing = [], []
    for line in importlib.metadata.requires("autoagent") or ():
        if "extra ==" in line:
            continue
        name = re.split(r"[^\w.-]", line, maxsplit=1)[0]
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        advice = "install autoagent again: pip install --force-reinstall autoagent"
        yield Finding("packages", "fail", f"missing: {', '.join(missing)}", advice)
    shown = [each for each in found if each.startswith(("torch ", "transformers ", "chromadb "))]
    yield Finding("packages", "ok", f"{', '.join(shown)} and {len(found) - len(shown)} others")


def home(parts: Parts) -> Iterator[Finding]:
    """Whether records can be written, and for how long there is space."""
    home = parts.home
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        yield Finding("home", "fail", f"{home} cannot be written", "choose another with --home, or chmod it")
    else:
        yield Finding("home", "ok", str(home) if home.exists() else f"{home}, made by the first run")
    free = shutil.disk_usage(there).free
    status: Status = "ok" if free > GB else "warn" if free > GB / 10 else "fail"
    yield Finding("disk", status, f"{free / GB:.1f} GB free", "" if status == "ok" else "free some space")


def terminal(parts: Parts) -> Iterator[Finding]:
    """Whether every letter can be shown."""
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    term = f"TERM={os.environ.get('TERM', 'not set')}"
    colour = "no colours (NO_COLOR)" if os.environ.get("NO_COLOR") else term
    size = f", {shutil.get_terminal_size().columns} columns" if sys.stdout.isatty() else ", not a terminal"
    if encoding == "utf8":
        yield Finding("terminal", "ok", f"UTF-8, {colour}{size}")
    else:
        advice = "set LANG=C.UTF-8 or PYTHONUTF8=1"
        yield Finding("terminal", "warn", f"{encoding or 'unknown'} cannot show every letter{size}", advice)


def sandbox(parts: Parts) -> Iterator[Finding]:
    """Whether programs can be run safely."""
    from autoagent.security import Sandbox, landlock
    from autoagent.security.probe import problem

    chosen = Sandbox.chosen(parts.settings.sandbox, parts.settings.program_hosts)
    if chosen.unsafe:
        yield Finding("sandbox", "warn", "off: programs run with your rights", 'set sandbox = "auto"')
    elif blocked := chosen.blocked:
        what, _, fix = blocked.partition(": ")
        yield Finding("sandbox", "warn", f"{what}; all else works", fix)
    elif chosen.walls == "bubblewrap":
        other = landlock.lacking() or f"Landlock (ABI {landlock.edition()}) would work, too"
        yield Finding("sandbox", "ok", f"programs run in bubblewrap; {other}")
    else:
        why, fix = problem(shutil.which("bwrap"))
        reason = f"; {why}" if why else ", as set"
        text = f"programs run in Landlock (ABI {landlock.edition()}) with seccomp{reason}"
        yield Finding("sandbox", "ok", text, fix)


def program_hosts(parts: Parts) -> Iterator[Finding]:
    """Whether programs find the proxy, where hosts are named for them; found out by running one."""
    from autoagent.errors import ToolError
    from autoagent.security import Sandbox
    from autoagent.workspace import Workspace

    named = ", ".join(parts.settings.program_hosts)
    chosen = Sandbox.chosen(parts.settings.sandbox, parts.settings.program_hosts)
    if not named or chosen.blocked:
        return  # the sandbox has been told of
    if chosen.unsafe:
        text = f"programs reach every host, not only {named}: the sandbox is off"
        yield Finding("program hosts", "warn", text, 'set sandbox = "auto"')
        return
    try:
        with tempfile.TemporaryDirectory(prefix="autoagent-") as folder:
            command = [sys.executable, "-I", "-c", _ASKING]
            done = chosen.run(command, Workspace.at(Path(folder)), seconds=20)
        said = "" if done.refused else " ".join(done.output.split()[-12:]) or "nothing is heard of it"
    except (ToolError, OSError) as problem:
        said = str(problem)
    if said:
        advice = "take program_hosts out, and programs run without a network"
        yield Finding("program hosts", "warn", f"programs do not find their proxy: {said}", advice)
    else:
        text = f"programs reach {named} by the sandbox's proxy, and nothing else"
        yield Finding("program hosts", "ok", text)


def device(parts: Parts) -> Iterator[Finding]:
    """Where a model runs, in which number format, and how much fits."""
    import torch

    from autoagent.models.loading import SMALL, chosen_device, chosen_dtype, free_memory

    settings = parts.settings
    device = chosen_device(settings.device)
    kind = chosen_dtype(settings.dtype, SMALL, torch.bfloat16, device)
    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    chip = f" ({name})" if name else ""
    free = free_memory(device)
    large = str(kind).removeprefix("torch.")
    yield Finding("device", "ok", f"{device}{chip}{threads}; large models in {large}")
    status: Status = "ok" if free > GB else "warn"
    advice = "" if status == "ok" else "end other programs, or only small models will fit"
    yield Finding("memory free", status, f"{free / GB:.1f} GB", advice)
