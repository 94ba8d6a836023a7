"""The whole circle, measured: run and check goals, learn from the verified runs, gate, and go back.

    python benchmarks/circle.py --out docs/circle.md

An under-trained model (the embedded weights with noise, unless ``--start`` names a folder) works on practice
goals. It is fine-tuned twice from there: on its verified runs, and, as a control, on the same runs with their
actions shuffled between them. The gate must promote the first and refuse the second; a rollback must be
bit-exact. The exit status is 0 when all of that holds, 1 when not.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from spoiled import spoil_runs, spoil_weights

from autoagent import events
from autoagent.agent import Agent
from autoagent.config import Limits, Sampling
from autoagent.evals import Suite, Task, TaskCheck, run_suite, run_task
from autoagent.goal import Goal
from autoagent.memory.volatile import VolatileMemory
from autoagent.models.load import load_model
from autoagent.models.protocol import Model
from autoagent.models.versions import EMBEDDED, Versions
from autoagent.prompts import prompt_hash
from autoagent.training.finetune import FinetuneConfig, FinetuneResult, finetune
from autoagent.training.gate import GateConfig, held_out
from autoagent.trajectory import Trajectory

PRACTICE, PROBE = 1_001, 2_002  # seeds of the builtin suite; the gate has a third
LIMITS = Limits(max_steps=10, timeout=60)
IN_REACH = (0.4, 0.7)  # success of the under-trained model: there is fuel, and something to gain


@dataclass
class Circle:
    """What was done and found."""

    options: argparse.Namespace
    noise: float | None = None
    attempts: int = 0
    verified: int = 0
    goals: int = 0
    solved: int = 0  # goals with at least one verified run
    results: dict[str, FinetuneResult] = field(default_factory=dict)
    checks: dict[str, bool] = field(default_factory=dict)
    seconds: float = 0.0


def main() -> int:
    options = _options()
    circle = Circle(options)
    began = time.monotonic()
    with TemporaryDirectory(prefix="autoagent-circle-") as folder:
        place = Path(folder)
        start = Path(options.start) if options.start else _with_noise(circle, place / "start")
        home, control = place / "home", place / "control"
        versions = Versions(home)
        versions.use(versions.add(start, prompts=prompt_hash(start), note="under-trained").name)
        practise(circle, home, tasks_of(PRACTICE, options.goals))
        shutil.copytree(home / "models", control / "models")
        spoil_runs(home, control, random.Random(options.seed))
        learn_and_go_back(circle, home)
        circle.results["shuffled"] = learn(circle, control)
        circle.checks["shuffled actions refused"] = not circle.results["shuffled"].promoted
        circle.checks["shuffled: version in use stays"] = Versions(control).current() == versions.current()
    circle.seconds = time.monotonic() - began
    text = as_markdown(circle)
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    return 0 if all(circle.checks.values()) else 1


def _options() -> argparse.Namespace:
    default = FinetuneConfig()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add: Callable[..., Any] = parser.add_argument
    add("--out", type=Path, help="Markdown file to write")
    add("--start", help="folder of the model to start from; default: the embedded weights with noise")
    add("--noise", type=float, help="noise, as a share of each matrix's spread; default: searched for")
    add("--goals", type=int, default=100, help="practice goals")
    add("--held-out", type=int, default=100, help="goals of the gate")
    add(
        "--samples",
        type=int,
        default=4,
        help="runs a goal: the first greedy, the others at temperature",
    )
    add("--temperature", type=float, default=0.7)
    add("--epochs", type=int, default=default.epochs)
    add("--learning-rate", type=float, help="default: that of `autoagent finetune`")
    add("--seed", type=int, default=0)
    return parser.parse_args()


def tasks_of(seed: int, count: int) -> Suite:
    """So many tasks of the builtin suite, evenly by family."""
    return held_out(_builtin(seed, count), (), at_most=count)


def _builtin(seed: int, at_least: int) -> Suite:
    from autoagent.nano.families import FAMILIES
    from autoagent.nano.suites import PER_FAMILY, builtin

    scale = (-(-at_least // len(FAMILIES)) + 1) / PER_FAMILY["values"]
    return builtin(seed, scale=scale, splits=("values",))


def _with_noise(circle: Circle, folder: Path) -> Path:
    """A copy of the embedded model with as much noise in its matrices as leaves it success ``IN_REACH``."""
    options = circle.options
    low, high, noise = 0.0, 0.5, options.noise or 0.2  # with more, runs babble until their budget ends them
    for _ in range(1 if options.noise else 8):
        spoil_weights(Path(Versions(folder).resolve(EMBEDDED)), folder, noise, options.seed)
        circle.noise = noise
        if options.noise:
            break
        probe = run_suite(tasks_of(PROBE, 48), model=load_model(folder, home=folder), limits=LIMITS)
        say(f"noise {noise:.3f}: {probe.success:.0%} of {probe.n} probe goals")
        if IN_REACH[0] <= probe.success <= IN_REACH[1]:
            break
        low, high = (noise, high) if probe.success > IN_REACH[1] else (low, noise)
        noise = (low + high) / 2
    return folder


def practise(circle: Circle, home: Path, suite: Suite) -> None:
    """Run every goal several times, check the outcome, and keep all of it on record."""
    model = load_model(None, home=home)
    solved: set[str] = set()
    for number, task in enumerate(suite.tasks, start=1):
        for sample in range(circle.options.samples):
            heat = circle.options.temperature if sample else 0.0
            run = attempt(
                task, model, home, Sampling(temperature=heat, seed=1_000 * circle.options.seed + sample)
            )
            circle.attempts += 1
            if run.verdict.status == "verified":
                circle.verified += 1
                solved.add(task.goal)
        say(
            f"practice {number}/{len(suite.tasks)}: {circle.verified} of {circle.attempts} runs verified",
            over=True,
        )
    circle.goals, circle.solved = len(suite.tasks), len(solved)
    say("")


def attempt(task: Task, model: Model, home: Path, sampling: Sampling) -> Trajectory:
    """One recorded and checked run of a task in a world of its own."""
    memory = VolatileMemory()
    for text in task.memory:
        memory.add(text)
    check = TaskCheck(task.expected, memory)
    with TemporaryDirectory(prefix="autoagent-circle-") as folder:
        agent = Agent(
            tools=[spec.build() for spec in task.tools],
            model=model,
            workspace=task.lay_out(Path(folder)).root,
            home=home,
            limits=LIMITS,
            sampling=sampling,
            memory=memory,
        )
        for event in agent.events(Goal(task.goal, check, any_ending=True)):
            check.watch(event)
            if isinstance(event, events.Closed):
                return event.trajectory
    raise AssertionError("the last event of a run is Closed")


def learn(circle: Circle, home: Path) -> FinetuneResult:
    options = circle.options
    gate = GateConfig(tasks=options.held_out, limits=LIMITS)
    config = FinetuneConfig(
        epochs=options.epochs, learning_rate=options.learning_rate, seed=options.seed, gate=gate
    )
    result = finetune(
        home,
        suite=lambda seed: _builtin(seed, options.held_out),
        config=config,
        on_progress=lambda at: say(
            f"{at.stage} {at.step}/{at.total}, {at.seconds_left:.0f} s left", over=True
        ),
    )
    say(f"\n{result.sheet.summary()}\n{result.reason}")
    return result


def learn_and_go_back(circle: Circle, home: Path) -> None:
    """Learn from the verified runs; after the rollback everything must be as it was, bit by bit."""
    versions = Versions(home)
    first = versions.current()
    files, ids = file_hashes(versions.path(first)), greedy_ids(home)
    circle.results["verified"] = learn(circle, home)
    circle.checks["verified runs promoted"] = circle.results["verified"].promoted
    if not circle.results["verified"].promoted:
        return
    circle.checks["promoted version in use"] = versions.current() == circle.results["verified"].version
    circle.checks["rollback: version in use is the first"] = (
        versions.rollback() == first == versions.current()
    )
    circle.checks["rollback: files bit-exact"] = file_hashes(versions.path(first)) == files
    circle.checks["rollback: token ids of greedy runs the same"] = greedy_ids(home) == ids


def file_hashes(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}


def greedy_ids(home: Path) -> list[tuple[int, ...]]:
    """What the version in use says on a few goals, token by token."""
    model = load_model(None, home=home)
    runs = [run_task(task, model=model, limits=LIMITS).trajectory for task in tasks_of(PROBE, 5).tasks]
    traces = [step.reply.trace for run in runs if run is not None for step in run.steps]
    return [trace.completion_ids for trace in traces if trace is not None]


def as_markdown(circle: Circle) -> str:
    options = circle.options
    origin = (
        f"`{Path(options.start).name}`"
        if options.start
        else f"the embedded weights with {circle.noise:.3g} noise"
    )
    lines = [
        "# The circle, measured",
        "",
        "Written by `benchmarks/circle.py`. " + " ".join((__doc__ or "").split("\n\n")[2].split()),
        "",
        f"- Start: {origin}.",
        f"- Practice: {circle.goals} goals, {options.samples} runs each (the first greedy, the others at "
        f"temperature {options.temperature}): {circle.verified} of {circle.attempts} runs verified, "
        f"{circle.solved} goals solved at least once.",
        f"- Training: {options.epochs} epochs, learning rate {options.learning_rate or 'by default'}, "
        f"seed {options.seed}.",
        f"- The whole script took {circle.seconds / 60:.1f} minutes.",
        "",
        "| trained on | runs | trained tokens | loss | before | after | change | 95 % interval | p | gate |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(_row(name, result) for name, result in circle.results.items()),
        "",
        *(f"- {name}: {'yes' if holds else '**no**'}" for name, holds in circle.checks.items()),
        "",
        *_families(circle.results["verified"]),
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, result: FinetuneResult) -> str:
    gate, loss = result.gate, result.trained.train_loss
    assert gate is not None
    change = gate.comparison
    cells = (
        f"{name} runs" if name == "verified" else "the same, actions shuffled",
        str(len(result.sheet.runs)),
        f"{result.sheet.trained_tokens:,}",
        f"{loss.before:.2f} → {loss.after:.2f}",
        f"{gate.old.passed}/{gate.old.n}",
        f"{gate.new.passed}/{gate.new.n}",
        f"{change.difference:+.1%}",
        f"{change.low:+.1%} to {change.high:+.1%}",
        f"{change.p:.2g}",
        "promoted" if result.promoted else "refused",
    )
    return f"| {' | '.join(cells)} |"


def _families(result: FinetuneResult) -> list[str]:
    assert result.gate is not None
    lines = ["By family, trained on verified runs:", "", "| family | before | after |", "|---|---|---|"]
    for name, new in result.gate.new.families.items():
        old = result.gate.old.families[name]
        lines.append(f"| {name} | {old.passed}/{old.n} | {new.passed}/{new.n} |")
    return lines


def say(line: str, *, over: bool = False) -> None:
    """Progress, on stderr; ``over`` writes over the line before."""
    print(f"\r\x1b[K{line}" if over else line, end="" if over else "\n", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
