"""What the runtime itself costs: CPU time per step beside model and tool, and the start of the command line.

    python benchmarks/overhead.py

Steps. The embedded model works through 100 steps of the real loop, with its grammar, its record on disk and a
tool that returns about 150 tokens; older steps are compacted as the window fills. CPU time of each step is
split at two seams: inside a forward pass (left out), inside the session besides that (templates, tokens,
grammar, sampling: it grows with the tokens a reply has), and all else (loop, policy, events, record), which
is the runtime's own. CPU time leaves out waiting for the disk (fsync), and other programs on the machine.

Start. ``autoagent --help``, ``tools list`` and ``runs list`` as whole processes, each against a process that
only imports the other people's modules that the command has loaded, in turn; and which heavy libraries were
loaded by them: none may be.

Exit status 1: a step costs over 5 ms, the hundredth over twice the tenth, a start over 1.5 times the bare
import, or a heavy library was loaded.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from autoagent import events, tool
from autoagent.config import Limits
from autoagent.conversation import opening_messages
from autoagent.loop import Loop
from autoagent.models.load import load_model
from autoagent.models.local import LocalModel
from autoagent.models.protocol import Session
from autoagent.nano.habits import PROMPTS
from autoagent.store import Store
from autoagent.tools import Context, Toolbox
from autoagent.workspace import Workspace

STEPS = 104
PLACES = {"1": range(1, 6), "10": range(8, 13), "100": range(98, 103)}  # steps taken together
LIMIT = 0.005  # seconds of a step
COMMANDS = (["--help"], ["tools", "list"], ["runs", "list"])
HEAVY = ("torch", "transformers", "trl", "chromadb", "openai", "prompt_toolkit", "accelerate")

GOAL = "What does notes.txt say?"

_numbers = count()


@tool
def read_file(path: str) -> str:
    """Read a text file."""  # the words of the built-in tool, which the model knows
    number = next(_numbers)
    return f"page {number}: " + " ".join(f"row {number}-{row} holds {row * 7} sacks." for row in range(14))


class Clock:
    """CPU seconds of this thread in forward passes, in the session besides, and outside of both."""

    def __init__(self, model: LocalModel) -> None:
        self.forward = self.session = 0.0
        self._model = model
        logits = model.engine.logits

        def timed(*arguments: Any, **options: Any) -> Any:
            began = time.thread_time()
            try:
                return logits(*arguments, **options)
            finally:
                self.forward += time.thread_time() - began

        model.engine.logits = timed  # type: ignore[method-assign]

    def open(self, *arguments: Any) -> Session:
        """A session whose replies are timed."""
        session = self._model.open(*arguments)
        generate = session.generate

        def timed(*arguments: Any, **options: Any) -> Any:
            stream = generate(*arguments, **options)
            while True:
                began, forward = time.thread_time(), self.forward
                try:
                    piece = next(stream)
                except StopIteration as stop:
                    return stop.value
                finally:
                    self.session += time.thread_time() - began - (self.forward - forward)
                yield piece

        session.generate = timed  # type: ignore[method-assign]
        return session


def steps(model: LocalModel, clock: Clock, folder: Path) -> list[tuple[float, float, int]]:
    """Of each step of one run: own CPU seconds, those of the session, and tokens made."""
    store = Store(folder / "home")
    shown = Toolbox([read_file])
    opening = opening_messages(GOAL, PROMPTS)
    record = store.begin(GOAL, model=model.version, seed=0, check="", workspace=folder)
    record.opened(opening, ["read_file"])
    loop = Loop(
        session=clock.open(opening, [each.schema for each in shown]),
        tools=shown,
        context=Context(Workspace.at(folder)),
        record=record,
        limits=Limits(max_steps=STEPS, max_tokens=10**9, reply_tokens=64, timeout=3600),
        prompts=PROMPTS,
        opening=opening,
        window=model.window,
        count=model.count,
    )
    spent: list[tuple[float, float, int]] = []
    began, forward, session = time.thread_time(), clock.forward, clock.session
    for event in loop.events():
        if isinstance(event, events.Stepped):
            inside = clock.session - session
            own = time.thread_time() - began - (clock.forward - forward) - inside
            if event.step.kind == "act":
                spent.append((own, inside, event.step.reply.counts.forced + event.step.reply.counts.sampled))
            began, forward, session = time.thread_time(), clock.forward, clock.session
    record.ended(loop.ending or "error", None, 0.0)
    store.close()
    assert len(spent) == STEPS, f"the run ended early: {loop.ending}"
    return spent


def measured(model: LocalModel, repeats: int) -> dict[str, tuple[float, float, float]]:
    """At each place, medians over some runs: own seconds, those of the session, and tokens made."""
    clock = Clock(model)
    runs = []
    for _ in range(repeats):
        with TemporaryDirectory(prefix="autoagent-overhead-") as folder:
            runs.append(steps(model, clock, Path(folder)))
    found = {}
    for place, numbers in PLACES.items():
        own, inside, tokens = zip(*(run[number - 1] for run in runs for number in numbers), strict=True)
        found[place] = statistics.median(own), statistics.median(inside), statistics.median(tokens)
    return found


def start(command: list[str], repeats: int) -> tuple[float, float, list[str]]:
    """Median CPU seconds of a command, of an import of what it loads, and the heavy libraries in that."""
    list_them = (
        "import sys; before = set(sys.modules); from autoagent.cli import main; main(sys.argv[1:]); "
        "print('modules:', *set(sys.modules) - before, file=sys.stderr)"
    )
    with TemporaryDirectory(prefix="autoagent-overhead-") as folder:
        environment = {**os.environ, "AUTOAGENT_HOME": str(Path(folder) / "home")}
        told = subprocess.run(
            [sys.executable, "-c", list_them, *command],
            cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8", check=True,
        ).stderr  # fmt: skip
        loaded = told.partition("modules: ")[2].split()
        foreign = sorted(name for name in loaded if not name.startswith(("autoagent", "__")))
        bare = (
            "import sys, importlib, contextlib\n"
            "for name in sys.argv[1:]:\n"
            "    with contextlib.suppress(Exception): importlib.import_module(name)"
        )
        ours, theirs = [], []
        for _ in range(repeats):
            theirs.append(_cpu([sys.executable, "-c", bare, *foreign], folder, environment))
            ours.append(_cpu([sys.executable, "-m", "autoagent", *command], folder, environment))
    heavy = sorted({name.split(".")[0] for name in loaded} & set(HEAVY))
    return statistics.median(ours), statistics.median(theirs), heavy


def _cpu(program: list[str], folder: str, environment: dict[str, str]) -> float:
    before = os.times()
    subprocess.run(
        program, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
    )
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return used


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    model = load_model("embedded")
    assert isinstance(model, LocalModel)
    gc.collect()
    gc.freeze()  # or a look through all of torch for garbage counts as a step's
    found = measured(model, repeats)
    print("CPU time of a step, in ms:")
    for place, (own, inside, tokens) in found.items():
        print(
            f"  step {place:>3}: {own * 1e3:5.2f} own; {inside * 1e3:5.2f} in the session beside forwards,"
            f" {inside / tokens * 1e6:.0f} µs for each of {tokens:.0f} tokens"
        )
    worst = max(own for own, _, _ in found.values())
    fine = worst <= LIMIT and found["100"][0] <= 2 * found["10"][0]
    print("CPU time of a start, against an import of the modules of others that it loads:")
    for command in COMMANDS:
        ours, theirs, heavy = start(command, repeats)
        fine = fine and ours <= 1.5 * theirs and not heavy
        print(
            f"  autoagent {' '.join(command):<12} {ours * 1e3:4.0f} ms, {theirs * 1e3:4.0f} ms:"
            f" {ours / theirs:.2f} times; heavy libraries: {', '.join(heavy) or 'none'}"
        )
    return int(not fine)


if __name__ == "__main__":
    sys.exit(main())
