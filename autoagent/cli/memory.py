"""``autoagent memory``: what is kept between runs."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from autoagent.cli import console
from autoagent.cli.parts import parts_of
from autoagent.errors import UsageError
from autoagent.memory import open_memory

app = typer.Typer(help="Add to, search and forget long-term memory.", no_args_is_help=True)


@app.command()
def add(
    ctx: typer.Context,
    text: Annotated[str, typer.Argument(help="A fact.")],
    source: Annotated[str, typer.Option(help="Where it comes from.")] = "user",
) -> None:
    """Remember a fact."""
    if not text.strip():
        raise UsageError("the text is empty: say what to remember")
    memory = open_memory(parts_of(ctx).home)
    try:
        print(memory.add(text, source=source))
    finally:
        memory.close()


@app.command()
def recall(
    ctx: typer.Context,
    query: Annotated[str, typer.Argument(help="What to look for.")],
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="How many, best first.")] = 5,
) -> None:
    """Show what fits a query, best first, with ids."""
    memory = open_memory(parts_of(ctx).home)
    try:
        found = memory.recall(query, number)
    finally:
        memory.close()
    screen = console.out()
    for each in found:
        text = console.clean(" ".join(each.text.split()))
        screen.print(Text(f"{each.id}  ", style="dim").append(text, style="not dim"), soft_wrap=True)
    if not found:
        console.err().print("Nothing in memory fits.")


@app.command()
def forget(
    ctx: typer.Context, ids: Annotated[list[str], typer.Argument(metavar="ID", help="As recall shows it.")]
) -> None:
    """Forget entries."""
    memory = open_memory(parts_of(ctx).home)
    try:
        count = memory.forget(*ids)
    finally:
        memory.close()
    if count == 0:
        raise UsageError("there is nothing with such an id: autoagent memory recall shows ids")
    print(f"forgot {count}")
