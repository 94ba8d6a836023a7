"""Runs back to back for an hour: does memory, time, or the number of processes, files or threads grow?

    python benchmarks/soak.py --minutes 60

One process plays runs of a script with real tools: files written and read, a program in the sandbox,
long-term memory, snapshots, a record on disk. Samples are taken every few seconds. The first tenth is warming
up and does not count; of the rest the first quarter is compared with the last. A step is counted in time of
the processor, so that others on the machine do not count. The exit status is 1 when one of the figures is not
flat: the bounds stand in the table; 2 when the time was too short to tell.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from autoagent import Agent, events
from autoagent.models.protocol import Expect, Json
from autoagent.models.scripted import Line, ScriptedModel
from autoagent.trajectory import Message, ToolCall


@dataclass(frozen=True)
class Sample:
    """What was seen at one moment."""

    minute: float
    mb: float  # resident memory
    step: float  # ms of the processor, since the last sample
    wall: float  # ms, the median since the last sample
    processes: int  # children
    files: int  # open
    threads: int


# What the last quarter may be, from what the first was: (median of the first) -> most.
BOUNDS: dict[str, Callable[[float], float]] = {
    "mb": lambda first: first * 1.10 + 10,
    "step": lambda first: first * 1.15 + 0.5,
    "processes": lambda first: first,
    "files": lambda first: first + 2,
    "threads": lambda first: first + 1,
}
_TOOLS = ("write_file", "read_file", "calculate", "save_memory", "recall_memory", "run_shell")
UNITS = {
    "mb": "MB",
    "step": "ms of the processor a step",
    "processes": "child processes",
    "files": "open files",
    "threads": "threads",
}


def call(tool: str, **arguments: Any) -> ToolCall:
    return ToolCall(name=tool, arguments=arguments)


def script_for(number: int, sandboxed: bool) -> list[Line]:
    """What the model says in run ``number``."""
    name = f"{number % 10}.txt"
    lines: list[Line] = [
        call("write_file", path=name, content=f"line {number}\n" * 200),
        call("read_file", path=name),
        call("calculate", expression=f"{number} * 7"),
        call("save_memory", text=f"Shelf {number % 50} holds {number % 50 * 3} boxes"),
        call("recall_memory", query=f"shelf {number % 50}"),
        call("read_file", path="nowhere.txt"),
    ]
    if sandboxed and number % 5 == 0:
        lines.append(call("run_shell", command="ls | wc -l"))
    return [*lines, call("finish", answer="done")]


def seen(began: float, used: float, steps: Sequence[float]) -> Sample:
    """A sample; ``used`` are seconds of the processor for these steps."""
    gc.collect()
    here = Path("/proc/self")
    resident = int((here / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    tasks = list((here / "task").iterdir())
    children = 0
    for task in tasks:
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            children += len((task / "children").read_text().split())
    return Sample(
        minute=round((time.monotonic() - began) / 60, 2),
        mb=round(resident, 1),
        step=round(1000 * used / max(1, len(steps)), 2),
        wall=round(1000 * statistics.median(steps), 2) if steps else 0.0,
        processes=children,
        files=len(list((here / "fd").iterdir())),
        threads=len(tasks),
    )


def soak(folder: Path, seconds: float, every: float) -> tuple[list[Sample], int]:
    """The samples, and how many runs were played."""
    script: list[Line] = []
    samples: list[Sample] = []
    steps: list[float] = []

    def author(messages: Sequence[Message], expect: Expect) -> Line:
        return ["work", "finish"] if isinstance(expect, Json) else script.pop(0)

    (folder / "work").mkdir()
    agent = Agent(
        model=ScriptedModel(author), home=folder / "home", workspace=folder / "work", builtins=_TOOLS
    )
    sandboxed = "run_shell" in [tool.name for tool in agent.tools_for("run a shell command")]
    began = last = time.monotonic()
    used = time.process_time()
    runs = 0
    with agent:
        while time.monotonic() - began < seconds:
            script[:] = script_for(runs, sandboxed)
            for event in agent.events(f"Fill shelf {runs % 50}"):
                if isinstance(event, events.Stepped):
                    steps.append(event.step.seconds)
            runs += 1
            if time.monotonic() - last >= every:
                samples.append(seen(began, time.process_time() - used, steps))
                steps.clear()
                last, used = time.monotonic(), time.process_time()
    return samples, runs


def judged(samples: Sequence[Sample]) -> tuple[str, bool]:
    """The table, and whether all is flat."""
    counted = samples[len(samples) // 10 :]
    quarter = max(1, len(counted) // 4)
    rows = [
        "| | first quarter | last quarter | at most | an hour adds | |",
        "| --- | --: | --: | --: | --: | --- |",
    ]
    flat = True
    for name, bound in BOUNDS.items():
        values = [float(getattr(sample, name)) for sample in counted]
        first, last = statistics.median(values[:quarter]), statistics.median(values[-quarter:])
        minutes = [sample.minute for sample in counted]
        slope = statistics.linear_regression(minutes, values).slope * 60 if len(set(minutes)) > 1 else 0.0
        fine = last <= bound(first)
        flat &= fine
        word = "flat" if fine else "GROWS"
        rows.append(
            f"| {UNITS[name]} | {first:.1f} | {last:.1f} | {bound(first):.1f} | {slope:+.1f} | {word} |"
        )
    return "\n".join(rows), flat


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--out", type=Path, help="the samples, as lines of JSON")
    options = parser.parse_args()
    seconds = options.minutes * 60
    with TemporaryDirectory(prefix="autoagent-soak-") as folder:
        samples, runs = soak(Path(folder), seconds, every=max(0.5, seconds / 200))
    if options.out:
        lines = "".join(json.dumps(vars(sample)) + "\n" for sample in samples)
        options.out.write_text(lines, encoding="utf-8")
    if len(samples) < 8:
        print(f"only {len(samples)} samples: give it more minutes", file=sys.stderr)
        return 2
    table, flat = judged(samples)
    print(f"{runs} runs in {options.minutes:g} minutes, {len(samples)} samples\n\n{table}")
    return int(not flat)


if __name__ == "__main__":
    sys.exit(main())
