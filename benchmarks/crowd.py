"""Many processes work on one project at once: is every run and step on record, and every memory found?

    python benchmarks/crowd.py --processes 8 --runs 200

Each process plays runs of a script, one after the other, in one home: it writes a file, saves a fact to
long-term memory, recalls one, and finishes; what it was told is on record it writes down for itself.
Afterwards the record is compared with that, looked through (``runs check``), and each fact is looked up: by
its vector alone, and by an ordinary recall. The exit status is 0 when nothing is missing, 1 when something
is.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from autoagent import Agent, events
from autoagent.memory import open_memory, pending
from autoagent.models.protocol import Expect, Json
from autoagent.models.scripted import Line, ScriptedModel
from autoagent.store import Store
from autoagent.store.upkeep import check
from autoagent.trajectory import Message, ToolCall

_TOOLS = ("write_file", "save_memory", "recall_memory")
_COLOURS = ("red", "green", "blue", "grey", "brown", "pink", "white")


def fact(name: str, number: int) -> str:
    return f"The {_COLOURS[number % 7]} locker of {name} number {number} opens with {number * 7919 % 10_007}"


@dataclass
class Told:
    """What one process was told is kept."""

    runs: dict[str, list[int]]  # indices of whole steps by run
    facts: list[str]
    seconds: list[float]  # a run took
    without: int = 0  # recalls that could not look into the memory: it was held for too long


def work(name: str, home: Path, folder: Path, runs: int) -> None:
    """One process: its runs, and at the end what it was told, as JSON beside its folder."""
    folder.mkdir()
    told = Told({}, [], [])
    script: list[Line] = []

    def author(messages: Sequence[Message], expect: Expect) -> Line:
        return ["write it down", "finish"] if isinstance(expect, Json) else script.pop(0)

    with Agent(model=ScriptedModel(author), home=home, workspace=folder, builtins=_TOOLS) as agent:
        for number in range(runs):
            text, query = fact(name, number), f"locker of {name} number {max(0, number - 1)}"
            script[:] = [
                _call("write_file", path=f"{number % 20}.txt", content=text),
                _call("save_memory", text=text),
                _call("recall_memory", query=query),
                _call("finish", answer="done"),
            ]
            began = time.monotonic()
            _play(agent, f"Note locker {number} of {name}", text, told)
            told.seconds.append(time.monotonic() - began)
    folder.with_suffix(".json").write_text(json.dumps(vars(told)), encoding="utf-8")


def _play(agent: Agent, goal: str, text: str, told: Told) -> None:
    run_id = ""
    for event in agent.events(goal):
        if isinstance(event, events.Started):
            run_id = event.run_id
            told.runs[run_id] = []
        elif isinstance(event, events.Stepped):
            told.runs[run_id].append(event.step.index)
        elif isinstance(event, events.Observed):
            seen = event.observation
            if seen.call.name == "save_memory" and seen.ok:
                told.facts.append(text)
            told.without += seen.call.name == "recall_memory" and not seen.ok


def _call(tool: str, **arguments: Any) -> ToolCall:
    return ToolCall(name=tool, arguments=arguments)


def judge(home: Path, told: Sequence[Told]) -> dict[str, Any]:
    """What is missing of all that the processes were told."""
    store = Store(home)
    kept = {run.run_id: run for run in store.runs()}
    lost_steps = unfinished = 0
    for each in told:
        for run_id, steps in each.runs.items():
            if run_id not in kept:
                continue
            whole = {step.index for step in store.load(run_id).steps if step.whole}
            lost_steps += len(set(steps) - whole)
            unfinished += kept[run_id].ending != "finished"
    problems = list(check(store))
    store.close()
    waiting = pending.count(home / "memory")
    return {
        "runs": sum(len(each.runs) for each in told),
        "runs lost": sum(run not in kept for each in told for run in each.runs),
        "runs unfinished": unfinished,
        "steps": sum(len(steps) for each in told for steps in each.runs.values()),
        "steps lost": lost_steps,
        "problems of the record": len(problems),
        "facts waiting": waiting,
        **_recalled(home, [text for each in told for text in each.facts]),
        "recalls without memory": sum(each.without for each in told),
    }


def _recalled(home: Path, facts: Sequence[str]) -> dict[str, int]:
    memory = open_memory(home)
    entries = {entry.text: entry.id for entry in memory.entries("semantic")}
    by_vector = by_recall = 0
    for text in facts:
        near = memory._nearest(memory._embedder.embed([text]), 3, "semantic")  # the vectors alone
        by_vector += entries.get(text) in near
        by_recall += any(each.text == text for each in memory.recall(text, 3))
    episodes = sum(count for (kind, _), count in memory.counts().items() if kind == "episodic")
    memory.close()
    return {
        "facts": len(facts),
        "facts lost": sum(text not in entries for text in facts),
        "facts found by vector": by_vector,
        "facts found by recall": by_recall,
        "runs remembered": episodes,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--runs", type=int, default=200, help="of each process")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with TemporaryDirectory(prefix="autoagent-crowd-") as place:
        home, began = Path(place) / "home", time.monotonic()
        names = [f"p{number}" for number in range(options.processes)]
        crowd = [
            context.Process(target=work, args=(name, home, Path(place) / name, options.runs))
            for name in names
        ]
        for process in crowd:
            process.start()
        for process in crowd:
            process.join()
        seconds = time.monotonic() - began
        failed = [process.exitcode for process in crowd if process.exitcode]
        if failed:
            print(f"{len(failed)} processes failed", file=sys.stderr)
            return 1
        told = [
            Told(**json.loads((Path(place) / f"{name}.json").read_text(encoding="utf-8"))) for name in names
        ]
        found = judge(home, told)
    each = [one for process in told for one in process.seconds]
    found |= {"seconds": round(seconds, 1), "median s of a run": round(statistics.median(each), 3)}
    found["slowest s of a run"] = round(max(each), 3)
    print(json.dumps(found, indent=1))
    lost = (
        "runs lost",
        "runs unfinished",
        "steps lost",
        "problems of the record",
        "facts lost",
        "facts waiting",
    )
    whole = (
        found["facts"] == found["facts found by vector"] == found["facts found by recall"] == found["runs"]
    )
    return int(not whole or any(found[name] for name in lost))


if __name__ == "__main__":
    sys.exit(main())
