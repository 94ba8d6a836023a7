"""The model card: what was measured, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autoagent.evals import Report
from autoagent.nano.families import FAMILIES
from autoagent.prompts import prompt_hash


def write_card(report: Report, folder: Path) -> None:
    """Write ``README.md`` (for people) and ``measured.json`` (for programs) into a model folder."""
    facts = {
        "suite": report.suite,
        "seeds": list(report.seeds),
        "tasks": report.n,
        "success": round(report.success, 4),
        "interval": [round(report.low, 4), round(report.high, 4)],
        "families": {
            name: {"n": family.n, "success": round(family.success, 4), "failures": dict(family.failures)}
            for name, family in report.families.items()
        },
        "failures": dict(report.failures),
        "prompts": prompt_hash(folder),
        "model": report.model,
    }
    (folder / "measured.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_text(report, _config(folder)), encoding="utf-8")


def _config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    training = folder / "training.json"
    if training.exists():
        config["training"] = json.loads(training.read_text(encoding="utf-8"))
    return config


def _text(report: Report, config: dict[str, Any]) -> str:
    training = config.get("training", {})
    rows = "\n".join(
        f"| {name} | {family.n} | {family.success:.0%} | {family.low:.0%} to {family.high:.0%} "
        f"| {', '.join(f'{kind} {count}' for kind, count in family.failures.items()) or '–'} |"
        for name, family in report.families.items()
    )
    parameters, tokens = training.get("parameters", 0) / 1e6, training.get("tokens", 0) / 1e6  # millions
    return f"""# The embedded model

A decoder of {config["hidden_size"]} features, {config["num_hidden_layers"]} layers and
{config["vocab_size"]:,} token ids (Qwen3 configuration, {parameters:.1f}M parameters), trained from
scratch on {tokens:.0f}M tokens of runs of a scripted expert that works through autoagent's own loop and
tools. It knows nothing but how to use tools; everything it answers comes from them. Recipe:
`python -m autoagent.nano` (see docs/nano.md). Licence: Apache-2.0, like the rest of the repository. No
outside data went into it but the words of Python's own help topics.

## What was measured

`autoagent eval builtin --seeds {len(report.seeds)}`: {report.n} goals in words, names, values and files that
training never saw (a fifth of all words is held out by hash), in the wordings of training; greedy, default
settings. **{report.success:.1%}** reached their goal (95 % interval {report.low:.1%} to {report.high:.1%}).

| family | n | success | 95 % interval | failures by kind |
|---|---|---|---|---|
{rows}

## What it cannot do

Goals outside these {len(FAMILIES)} families, goals of more than two steps, and wordings far from those it was
trained on. Texts with signs that were rare in training (mixed quotes, `$`, backticks, other scripts) can
send it into repeating itself until the budget ends. It often declines what it cannot do, and sometimes does
something wrong instead: give a `--check` or `--expect` where it matters. A larger model of your own is one
flag away: `--model FOLDER`.
"""
