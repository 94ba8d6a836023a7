"""The project: settings, record, prompts, tools, memory."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from autoagent.cli.checkup.finding import WAIT, Finding
from autoagent.cli.parts import Parts
from autoagent.errors import AutoagentError
from autoagent.home import FILE


def settings(parts: Parts) -> Iterator[Finding]:
    """Whether the settings are valid, and where they are."""
    loaded = parts.loaded
    files = [str(file) for file in loaded.files.values() if file.exists()]
    profile = f", profile {loaded.config.profile}" if loaded.config.profile else ""
    text = f"{', '.join(files) or 'all at their defaults'}{profile}"
    yield Finding("settings", "ok", text)
    key_from = loaded.sources.get("api_key", "")
    if key_from in files and Path(key_from).stat().st_mode & 0o077:
        yield Finding(
            "settings", "warn", f"{key_from} holds a key, and others can read it", f"chmod 600 {key_from}"
        )


def record(parts: Parts) -> Iterator[Finding]:
    """A quick look through the file, for no longer than some seconds; see also `autoagent runs check`."""
    file = parts.home / "runs.db"
    if not file.exists():
        yield Finding("record", "ok", "no runs yet")
        return
    until = time.monotonic() + WAIT
    address = f"{file.absolute().as_uri()}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=WAIT)) as record:
            runs = record.execute("SELECT count(*) FROM runs").fetchone()[0]
            record.set_progress_handler(lambda: int(time.monotonic() > until), 10_000)
            try:
                said = record.execute("PRAGMA quick_check(1)").fetchone()[0]
            except sqlite3.OperationalError as error:
                if getattr(error, "sqlite_errorname", "") != "SQLITE_INTERRUPT":
                    raise
                said = "ok"  # as far as was looked
    except sqlite3.Error as error:
        said, runs = str(error), 0
    if said == "ok":
        yield Finding("record", "ok", f"{runs} runs, {file.stat().st_size / 1e6:.1f} MB")
    else:
        yield Finding("record", "fail", f"{file}: {said}", "restore it from a copy, or move it away")


def prompts(parts: Parts) -> Iterator[Finding]:
    """Whether the prompts in place of ours work."""
    from autoagent.prompts import NAMES, warnings_of
    from autoagent.prompts.samples import SAMPLES

    found = parts.prompt_set()
    own = [name for name in NAMES if found.layer(name) == "project"]
    broken = False
    for name in own:
        try:
            found.render(name, **SAMPLES[name])
        except AutoagentError as problem:
            broken = True
            yield Finding("prompts", "fail", str(problem), "mend the file, or delete it")
    warnings = warnings_of(found)
    for warning in warnings:
        what, _, advice = warning.partition(": ")
        yield Finding("prompts", "warn", what, advice)
    if not broken and not warnings:
        yield Finding("prompts", "ok", f"your own: {', '.join(own)}" if own else "none of your own")


def tools(parts: Parts) -> Iterator[Finding]:
    """Whether all tools load: ours, the user's, those of plug-ins."""
    from autoagent.tools import builtin_tools, plugin_tools, tools_from_file

    own, broken = 0, False
    for file in parts.settings.tools:
        try:
            own += len(tools_from_file(Path(file)))
        except AutoagentError as problem:
            broken = True
            source = parts.loaded.sources.get("tools", FILE)
            yield Finding("tools", "fail", str(problem), f"mend the file, or take it out of {source}")
    added, notes = plugin_tools()
    for note in notes:
        broken = True
        yield Finding("tools", "warn", note, "mend or uninstall the package")
    if not broken:
        more = [f"{own} of yours"] if own else []
        more += [f"{len(added)} of plug-ins"] if added else []
        yield Finding("tools", "ok", ", ".join([f"{len(builtin_tools())} built in", *more]))


def memory(parts: Parts) -> Iterator[Finding]:
    """Whether long-term memory can be opened."""
    from autoagent.memory import MemoryLocked, exists, open_memory

    settings = parts.settings
    if not settings.memory:
        yield Finding("memory", "ok", "switched off")
        return
    if not settings.memory_url and not exists(parts.home):
        yield Finding("memory", "ok", "nothing is kept yet")
        return
    try:
        memory = open_memory(
            parts.home, url=settings.memory_url, embedder=settings.memory_embedder, wait=WAIT / 3
        )
    except MemoryLocked as problem:
        yield Finding("memory", "warn", str(problem), "until then, runs do without long-term memory")
        return
    try:
        yield Finding("memory", "ok", f"{(kept := memory.count())} text{'' if kept == 1 else 's'}")
    finally:
        memory.close()
