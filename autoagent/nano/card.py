"""The model card: what was measured, and nothing else."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autoagent.evals import Report, TaskResult
from autoagent.nano.families import FAMILIES, SPLITS
from autoagent.nano.families.base import DECLINE
from autoagent.nano.habits import HABITS
from autoagent.prompts import prompt_hash

_BANDS = {  # least share of goals reached, and how the families that reach it are headed
    0.9: "In at least nine of ten goals",
    0.5: "In at least half",
    0.0: "In less than half",
}
_SPLITS = {
    "seen": "words, wordings, tools and combinations of training, in new goals",
    "values": "names, values, words and files that training never saw (as in all rows below)",
    "wordings": "wordings held out as whole patterns",
    "combinations": "orders of steps held out",
    "tools": "custom tools of held-out words: name, description and arguments",
}


def write_card(
    report: Report, folder: Path, human: Path | None = None, unranked: Report | None = None
) -> None:
    """Write ``README.md`` (for people) and ``measured.json`` (for programs) into a model folder.

    Args:
        report: Of the builtin suite.
        folder: Of the model that was measured.
        human: What ``benchmarks/human.py --out`` wrote, if human requests were measured.
        unranked: Of the same suite without the help of the ranking, if that was measured.
    """
    people = _people(json.loads(human.read_text(encoding="utf-8"))) if human else {}
    facts = {
        "suite": report.suite,
        "seeds": list(report.seeds),
        "tasks": report.n,
        "success": round(report.success, 6),
        "interval": [round(report.low, 4), round(report.high, 4)],
        "splits": _splits(report),
        "unranked": _splits(unranked) if unranked else {},
        "families": {
            name: {"n": family.n, "success": round(family.success, 4), "failures": dict(family.failures)}
            for name, family in report.families.items()
        },
        "failures": dict(report.failures),
        "human": people,
        "prompts": prompt_hash(folder),
        "model": report.model,
    }
    (folder / "measured.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_text(report, _config(folder), people, unranked), encoding="utf-8")


def _splits(report: Report) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "n": split.n,
            "success": round(split.success, 4),
            "interval": [round(split.low, 4), round(split.high, 4)],
        }
        for name, split in report.splits.items()
    }


def _people(found: Mapping[str, Any]) -> dict[str, Any]:
    """The model's figures and the ranking's, by side of the intents."""
    return {
        intents: {
            "tool": found[intents]["figures"]["model"]["tool"],
            "exact": found[intents]["figures"]["model"]["exact"],
            "ranking": found[intents]["figures"]["ranking"]["tool"],
            "bm25": found[intents]["figures"].get("bm25", {}).get("tool"),
        }
        for intents in ("seen", "held out")
    }


def _config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    training = folder / "training.json"
    if training.exists():
        config["training"] = json.loads(training.read_text(encoding="utf-8"))
    return config


def _text(
    report: Report, config: dict[str, Any], people: dict[str, Any], unranked: Report | None = None
) -> str:
    training = config.get("training", {})
    parameters, tokens = training.get("parameters", 0) / 1e6, training.get("tokens", 0) / 1e6  # millions
    return f"""# The embedded model

A decoder of {config["hidden_size"]} features, {config["num_hidden_layers"]} layers and
{config["vocab_size"]:,} token ids (Qwen3 configuration, {parameters:.1f}M parameters), trained from
scratch on {tokens:.0f}M tokens of runs of a scripted expert that works through autoagent's own loop and
tools. It knows nothing but how to use tools; everything it answers comes from them. Recipe:
`python -m autoagent.nano` (see docs/nano.md). Licence: Apache-2.0, like the rest of the repository.

## What was measured

`autoagent eval builtin --seeds {len(report.seeds)}`: {report.n} goals, greedy, default settings.
**{report.success:.1%}** reached their goal (95 % interval {report.low:.1%} to {report.high:.1%}).

| split | what is new in it | n | success | 95 % interval |
|---|---|---|---|---|
{_split_rows(report)}
{_unranked_part(unranked)}
By family: successes of n, over all seeds.

| family | {" | ".join(SPLITS)} | failures by kind |
|---|{"---|" * len(SPLITS)}---|
{_family_rows(report)}
{_human_part(people)}
## What it can do

Families by how often it reached the goal, all splits together:

{_bands(report)}

## What it cannot do

Goals outside these {len(FAMILIES)} families, and wordings far from those it was trained on. It has no
knowledge of the world. {_declined(report.results)} It then says: "{DECLINE}"
What it should have declined it does wrong instead: give a `--check` or `--expect` where it matters. A larger
model of your own is one flag away: `--model FOLDER`.

## Data

Goals, worlds and words were generated. For wordings of people, training used requests of these data sets
(the training parts of four fifths of their intents), with tools invented for them:
NLU-Evaluation-Data ("hwu64": X. Liu, A. Eshghi, P. Swietojanski, V. Rieser; CC-BY-4.0),
clinc150 (S. Larson et al.; CC-BY-3.0), snips (A. Coucke et al., Sonos; CC0). English words are from Python's
own help topics, from these requests, and from tldr-pages (the tldr-pages contributors; CC-BY-4.0).
"""


def _split_rows(report: Report) -> str:
    return "\n".join(
        f"| {name} | {about} | {split.n} | {split.success:.1%} | {split.low:.1%} to {split.high:.1%} |"
        for name, about in _SPLITS.items()
        if (split := report.splits.get(name))
    )


def _unranked_part(report: Report | None) -> str:
    if report is None:
        return ""
    rates = ", ".join(
        f"`{name}` {split.success:.0%} ({split.low:.0%} to {split.high:.0%}, n={split.n})"
        for name in SPLITS
        if (split := report.splits.get(name))
    )
    return f"""
The runtime's ranking chooses which tools the model is shown, and in what order. Without it, the right ones
among {HABITS.shown_tools} at random, in no order: {rates}.
"""


def _family_rows(report: Report) -> str:
    counts: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for each in report.results:
        if not each.check_error:
            counts[each.family, each.split].append(each.success)
    rows = []
    for name, family in report.families.items():
        cells = [
            f"{sum(done)}/{len(done)}" if (done := counts.get((name, split))) else "" for split in SPLITS
        ]
        kinds = ", ".join(f"{kind} {count}" for kind, count in family.failures.items()) or "–"
        rows.append(f"| {name} | {' | '.join(cells)} | {kinds} |")
    return "\n".join(rows)


def _bands(report: Report) -> str:
    """The families, each under the highest share it reaches."""
    named: dict[float, list[str]] = {least: [] for least in _BANDS}
    for name, family in report.families.items():
        if family.n:
            named[next(least for least in _BANDS if family.success >= least)].append(name)
    lines = [f"- {_BANDS[least]}: {', '.join(names)}." for least, names in named.items() if names]
    return "\n".join(lines)


def _declined(results: Sequence[TaskResult]) -> str:
    """How well it tells what it can do from what it cannot, in a sentence."""
    judged = [each for each in results if not each.check_error]
    never = [each for each in judged if any(goal.get("declines") for goal in each.expected)]
    rest = len(judged) - len(never)
    right = sum(each.success for each in never)
    wrongly = sum(each.failure == "declined wrongly" for each in judged)
    return (
        f"Of {len(never):,} goals that no tool there could reach it declined {right:,}, and it declined "
        f"{wrongly:,} of the other {rest:,}."
    )


def _human_part(people: dict[str, Any]) -> str:
    if not people:
        return ""
    rows = "\n".join(
        f"| intents {intents} | {_rate(each['tool'])} | {_rate(each['exact'])} | {_rate(each['ranking'])} | "
        f"{_rate(each['bm25']) if each.get('bm25') else '–'} |"
        for intents, each in people.items()
    )
    return f"""
## Requests of people

`benchmarks/human.py`: test requests of hwu64, clinc150 and snips, six invented tools each, two of the others
from the same scenario. A fifth of the intents is held out entirely.

| | right tool first | exact call (requests with slots) | right tool by the ranking alone | by BM25 alone |
|---|---|---|---|---|
{rows}
"""


def _rate(figure: Mapping[str, float]) -> str:
    return f"{figure['rate']:.1%} ({figure['low']:.1%} to {figure['high']:.1%}, n={figure['requests']})"
