"""``python -m autoagent.nano data|train|eval|export``: the recipe of the embedded model, step by step."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from autoagent.errors import AutoagentError, UsageError

app = typer.Typer(
    help="Make the embedded model from scratch: data, train, eval, export.", no_args_is_help=True
)
Folder = Annotated[Path, typer.Option(help="Working folder of the recipe; everything is resumed from here.")]
WORK = Path(".nano")


@app.command()
def data(
    work: Folder = WORK,
    shards: Annotated[int, typer.Option(help="Shards of 4,000 episodes in all.")] = 40,
    workers: Annotated[int, typer.Option(help="Processes.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the first shard.")] = 0,
    vocabulary: Annotated[int, typer.Option(help="Token ids of a new tokenizer.")] = 1024,
    out: Annotated[str, typer.Option(help="Name of the data inside the working folder.")] = "shards",
    more: Annotated[list[str] | None, typer.Option(metavar="FAMILY=FACTOR", help="Change a share.")] = None,
) -> None:
    """Write training shards; a tokenizer is trained first where there is none."""
    from autoagent.nano.data import train_tokenizer, write_shards

    began = time.monotonic()
    if not (work / "tokenizer" / "tokenizer.json").exists():
        typer.echo("training the tokenizer …", err=True)
        train_tokenizer(work / "tokenizer", vocab_size=vocabulary)
    made = 0

    def show(done: int, tokens: int) -> None:
        nonlocal made
        made += tokens
        rate = made / (time.monotonic() - began)
        left = (shards - done) * tokens / rate
        typer.echo(f"shard {done}/{shards}  {rate:,.0f} tokens/s  {left:.0f} s left", err=True)

    write_shards(
        work / "tokenizer",
        work / out,
        shards=shards,
        seed=seed,
        workers=workers,
        more=_factors(more or []),
        on_shard=show,
    )


def _factors(texts: list[str]) -> dict[str, float]:
    from autoagent.nano.families import FAMILIES

    factors = {}
    for text in texts:
        family, _, factor = text.partition("=")
        try:
            factors[family] = float(factor)
        except ValueError:
            raise UsageError(f"--more {text}: write it as FAMILY=FACTOR, like read_value=5") from None
        if family not in FAMILIES:
            raise UsageError(f"--more {text}: there is no family {family}; there are {', '.join(FAMILIES)}")
    return factors


@app.command()
def train(
    work: Folder = WORK,
    minutes: Annotated[float | None, typer.Option(help="Budget by wall clock, resumptions added up.")] = None,
    tokens: Annotated[int | None, typer.Option(help="Budget in tokens.")] = None,
    size: Annotated[str, typer.Option(help="tiny, cpu or gpu.")] = "cpu",
    threads: Annotated[int, typer.Option(help="CPU threads; 0 measures.")] = 0,
    batch: Annotated[int, typer.Option(help="Tokens per update.")] = 8192,
    name: Annotated[str, typer.Option(help="Name of the run inside the working folder.")] = "run",
    data: Annotated[str, typer.Option(help="Name of the data inside the working folder.")] = "shards",
) -> None:
    """Train, or go on training where the last call stopped."""
    from autoagent.nano.train import NanoTraining
    from autoagent.nano.train import train as pretrain

    report = pretrain(
        NanoTraining(
            data=work / data,
            tokenizer=work / "tokenizer",
            out=work / name,
            size=size,
            minutes=minutes,
            tokens=tokens,
            threads=threads,
            batch_tokens=batch,
        )
    )
    typer.echo(json.dumps(dataclasses.asdict(report), indent=2))


@app.command()
def export(
    out: Annotated[
        Path, typer.Argument(help="Folder to write; the shipped weights are autoagent/nano/weights.")
    ],
    work: Folder = WORK,
    name: Annotated[str, typer.Option(help="Name of the run inside the working folder.")] = "run",
) -> None:
    """Write a checkpoint as a model folder any program reads (Qwen3, safetensors)."""
    from autoagent.nano.export import export as write

    write(checkpoint=work / name, out_dir=out, dtype="bf16")
    typer.echo(f"wrote {out}", err=True)


@app.command("eval")
def evaluate(
    model: Annotated[
        Path | None, typer.Argument(help="Model folder; the shipped weights by default.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Instances of the suite, each with other names and values.")] = 3,
    per_family: Annotated[int, typer.Option(help="Tasks a family and seed.")] = 12,
    card: Annotated[Path | None, typer.Option(help="Write the model card here.")] = None,
) -> None:
    """Measure a model on the builtin suite, and write its card."""
    from rich.console import Console

    from autoagent.evals import print_report, run_suite
    from autoagent.models.load import load_model
    from autoagent.nano.card import write_card
    from autoagent.nano.suites import builtin

    report = run_suite(
        lambda seed: builtin(seed, per_family=per_family),
        model=load_model(model or "embedded"),
        seeds=seeds,
        on_result=lambda result: print("." if result.success else "x", end="", file=sys.stderr, flush=True),
    )
    print(file=sys.stderr)
    print_report(report, Console())
    if card is not None:
        write_card(report, card)


def main() -> None:
    try:
        app()
    except AutoagentError as error:
        typer.echo(f"autoagent.nano: error: {error}", err=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
