"""Human requests and tools that nobody wrote for them: is the right tool called, with the right values?

    python benchmarks/human.py --data FOLDER                    # the embedded model
    python benchmarks/human.py --data FOLDER --model MODEL --count 300 --seeds 3 --out FILE.json
    python benchmarks/human.py --data FOLDER --baselines        # without a model: seconds

Test requests of hwu64, clinc150 and snips (see ``autoagent.nano.human`` for the layout of the folder) are run
through the agent. Each comes with six invented tools, two of the others from the same scenario. Two figures,
for intents seen in training and for those held out: the first tool called is the right one; on requests with
slots, that first call has exactly the right arguments. "Without twins" leaves out held-out intents that are
nearly the same as a seen one of another data set. Beside them, what the order of words alone gives: BM25
over the descriptions (``pip install 'autoagent[bench]'``), and the runtime's own ranking of the tools.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from autoagent.config import Limits
from autoagent.evals.failures import first_tool
from autoagent.evals.report import TaskResult
from autoagent.evals.runner import run_task
from autoagent.evals.stats import wilson
from autoagent.evals.task import Task
from autoagent.models.load import load_model
from autoagent.models.protocol import Model
from autoagent.nano.requests import Intents, human_suite
from autoagent.tools.rank import rank

SPLITS: tuple[Intents, ...] = ("seen", "held out")
TARGETS = {
    ("seen", "tool"): 0.93,
    ("seen", "exact"): 0.75,
    ("held out", "tool"): 0.8,
    ("held out", "exact"): 0.55,
}
LIMITS = Limits(max_steps=3, timeout=60)
Counts = dict[str, dict[str, list[bool]]]  # by figure and request: with each of its draws of tools


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with hwu64, clinc150 and snips")
    parser.add_argument("--model", default="embedded", help="as for autoagent run")
    parser.add_argument("--count", type=int, default=300, help="requests per seed and split")
    parser.add_argument("--seeds", type=int, default=3, help="draws of requests, tools and names")
    parser.add_argument("--baselines", action="store_true", help="only the baselines, no model")
    parser.add_argument("--out", type=Path, help="write all figures and failures there, as JSON")
    options = parser.parse_args(arguments)
    model = None if options.baselines else load_model(options.model)
    report: dict[str, Any] = {"model": model.version if model else None, "count": options.count}
    for intents in SPLITS:
        counts: dict[str, Counts] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
        failures: list[dict[str, Any]] = []
        for seed in range(options.seeds):
            for task in human_suite(options.data, seed, options.count, intents).tasks:
                _count_baselines(task, counts)
                if model:
                    failures += _count_model(task, model, seed, counts)
        report[intents] = {"figures": dict(_figures(counts)), "failures": failures}
        _print(intents, report[intents]["figures"])
    if not find_spec("bm25s"):
        print("bm25s is not installed: pip install -e '.[bench]'")
    if options.out:
        options.out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


def _count_baselines(task: Task, counts: dict[str, Counts]) -> None:
    right = task.expected.calls[0]
    tools = [spec.build() for spec in task.tools]
    ranked = [each.name for each in rank(task.goal, tools)]
    firsts = {"ranking": ranked[0]}
    if find_spec("bm25s"):
        firsts["bm25"] = _bm25(task)
    for name, first in firsts.items():
        for part in _parts(task):
            counts[name][f"tool{part}"][task.goal].append(first == right)
    counts["ranking"]["tool among first 3"][task.goal].append(right in ranked[:3])


def _parts(task: Task) -> tuple[str, ...]:
    """Of which figures a task is a part: all, its data set's, and those of intents unlike any seen."""
    return ("", f" {task.family}", *(() if "twin" in task.tags else (" without twins",)))


def _bm25(task: Task) -> str:
    """The tool whose description fits the goal best; the first of those that fit alike."""
    import bm25s

    told = [spec.description for spec in task.tools]
    words = bm25s.tokenize(told, stopwords="en", show_progress=False, return_ids=False)
    index = bm25s.BM25()
    index.index(words, show_progress=False)
    asked = bm25s.tokenize([task.goal], stopwords="en", show_progress=False, return_ids=False)[0]
    known = [word for word in asked if word in index.vocab_dict]
    scores = index.get_scores(known) if known else [0.0] * len(told)
    return task.tools[max(range(len(told)), key=lambda number: (scores[number], -number))].name


def _count_model(task: Task, model: Model, seed: int, counts: dict[str, Counts]) -> list[dict[str, Any]]:
    """Run the task; its failure, if it is one."""
    result = run_task(task, model=model, limits=LIMITS, seed=seed)
    right, called = task.expected.calls[0], _first_call(result)
    exact = called == (right, dict(task.expected.arguments.get(right, {})))
    found = {"tool": called[0] == right}
    if "slots-0" not in task.tags:
        found |= {"exact": exact, f"exact {task.tags[0]}": exact}
    for name, value in found.items():
        for part in _parts(task) if name in ("tool", "exact") else ("",):
            counts["model"][f"{name}{part}"][task.goal].append(value)
    if all(found.values()):
        return []
    expected = {"name": right, "arguments": task.expected.arguments.get(right, {})}
    tools = {spec.name: spec.description for spec in task.tools}
    return [{"id": task.id, "goal": task.goal, "tools": tools, "expected": expected, "called": called}]


def _first_call(result: TaskResult) -> tuple[str | None, dict[str, Any]]:
    """The first tool that was called to get on with the goal, and the arguments that were given."""
    run = result.trajectory
    name = first_tool(run) if run else None
    calls = [seen.call for step in run.steps for seen in step.observations] if run else []
    given = next((call.arguments for call in calls if call.name == name), {})
    return name, {key: value for key, value in given.items() if value is not None}


def _figures(counts: dict[str, Counts]) -> Iterator[tuple[str, dict[str, Any]]]:
    for who, figures in counts.items():
        yield who, {name: _figure(values) for name, values in sorted(figures.items())}


def _figure(values: Mapping[str, Sequence[bool]]) -> dict[str, Any]:
    """The share of requests, each the mean of its draws: draws of one request are no independent evidence."""
    hits = sum(sum(draws) / len(draws) for draws in values.values())
    low, high = wilson(hits, len(values))
    draws = sum(map(len, values.values()))
    return {"rate": hits / len(values), "low": low, "high": high, "requests": len(values), "draws": draws}


def _print(intents: str, figures: dict[str, dict[str, Any]]) -> None:
    print(f"intents {intents}")
    for who, named in figures.items():
        for name, each in named.items():
            target = TARGETS.get((intents, name)) if who == "model" else None
            aim = "" if target is None else f"  target {100 * target:.0f}"
            interval = f"{100 * each['low']:5.1f} to {100 * each['high']:5.1f}"
            print(f"  {who:8} {name:20} {100 * each['rate']:5.1f} %  {interval}  n={each['requests']}{aim}")


if __name__ == "__main__":
    raise SystemExit(main())
