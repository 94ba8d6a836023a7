"""``autoagent runs export`` and ``import``: runs as files, for other tools, other people, other projects."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoagent.cli import console
from autoagent.cli.parts import parts_of
from autoagent.cli.runs_args import Model, Runs, Suite, Tags, Verdict
from autoagent.errors import StoreError, UsageError
from autoagent.store import Store
from autoagent.store.portable import import_run, packed_run, unpacked_run

if TYPE_CHECKING:
    from autoagent.security import Secrets
    from autoagent.security.keyfiles import KeyFiles
    from autoagent.settings import Config

_IDS = frozenset("prompt_token_ids completion_token_ids logprobs masked_logprobs origins".split())  # of ATIF


class Format(StrEnum):
    """What a run is written as."""

    HTML = "html"
    ATIF = "atif"
    MESSAGES = "messages"
    NATIVE = "native"


def export(
    ctx: typer.Context,
    runs: Runs = None,
    as_: Annotated[
        Format,
        typer.Option(
            "--format",
            "-f",
            help="html: a page to read. atif: trajectory JSON. messages: chats as JSONL. native: for import.",
        ),
    ] = Format.HTML,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File to write, by default standard output.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All runs that fit the filters.")] = False,
    verdict: Verdict = None,
    suite: Suite = None,
    model: Model = None,
    tag: Tags = None,
    files: Annotated[
        bool, typer.Option(help="native: with what the workspace held, so that it can be compared.")
    ] = True,
) -> None:
    """Write runs as files: a page to read, or data for other tools.

    Several runs at once are lines of JSON (JSONL); a page shows one run.
    """
    parts = parts_of(ctx)
    store = Store(parts.home)
    if everything and runs:
        raise UsageError("name runs, or say --all, not both")
    if not everything and (verdict or suite is not None or model or tag):
        raise UsageError("--verdict, --suite, --model and --tag choose among all runs: add --all")
    chosen = [run.run_id for run in reversed(store.runs(verdict=verdict, suite=suite, model=model, tags=tag))]
    named = chosen if everything else [store.find(run).run_id for run in runs or ["last"]]
    if not named:
        raise UsageError("no run fits: see `autoagent runs list`")
    if as_ is Format.HTML and len(named) > 1:
        raise UsageError(
            f"a page shows one run, these are {len(named)}: name one, or choose another --format"
        )
    secrets = _secrets_in(store, named, parts.settings)
    count = _write(_text(store, named, as_, secrets=secrets, files=files), output)
    if output is not None:
        lines = f", {count} lines" if as_ is Format.MESSAGES else ""
        size = f"{len(named)} run{'' if len(named) == 1 else 's'}{lines}"
        console.err().print(f"{output}: {size}, {output.stat().st_size:,} bytes", soft_wrap=True)


def _secrets_in(store: Store, runs: Sequence[str], settings: Config) -> Secrets:
    """What an export must not hold, though a run of an older version, or of another environment, may: what is
    secret here, in the workspaces of the runs as they are now, and as they were in the runs."""
    from autoagent.security import Secrets, known_secrets  # late: `runs list` does without
    from autoagent.security.keyfiles import KeyFiles, values_in

    if not settings.secrets:
        return Secrets(patterns={})
    names = settings.secret_names
    secrets = known_secrets(os.environ, names=names, patterns=settings.secret_patterns)
    places = {store.find(run).workspace for run in runs}
    for place in sorted(each for each in places if each and Path(each).is_dir()):
        secrets.files = KeyFiles(Path(place), settings.secret_files, names)
        secrets.look_again()
    told = KeyFiles(Path(), settings.secret_files, names)
    for name, content in sorted(_once_kept(store, runs, told)):
        with contextlib.suppress(StoreError):
            for key, value in values_in(name, store.snapshots.content(content), names):
                secrets.add(key, value)
    return secrets


def _once_kept(store: Store, runs: Sequence[str], told: KeyFiles) -> set[tuple[str, str]]:
    """Name and hash of every key file in the copies that the runs have of their workspaces."""
    found = set()
    for snapshot in {each for run in runs for each in store.snapshots_of(run).values()}:
        with contextlib.suppress(StoreError):  # `runs check` tells of a damaged one
            entries = store.snapshots.entries(snapshot).items()
            files = {
                (PurePosixPath(path).name, entry.content) for path, entry in entries if entry.kind == "file"
            }
            found |= {(name, content) for name, content in files if told.holds(name)}
    return found


def _text(store: Store, runs: Sequence[str], as_: Format, *, secrets: Secrets, files: bool) -> Iterator[str]:
    """What is written, piece by piece, each with its line end."""
    if as_ is Format.HTML:
        from autoagent.store.page import page

        yield secrets.redacted(page(store, runs[0]))
    elif as_ is Format.MESSAGES:
        from autoagent.store.export import chats

        schemas = _schemas()
        for run in runs:
            for chat in chats(store, run, schemas):
                yield json.dumps(secrets.redacted_all(chat)) + "\n"
    else:
        for value in _values(store, runs, as_, files=files):
            value = _hidden(value, secrets)
            yield json.dumps(value, indent=None if len(runs) > 1 else 1) + "\n"


def _hidden(run: dict[str, Any], secrets: Secrets) -> dict[str, Any]:
    """A run without secrets; where it held one, without token ids, too, which spell it. Files stay whole."""
    from autoagent.security import Secrets

    told = {name: each for name, each in run.items() if name != "contents"}
    clean: dict[str, Any] = secrets.redacted_all(told)
    if clean != Secrets(patterns={}).redacted_all(told):
        clean = _without_ids(clean)
    return clean | ({"contents": run["contents"]} if "contents" in run else {})


def _without_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_ids(each) for each in value]
    if not isinstance(value, dict):
        return value
    kept = {name: _without_ids(each) for name, each in value.items() if name not in _IDS}
    return kept | ({"trace": None} if "trace" in kept else {})


def _values(store: Store, runs: Sequence[str], as_: Format, *, files: bool) -> Iterator[dict[str, Any]]:
    from autoagent.store.export import atif

    schemas = _schemas() if as_ is Format.ATIF else {}
    for run in runs:
        yield atif(store, run, schemas) if as_ is Format.ATIF else packed_run(store, run, files=files)


def _schemas() -> dict[str, dict[str, Any]]:
    from autoagent.tools import builtin_tools

    return {tool.name: tool.schema for tool in builtin_tools()}


def _write(pieces: Iterator[str], output: Path | None) -> int:
    if output is None:
        count = 0
        for count, piece in enumerate(pieces, start=1):  # noqa: B007 - how many there were
            sys.stdout.write(piece)
        return count
    try:
        with output.open("w", encoding="utf-8") as file:
            return sum(1 for piece in pieces if file.write(piece))
    except OSError as problem:
        raise UsageError(f"{output} cannot be written: {problem.strerror}") from None


def import_(
    ctx: typer.Context,
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Exported runs; - for standard input.")
    ],
) -> None:
    """Put runs that were exported (native or ATIF) on record here."""
    from autoagent.store.atif_import import from_atif

    store = Store(parts_of(ctx).home)
    for file in files:
        for value in parsed(file):
            atif = str(value.get("schema_version", "")).startswith("ATIF-")
            done = import_run(store, from_atif(value) if atif else unpacked_run(value))
            if done.known:
                print(f"{done.run_id} is here already")
            else:
                print(f"{done.run_id} is on record" + (f" (was {done.was})" * (done.run_id != done.was)))


def parsed(file: str) -> list[dict[str, Any]]:
    """The runs of a file: one JSON value, or one a line.

    Raises:
        UsageError: it cannot be read, or holds something else.
    """
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        why = getattr(problem, "strerror", None) or "it is no UTF-8 text"
        raise UsageError(f"{file} cannot be read: {why}") from None
    try:
        values = [json.loads(text)]
    except (ValueError, RecursionError):
        values = [
            _line(file, number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()
        ]
    if not values or not all(isinstance(value, dict) for value in values):
        raise UsageError(f"{file} holds no exported run: export one with `runs export --format native`")
    return values


def _line(file: str, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as problem:
        raise UsageError(f"{file}, line {number}: no JSON: {problem}") from None
