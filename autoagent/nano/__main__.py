"""``python -m autoagent.nano data|train|anneal|export|eval``: the embedded model's recipe, step by step."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from pydantic import ValidationError

from autoagent.errors import AutoagentError, UsageError

if TYPE_CHECKING:
    from autoagent.evals import TaskResult

app = typer.Typer(
    help="Make the embedded model from scratch: data, train, anneal, export, eval.", no_args_is_help=True
)
Folder = Annotated[Path, typer.Option(help="Working folder of the recipe; everything is resumed from here.")]
WORK = Path(".nano")
_VOCABULARY = 1536


@app.command()
def data(
    work: Folder = WORK,
    shards: Annotated[int, typer.Option(min=1, help="Shards of 4,000 episodes in all.")] = 40,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first shard.")] = 0,
    vocabulary: Annotated[
        int | None, typer.Option(min=320, help=f"Token ids of a new tokenizer; {_VOCABULARY:,} by default.")
    ] = None,
    out: Annotated[str, typer.Option(help="Name of the data inside the working folder.")] = "shards",
    more: Annotated[list[str] | None, typer.Option(metavar="FAMILY=FACTOR", help="Change a share.")] = None,
    human: Annotated[
        Path | None, typer.Option(help="Folder of data sets of human requests; see docs/nano.md.")
    ] = None,
    human_share: Annotated[float, typer.Option(min=0, max=1, help="Of the episodes that are those.")] = 0.3,
    cut_words: Annotated[
        float, typer.Option(min=0, max=1, help="Of the episodes that have some words in smaller pieces.")
    ] = 0.5,
) -> None:
    """Write training shards; a tokenizer is trained first where there is none."""
    from autoagent.nano.data import Mix, train_tokenizer, write_shards
    from autoagent.nano.tokenizer import load_tokenizer

    mix = Mix(_factors(more or []), human, human_share, cut_words)
    began = time.monotonic()
    if not (work / "tokenizer" / "tokenizer.json").exists():
        typer.echo("training the tokenizer …", err=True)
        train_tokenizer(work / "tokenizer", vocab_size=vocabulary or _VOCABULARY, mix=mix)
    elif vocabulary is not None and (there := len(load_tokenizer(work / "tokenizer"))) != vocabulary:
        has = f"{work / 'tokenizer'} has {there:,} ids"
        raise UsageError(f"{has}, not {vocabulary:,}: choose another --work")
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
        mix=mix,
        on_shard=show,
    )
    if not made:
        typer.echo(f"{work / out} has its {shards} shards already", err=True)


def _factors(texts: list[str]) -> dict[str, float]:
    from autoagent.nano.families import FAMILIES

    factors = {}
    for text in texts:
        family, _, factor = text.partition("=")
        if factor and family not in FAMILIES:
            raise UsageError(f"--more {text}: there is no family {family}; there are {', '.join(FAMILIES)}")
        try:
            factors[family] = float(factor)
        except ValueError:
            raise UsageError(f"--more {text}: write it as FAMILY=FACTOR, like read_value=5") from None
        if not 0 <= factors[family] < math.inf:
            raise UsageError(f"--more {text}: the factor is a number from 0 on")
    return factors


Minutes = Annotated[float | None, typer.Option(help="Budget by wall clock, resumptions added up.")]
Tokens = Annotated[int | None, typer.Option(help="Budget in tokens.")]
Threads = Annotated[int, typer.Option(help="CPU threads of a process; 0 measures.")]
Processes = Annotated[int, typer.Option(help="Processes that share every batch; for a CPU.")]
Data = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME[=SHARE]",
        help="Data inside the working folder, `shards` by default; several are mixed by share of tokens.",
    ),
]
Optional = Annotated[int | None, typer.Option(help="Instead of what --size says.")]


@app.command()
def train(
    work: Folder = WORK,
    minutes: Minutes = None,
    tokens: Tokens = None,
    size: Annotated[str, typer.Option(help="tiny, small, medium, cpu or gpu.")] = "cpu",
    hidden: Optional = None,
    layers: Optional = None,
    heads: Optional = None,
    threads: Threads = 0,
    processes: Processes = 1,
    batch: Annotated[int, typer.Option(help="Tokens per update, of all processes together.")] = 8192,
    context_weight: Annotated[float, typer.Option(help="Weight of tokens not the assistant's.")] = 0.0,
    decay: Annotated[float, typer.Option(help="Share of the budget with a falling rate.")] = 0.4,
    seed: Annotated[int, typer.Option(help="Of the first weights and of the order of the data.")] = 0,
    name: Annotated[str, typer.Option(help="Name of the run inside the working folder.")] = "run",
    data: Data = None,
) -> None:
    """Train, or go on training where the last call stopped. With --decay 0, `anneal` finishes it."""
    from autoagent.nano.runs import parse_shares
    from autoagent.nano.train import NanoTraining
    from autoagent.nano.train import train as pretrain

    report = pretrain(
        NanoTraining(
            data=parse_shares(data or ["shards"], work),
            tokenizer=work / "tokenizer",
            out=work / name,
            size=size,
            hidden=hidden,
            layers=layers,
            heads=heads,
            minutes=minutes,
            tokens=tokens,
            threads=threads,
            processes=processes,
            batch_tokens=batch,
            context_weight=context_weight,
            decay=decay,
            seed=seed,
        )
    )
    typer.echo(json.dumps(dataclasses.asdict(report), indent=2))


@app.command()
def anneal(
    start: Annotated[str, typer.Option("--from", help="Name of the run to go on from; it stays as it is.")],
    work: Folder = WORK,
    name: Annotated[str, typer.Option(help="Name of the new run inside the working folder.")] = "annealed",
    minutes: Minutes = None,
    tokens: Tokens = None,
    peak: Annotated[
        float | None,
        typer.Option(help="First rate, as a share of that run's highest; where it stands by default."),
    ] = None,
    threads: Threads = 0,
    processes: Processes = 1,
    data: Data = None,
) -> None:
    """Go on from the last checkpoint of a run, in a new one, while the rate falls to 0."""
    from autoagent.nano.runs import parse_shares
    from autoagent.nano.train import anneal as finish

    report = finish(
        work / start,
        work / name,
        peak=peak,
        data=parse_shares(data or ["shards"], work),
        minutes=minutes,
        tokens=tokens,
        threads=threads,
        processes=processes,
    )
    typer.echo(json.dumps(dataclasses.asdict(report), indent=2))


@app.command()
def gpu(
    work: Folder = Path(".nano-gpu"),
    minutes: Annotated[float, typer.Option(help="Wall-clock time of this call.")] = 9.0,
    last: Annotated[bool, typer.Option("--last", help="Anneal and export in this call.")] = False,
    size: Annotated[str, typer.Option(help="tiny, small, medium, cpu or gpu.")] = "gpu",
    batch: Annotated[int, typer.Option(help="Tokens per update.")] = 98_304,
    human: Annotated[Path | None, typer.Option(help="Folder of data sets of human requests.")] = None,
) -> None:
    """Data, training and export on one GPU in a call that ends in time; several calls add up."""
    from autoagent.nano.gpu import GpuRecipe, run

    recipe = GpuRecipe(work=work, minutes=minutes, last=last, size=size, batch_tokens=batch, human=human)
    typer.echo(json.dumps(dataclasses.asdict(run(recipe)), indent=2))


@app.command()
def curves(
    runs: Annotated[list[str], typer.Argument(help="Names of runs inside the working folder.")],
    out: Annotated[Path, typer.Option(help="Picture to write, .svg or .png.")],
    work: Folder = WORK,
    minutes: Annotated[bool, typer.Option("--minutes", help="By minutes instead of tokens.")] = False,
) -> None:
    """Draw the loss of runs, one line each."""
    from autoagent.nano.curves import draw, loss_curve

    axis: Literal["tokens", "minutes"] = "minutes" if minutes else "tokens"
    draw({name: loss_curve(work / name, axis) for name in runs}, out, axis=axis)
    typer.echo(f"wrote {out}", err=True)


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
    seeds: Annotated[
        int, typer.Option(min=1, help="Instances of the suite, each with other names and values.")
    ] = 3,
    first: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    scale: Annotated[float, typer.Option(help="Times the usual number of tasks; 0: one of each.")] = 1.0,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Tasks at a time.")] = 1,
    unranked: Annotated[
        bool, typer.Option("--unranked", help="Without the ranking's help: tools at random, in no order.")
    ] = False,
    human: Annotated[
        Path | None, typer.Option(help="What benchmarks/human.py measured (--out), for the card.")
    ] = None,
    card: Annotated[Path | None, typer.Option(help="Write the model card here.")] = None,
) -> None:
    """Measure a model on the builtin suite; with --card without the ranking, too, on a third of the tasks."""
    from rich.console import Console

    from autoagent.evals import print_report, run_suite
    from autoagent.nano.card import write_card
    from autoagent.nano.habits import HABITS, unranked_copy
    from autoagent.nano.suites import builtin

    if model is not None and not (model / "config.json").is_file():
        raise UsageError(f"no model folder {model}")
    if card is not None and not (card / "config.json").is_file():
        raise UsageError(f"--card {card}: no model folder; it is that of the model measured")
    if card is not None and unranked:
        raise UsageError("--card measures with and without the ranking: leave --unranked out")
    if human is not None and not human.is_file():
        raise UsageError(f"--human {human}: no such file; benchmarks/human.py --out writes it")
    with TemporaryDirectory(prefix="autoagent-eval-") as scratch:
        name = str(model or "embedded")
        if unranked:
            name = str(unranked_copy(model, Path(scratch)))
        tasks = partial(builtin, scale=scale, among=HABITS.shown_tools if unranked else 0)
        chosen = range(first, first + seeds)
        report = run_suite(tasks, model=name, seeds=chosen, jobs=jobs, on_result=_dot)
        print(file=sys.stderr)
        print_report(report, Console())
        if card is not None:
            copy = str(unranked_copy(model, Path(scratch)))
            fewer = partial(builtin, scale=scale / 3, among=HABITS.shown_tools)
            without = run_suite(fewer, model=copy, seeds=chosen, jobs=jobs, on_result=_dot)
            print(file=sys.stderr)
            write_card(report, card, human, without)


def _dot(result: TaskResult) -> None:
    print("." if result.success else "x", end="", file=sys.stderr, flush=True)


@app.command()
def rank(
    out: Annotated[Path, typer.Argument(help="File to write; the shipped one is tools/learned.json.")],
    examples: Annotated[int, typer.Option(help="Goals of each family.")] = 300,
) -> None:
    """Learn which wordings ask for which built-in tool: it decides what a model is shown."""
    from autoagent.nano.ranking import learn

    typer.echo(f"the right tools come first in {learn(out, each=examples):.1%} of fresh goals", err=True)


@app.command()
def vectors(
    out: Annotated[Path, typer.Argument(help="File to write; the shipped one is tools/vectors.json.")],
    human: Annotated[Path, typer.Option(help="Folder with requests of people: hwu64, clinc150, snips.")],
    examples: Annotated[int, typer.Option(help="Goals among tools, to learn from.", min=1_000)] = 60_000,
) -> None:
    """Learn which words of goals go with which words of tools, for the ranking of custom tools."""
    from autoagent.nano.vectors import learn_vectors

    before, after = learn_vectors(human, out, count=examples)
    typer.echo(f"the right tool comes first in {after:.1%} of fresh goals, {before:.1%} without", err=True)


def main() -> None:
    try:
        app()
    except AutoagentError as error:
        typer.echo(f"autoagent.nano: error: {error}", err=True)
        raise SystemExit(2) from None
    except ValidationError as error:
        wrong = error.errors()[0]
        name = "--" + "-".join(str(part) for part in wrong["loc"]).replace("_", "-")
        typer.echo(f"autoagent.nano: error: {name}: {wrong['msg']}", err=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
