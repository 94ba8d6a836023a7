"""``autoagent memory``: what is kept between runs."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from autoagent.cli import console
from autoagent.cli.parts import Parts, parts_of
from autoagent.errors import UsageError
from autoagent.home import FOLDER, ensure_home
from autoagent.memory import Entry, Recalled, exists, open_memory
from autoagent.memory import reindex as reindex_memory
from autoagent.memory.protocol import OUTSIDE

if TYPE_CHECKING:
    from autoagent.memory.chroma import ChromaMemory
    from autoagent.memory.documents import Added

app = typer.Typer(help="Add to, search and forget long-term memory.", no_args_is_help=True)

_LONGEST = 100  # characters of a text in a list
_MOST_SOURCES = 20  # in the statistics
_FIRST_DATE = 1_000_000_000_000_000  # µs; older memories counted their entries instead of telling the time
_WAIT = 5.0  # seconds, for another process to let go
_EMPTY = "Nothing is kept yet: autoagent memory add TEXT|FILE|DIR adds something."


class Kind(StrEnum):
    """The kinds of memories, as typer wants them."""

    semantic = "semantic"
    episodic = "episodic"
    procedural = "procedural"


KindOption = Annotated[
    Kind | None, typer.Option("--kind", help="Only facts and documents, runs, or verified plans.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]


@app.command()
def add(
    ctx: typer.Context,
    what: Annotated[list[str], typer.Argument(metavar="TEXT|FILE|DIR…", help="A fact, or files to read.")],
    source: Annotated[str, typer.Option(help="Where a fact comes from.")] = "user",
    kind: Annotated[Kind, typer.Option(help="What sort of text a fact is.")] = Kind.semantic,
    as_text: Annotated[
        bool, typer.Option("--text", help="Take it as a fact even if such a file exists.")
    ] = False,
) -> None:
    """Remember a fact, a file or all files of a folder; a file that changed replaces what was kept of it."""
    paths = [] if as_text else _paths(what)
    if not paths:
        if len(what) > 1:
            raise UsageError(
                f'these are several texts: put quotes around one: "{console.cut(" ".join(what), 60)}"'
            )
        text = sys.stdin.read() if what == ["-"] and not as_text else what[0]
        if not text.strip():
            raise UsageError("the text is empty: say what to remember")
        with _opened(parts_of(ctx), new=True) as memory:
            print(memory.add(text, kind.value, source))
        return
    with _opened(parts_of(ctx), new=True) as memory:
        _add_files(memory, paths, _root(parts_of(ctx)))


@app.command("list")
def list_(
    ctx: typer.Context,
    kind: KindOption = None,
    source: Annotated[str, typer.Option(help="Only of this source: a file, a folder, user, …")] = "",
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="How many, newest first.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show what is kept, newest first."""
    found: list[Entry] = []
    with _opened(parts_of(ctx)) as memory:
        if memory is not None:
            for each in _sources(memory, source, _root(parts_of(ctx))):
                found += memory.entries(kind or "", each, number)
    found = sorted(found, key=lambda entry: -entry.age)[:number]
    if as_json:
        print(json.dumps([_entry_json(each) for each in found], ensure_ascii=False, indent=2))
        return
    for entry in found:
        where = entry.citation or entry.source
        _line(
            entry.id,
            f"{_day(entry):10}  {entry.kind:10}  {where}",
            console.cut(_one_line(entry.text), _LONGEST),
        )
    if not found:
        console.err().print("Nothing of that sort is kept." if kind or source else _EMPTY, soft_wrap=True)


@app.command()
def search(
    ctx: typer.Context,
    query: Annotated[str, typer.Argument(help="What to look for.")],
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="How many, best first.")] = 5,
    kind: KindOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what fits a query, best first, with ids and where it stands."""
    found: list[Recalled] = []
    with _opened(parts_of(ctx)) as memory:
        if memory is not None:
            found = memory.recall(query, number, kind or "")
    if as_json:
        print(json.dumps([_recalled_json(each) for each in found], ensure_ascii=False, indent=2))
        return
    for each in found:
        _line(each.id, each.citation, _one_line(each.text))
    if not found:
        console.err().print("Nothing in memory fits.")


app.command("recall", help="The same as search.")(search)


@app.command()
def forget(
    ctx: typer.Context,
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="As list and search show it.")] = None,
    source: Annotated[str, typer.Option(help="All of a source: a file, a folder, user, …")] = "",
    everything: Annotated[bool, typer.Option("--all", help="All there is.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before --all.")] = False,
) -> None:
    """Forget entries, those of a source, or everything."""
    if bool(ids) + bool(source) + everything != 1:
        raise UsageError("say what to forget: ids, --source SOURCE or --all")
    count = 0
    with _opened(parts_of(ctx)) as memory:
        if memory is not None:
            if everything and not _sure(memory.count(), yes):
                print("nothing was forgotten")
                return
            sources = _sources(memory, source, _root(parts_of(ctx))) if source else []
            if everything:
                sources, ids = [], [entry.id for entry in memory.entries()]
            count = memory.forget(*(ids or ())) + sum(memory.forget(source=each) for each in sources)
    if count == 0 and not everything:
        what = f"nothing from {source}" if source else "nothing with such an id"
        raise UsageError(f"there is {what}: autoagent memory list shows what is kept")
    print(f"forgot {count}")


@app.command()
def stats(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Count what is kept by kind and source; say where, how large, and with which embedder."""
    with _opened(parts_of(ctx)) as memory:
        if memory is None:
            if as_json:
                print(json.dumps({"entries": 0}))
            else:
                console.err().print(_EMPTY, soft_wrap=True)
            return
        counts, about = memory.counts(), memory.about()
    kinds: Counter[str] = Counter()
    sources: Counter[str] = Counter()
    for (kind, source), count in counts.items():
        kinds[kind] += count
        sources[source] += count
    if as_json:
        found = {"entries": kinds.total(), "kinds": kinds, "sources": sources, **about}
        print(json.dumps(found, ensure_ascii=False, indent=2))
        return
    rows = [
        ("entries", str(kinds.total())),
        *((f"  {kind}", str(count)) for kind, count in kinds.most_common()),
    ]
    rows.append(("sources", str(len(sources))))
    rows += [(f"  {source or '(none)'}", str(count)) for source, count in sources.most_common(_MOST_SOURCES)]
    if len(sources) > _MOST_SOURCES:
        rows.append((f"  and {len(sources) - _MOST_SOURCES} more", ""))
    size = [] if about["bytes"] is None else [("size", f"{about['bytes'] / 1e6:.1f} MB")]
    for name, value in [*rows, *size, ("embedder", about["embedder"]), ("where", about["where"])]:
        console.out().print(Text(f"{console.clean(name):28} {console.clean(value)}".rstrip()), soft_wrap=True)


@app.command()
def reindex(ctx: typer.Context) -> None:
    """Embed everything again, after another embedder was set."""
    parts = parts_of(ctx)
    if not parts.settings.memory_url and not exists(parts.home):
        console.err().print(_EMPTY, soft_wrap=True)
        return
    settings = parts.settings
    count, name = reindex_memory(parts.home, url=settings.memory_url, embedder=settings.memory_embedder)
    print(f"{_number(count, 'entry is', 'entries are')} embedded with {name}")


@contextmanager
def _opened(parts: Parts, *, new: bool = False) -> Iterator[Any]:
    """The configured memory, closed afterwards; None where nothing was ever kept, unless it is to be made."""
    settings = parts.settings
    if not settings.memory_url and not exists(parts.home):
        if not new:
            yield None
            return
        ensure_home(parts.home)
    memory = open_memory(parts.home, url=settings.memory_url, embedder=settings.memory_embedder, wait=_WAIT)
    try:
        yield memory
    finally:
        memory.close()


def _paths(what: Sequence[str]) -> list[Path]:
    """The files and folders meant; none where it is a text.

    Raises:
        UsageError: something looks like a file and is not there.
    """
    there = [word for word in what if _is_path(word)]
    for word in what:
        looks_so = len(what) > 1 if there else "/" in word and " " not in word.strip() and "://" not in word
        if word not in there and looks_so:
            raise UsageError(
                f"there is no file or folder {word}; with --text the words themselves are remembered"
            )
    return [Path(word).expanduser() for word in there]


def _is_path(word: str) -> bool:
    try:
        return bool(word.strip()) and Path(word).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # a long text, a NUL inside, or no such ~user
        return False


def _add_files(memory: ChromaMemory, paths: list[Path], root: Path) -> None:
    """Read files, with progress on standard error, and say what came of it."""
    from autoagent.memory.documents import add_files, files_of, forget_vanished

    files = files_of(paths)
    results: list[Added] = []
    columns = (TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[file]}"))
    screen = console.err()
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as progress:
        task = progress.add_task("", total=len(files), file="")
        for result in add_files(memory, files, root):
            results.append(result)
            progress.update(task, advance=1, file=console.clean(console.cut(result.source, 60)))
    vanished = sum(forget_vanished(memory, path, root) for path in paths if path.is_dir())
    skipped = Counter(result.skipped for result in results if result.skipped)
    if skipped:
        reasons = ", ".join(f"{count} {reason}" for reason, count in skipped.most_common())
        screen.print(f"skipped {_number(skipped.total(), 'file')}: {reasons}", soft_wrap=True)
    read = [result for result in results if not result.skipped]
    if not read and not vanished:
        raise UsageError("nothing was added: there is no text in what was named")
    same = sum(not result.new and not result.gone for result in read)
    chunks, gone = sum(result.new for result in read), sum(result.gone for result in read)
    changed = len(read) - same
    parts = [f"{_number(chunks, 'chunk')} of {_number(changed, 'file')} added" if changed else "nothing new"]
    parts += [f"{_number(gone, 'old chunk')} replaced"] * bool(gone)
    parts += [f"{_number(same, 'file')} unchanged"] * bool(same)
    parts += [f"{_number(vanished, 'file')} no longer there, forgotten"] * bool(vanished)
    print("; ".join(parts))


def _sources(memory: ChromaMemory, source: str, root: Path) -> list[str]:
    """What a user means by a source: its very name, a file, or all files of a folder."""
    from autoagent.memory.documents import sources_below

    if not source:
        return [""]
    names = {name for _, name in memory.counts()}
    if source.startswith("run "):  # what it kept after it had read from outside is marked
        return [each for each in (source, f"{source} {OUTSIDE}") if each in names]
    return [source] if source in names else sources_below(memory, Path(source).expanduser(), root)


def _root(parts: Parts) -> Path:
    """What paths of documents are written relative to: the project; without one they are whole."""
    return parts.home.parent if parts.home.name == FOLDER else parts.home


def _sure(count: int, yes: bool) -> bool:
    if yes or not count:
        return True
    if not sys.stdin.isatty():
        raise UsageError("nobody can be asked here: --all needs --yes")
    return typer.confirm(f"Forget {_number(count, 'entry', 'entries')}?", err=True)


def _number(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def _line(id: str, about: str, text: str) -> None:
    line = Text(f"{id}  ", style="dim")
    if about:
        line.append(f"{console.clean(about)}  ", style="cyan not dim")
    console.out().print(line.append(console.clean(text), style="not dim"), soft_wrap=True)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _day(entry: Entry) -> str:
    return _when(entry)[:10]


def _when(entry: Entry) -> str:
    if entry.age < _FIRST_DATE:
        return ""
    return datetime.fromtimestamp(entry.age / 1e6).astimezone().isoformat(timespec="seconds")


def _entry_json(entry: Entry) -> dict[str, Any]:
    about = {"id": entry.id, "kind": entry.kind, "source": entry.source, "citation": entry.citation}
    return {**about, "added": _when(entry), "text": entry.text}


def _recalled_json(each: Recalled) -> dict[str, Any]:
    about = {"id": each.id, "kind": each.kind, "source": each.source, "citation": each.citation}
    return {**about, "score": each.score, "text": each.text}
