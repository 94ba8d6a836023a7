"""What mattered in the recipe of the embedded model: small runs that differ from one in a single thing.

    python benchmarks/ablations.py --human FOLDER --out docs/img       # hours
    python benchmarks/ablations.py --human FOLDER --only base --only vocabulary-4096

Every run is trained from scratch on one thread and on the same number of tokens, unless they differ by these,
and measured on the same goals, none of which any of them has seen: bits per character of what the expert says
(which compares different tokenizers, too), by split of the builtin suite; how many goals of that suite are
reached, greedily; and how many test requests of people (seen intents) are answered by exactly the right call.
``base`` is trained three times from different seeds: less than their range is no difference.

Everything is kept in ``--work``, so that it can be stopped and called again, also by several processes with
an ``--only`` each once the data are there (``--only base``). What has been measured is printed as a table;
``--out`` gets the pictures.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from autoagent.config import Limits
from autoagent.evals import run_suite
from autoagent.nano.curves import draw, loss_curve
from autoagent.nano.data import Mix, as_text, encode, train_tokenizer, write_shards
from autoagent.nano.datasheet import write_json
from autoagent.nano.expert import Demonstration, NotShown, demonstrate
from autoagent.nano.export import export
from autoagent.nano.families import FAMILIES, SPLITS, Maker, Split
from autoagent.nano.model import NanoModel, shape
from autoagent.nano.requests import human_suite
from autoagent.nano.runs import SHAPE, read_settings
from autoagent.nano.suites import builtin
from autoagent.nano.tokenizer import load_tokenizer
from autoagent.nano.train import NanoTraining, train
from autoagent.training.checkpoint import read_checkpoint
from autoagent.training.curves import new_figure, write_figure

GOALS = 120  # demonstrations of each split that are measured
REQUESTS = 200  # of people
MEASURED = "measured.json"


@dataclass(frozen=True)
class Data:
    """How training data are made."""

    vocabulary: int = 1536
    digits: int = 1  # that may be one token
    human_share: float = 0.22
    cut_words: float = 0.0


@dataclass(frozen=True)
class Run:
    """What differs from ``base``."""

    about: str
    data: str = "base"
    options: Mapping[str, Any] = field(default_factory=dict)
    tokens: float = 1.0  # times those of base


DATA = {
    "base": Data(),
    "vocabulary-1024": Data(vocabulary=1024),
    "vocabulary-4096": Data(vocabulary=4096),
    "digits-together": Data(digits=3),
    "no-human": Data(human_share=0),
    "half-human": Data(human_share=0.5),
    "cut-words": Data(cut_words=0.5),
}
RUNS = {
    "base": Run("1.5M parameters, 1,536 ids, digits apart, loss on the assistant's tokens, 22 % of people"),
    "again": Run("as base, another seed", options={"seed": 1}),
    "once-more": Run("as base, a third seed", options={"seed": 2}),
    "all-tokens": Run("loss on all tokens alike", options={"context_weight": 1.0}),
    "some-context": Run("loss on all tokens, a tenth on those of others", options={"context_weight": 0.1}),
    "vocabulary-1024": Run("1,024 ids", data="vocabulary-1024"),
    "vocabulary-4096": Run("4,096 ids", data="vocabulary-4096"),
    "digits-together": Run("up to three digits in one token", data="digits-together"),
    "no-human": Run("no requests of people", data="no-human"),
    "half-human": Run("half of the episodes are requests of people", data="half-human"),
    "cut-words": Run("in half of the episodes some words in smaller pieces", data="cut-words"),
    "narrow-deep": Run("96 wide, 10 layers", options={"hidden": 96, "layers": 10}),
    "wide-shallow": Run("192 wide, 3 layers", options={"hidden": 192, "layers": 3}),
    "batch-2048": Run("2,048 tokens an update instead of 4,096", options={"batch_tokens": 2048}),
    "batch-8192": Run("8,192 tokens an update", options={"batch_tokens": 8192}),
    "not-annealed": Run("the rate stays at its peak", options={"decay": 0.0}),
    "tiny": Run("0.4M parameters", options={"size": "tiny"}),
    "medium": Run("2.2M parameters", options={"size": "medium"}),
    "larger": Run("3.0M parameters, the shape that ships", options={"size": "cpu"}),
    "half": Run("half the tokens", tokens=0.5),
    "twice": Run("twice the tokens", tokens=2.0),
    "larger-twice": Run("3.0M parameters, twice the tokens", options={"size": "cpu"}, tokens=2.0),
}
SIZES = ("tiny", "base", "medium", "larger")
SEEDS = ("base", "again", "once-more")


def main() -> int:
    options = _options()
    goals: dict[str, list[Demonstration]] = {split: held_out(split) for split in SPLITS}
    for name in options.only or RUNS:
        folder = options.work / name
        if not (folder / MEASURED).exists():
            run_one(options, name)
            found = measure(folder, goals) | reached(folder, options.human)
            write_json(folder / MEASURED, found)
    results = measured(options.work)
    if options.out:
        there = [name for name in SIZES if name in results]
        draw({name: loss_curve(options.work / name) for name in there}, options.out / "sizes.svg")
        draw_results(results, options.out / "ablations.svg")
    print(table(results))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--human", type=Path, required=True, help="folder of data sets of human requests")
    add("--work", type=Path, default=Path(".nano/ablations"), help="everything is resumed from here")
    add("--tokens", type=int, default=6_000_000, help="of the base run")
    add("--shards", type=int, default=3, help="of training data, 4,000 episodes each")
    add("--workers", type=int, default=1, help="processes that make data")
    add("--only", action="append", choices=RUNS, help="this run; may be repeated")
    add("--out", type=Path, help="folder of the pictures")
    return parser.parse_args()


def run_one(options: argparse.Namespace, name: str) -> None:
    """Make the data where they are missing, and train."""
    run = RUNS[name]
    folder = options.work / f"data-{run.data}"
    made = DATA[run.data]
    mix = Mix(human=options.human, human_share=made.human_share, cut_words=made.cut_words)
    if not (folder / "tokenizer" / "tokenizer.json").exists():
        train_tokenizer(
            folder / "tokenizer", vocab_size=made.vocabulary, digits=made.digits, episodes=4_000, mix=mix
        )
    write_shards(
        folder / "tokenizer", folder / "shards", shards=options.shards, workers=options.workers, mix=mix
    )
    settings: dict[str, Any] = {"size": "small", "batch_tokens": 4096} | dict(run.options)
    report = train(
        NanoTraining(
            data={folder / "shards": 1.0},
            tokenizer=folder / "tokenizer",
            out=options.work / name,
            tokens=round(options.tokens * run.tokens),
            threads=1,
            **settings,
        )
    )
    if not report.finished:
        raise SystemExit(f"{name} was told to stop at {report.tokens:,} tokens: the same command goes on")


def measured(work: Path) -> dict[str, dict[str, float]]:
    """What has been measured so far, in the order of ``RUNS``."""
    files = {name: work / name / MEASURED for name in RUNS}
    return {
        name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items() if file.exists()
    }


def held_out(split: Split) -> list[Demonstration]:
    """The same goals for every run, of all families of a split."""
    found: list[Demonstration] = []
    families = [name for name, kind in FAMILIES.items() if split in kind.splits]
    with tempfile.TemporaryDirectory(prefix="autoagent-") as folder:
        for number in range(2 * GOALS):
            rng = random.Random(f"ablation {split} {number}")
            episode = FAMILIES[families[number % len(families)]].make(Maker.of(rng, split))
            try:
                found.append(demonstrate(episode, Path(folder) / "world", rng=rng))
            except NotShown:
                continue
    return found[:GOALS]


@torch.inference_mode()
def measure(run: Path, goals: Mapping[str, list[Demonstration]]) -> dict[str, float]:
    """Bits per character of the expert's lines, by split."""
    state = read_checkpoint(run)
    assert state is not None  # it was trained just now
    tokenizer = load_tokenizer(run / "tokenizer")
    settings = {key: value for key, value in read_settings(run).items() if key in SHAPE}
    model = NanoModel(shape(settings, len(tokenizer)))
    model.load_state_dict(state["optimizers"]["masters"], strict=False)
    model.eval()
    found = {"tokens": state["tokens"], "parameters": sum(each.numel() for each in model.parameters())}
    for split, demonstrations in goals.items():
        nats = characters = 0.0
        for each in demonstrations:
            ids, mask = encode(as_text(each, tokenizer), tokenizer)
            batch, wanted = torch.tensor([ids]), torch.tensor(mask[1:], dtype=torch.bool)
            logits = model(batch)[0, :-1][wanted]  # (N, V)
            nats += float(F.cross_entropy(logits.float(), batch[0, 1:][wanted], reduction="sum"))
            characters += len(tokenizer.decode([id for id, chosen in zip(ids, mask, strict=True) if chosen]))
        found[split] = nats / characters / math.log(2)
    return found


def reached(run: Path, human: Path) -> dict[str, float]:
    """Share of the goals of the builtin suite that are reached, greedily, and of people's requests."""
    suites = {
        "goals": partial(builtin, scale=0),
        "people": partial(human_suite, human, count=REQUESTS),
    }
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="autoagent-") as folder:
        model = str(export(run, Path(folder) / "model"))
        for name, suite in suites.items():
            report = run_suite(suite, model=model, limits=Limits(max_steps=12, timeout=60))
            found |= {name: report.passed / report.n, f"{name} n": report.n}
    return found


def draw_results(results: Mapping[str, Mapping[str, float]], out: Path) -> None:
    """Write a picture to ``out``: bits per character in new words and the goals reached, run by run.

    The grey bands are the range of the runs that differ in their seed alone.
    """
    figure = new_figure(rows=3)
    names = list(results)[::-1]
    panels = figure.subplots(1, 2, sharey=True)
    shown = (("values", "bits per character, new words", 1.0), ("goals", "goals reached, %", 100.0))
    for panel, (key, label, scale) in zip(panels, shown, strict=True):
        seeds = [results[name][key] * scale for name in SEEDS if name in results]
        panel.axvspan(min(seeds), max(seeds), color="grey", alpha=0.25, linewidth=0)
        panel.plot([results[name][key] * scale for name in names], names, "o", markersize=5)
        panel.set_xlabel(label)
        panel.grid(visible=True, alpha=0.25)
    write_figure(figure, out)


def table(results: Mapping[str, Mapping[str, float]]) -> str:
    rows = [
        f"| `{name}` | {RUNS[name].about} | {each['parameters'] / 1e6:.2f}M | {each['tokens'] / 1e6:.1f}M | "
        + " | ".join(f"{each[split]:.3f}" for split in SPLITS)
        + f" | {each['goals']:.0%} | {each['people']:.0%} |"
        for name, each in results.items()
    ]
    head = f"| run | what differs | parameters | tokens | {' | '.join(SPLITS)} | goals | people |"
    return "\n".join([head, "|---" * (6 + len(SPLITS)) + "|", *rows])


if __name__ == "__main__":
    raise SystemExit(main())
