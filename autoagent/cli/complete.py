"""What the shell offers after Tab: settings, profiles, prompts, tools, runs, versions, all cheap to find.

A completion that cannot be had is no error: the shell then offers nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import typer

from autoagent.errors import AutoagentError
from autoagent.home import expanded, project_home

_RUNS = 30  # the latest

Offer = Iterator[tuple[str, str]]  # a word and what is said about it
Complete = Callable[[typer.Context, str], Offer]


def _offered(names: Callable[[Path], Iterable[tuple[str, str]]]) -> Complete:
    def complete(ctx: typer.Context, incomplete: str) -> Offer:
        with suppress(AutoagentError, OSError):
            for name, about in names(_home(ctx)):
                if name.startswith(incomplete):
                    yield name, about

    return complete


def _home(ctx: typer.Context) -> Path:
    """The home that the command would get: nothing but options was parsed yet."""
    chosen = ctx.find_root().params.get("home")
    return expanded(chosen).absolute() if chosen else project_home()


def _runs(home: Path) -> Iterable[tuple[str, str]]:
    from autoagent.store import Store

    runs = [(run.run_id, " ".join(run.goal.split())[:60]) for run in Store(home).runs(limit=_RUNS)]
    return [("last", "the latest run"), *runs] if runs else []


def versions_in(home: Path) -> Iterable[tuple[str, str]]:
    from autoagent.models.versions import EMBEDDED, Versions

    listed = [(version.name, version.note or version.method) for version in reversed(Versions(home).list())]
    return [(EMBEDDED, "shipped with autoagent"), *listed]


def _prompts(home: Path) -> Iterable[tuple[str, str]]:
    from autoagent.prompts import NAMES

    return [(name, "") for name in NAMES]


def _tools(home: Path) -> Iterable[tuple[str, str]]:
    from autoagent.tools import builtin_tools

    return [(tool.name, tool.description) for tool in builtin_tools()]


def _settings(home: Path) -> Iterable[tuple[str, str]]:
    from autoagent.settings import FIELDS

    return FIELDS.items()


def _profiles(home: Path) -> Iterable[tuple[str, str]]:
    from autoagent.settings import profiles as found

    return [(name, str(file)) for name, file in found(home).items()]


settings = _offered(_settings)
profiles = _offered(_profiles)
runs = _offered(_runs)
versions = _offered(versions_in)
prompts = _offered(_prompts)
tools = _offered(_tools)
