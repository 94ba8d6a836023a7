"""Runs that are killed at random moments: is anything lost, does every one go on, is nothing written twice?

    python benchmarks/kills.py --kills 1000 --out kills.jsonl --seconds 500    # again, until it says all done
    python benchmarks/kills.py --kills 1000 --model embedded --out embedded.jsonl --seconds 500

A run in a process of its own works; the process is killed with SIGKILL at a random moment, and the run
resumed in a new one, which is killed, too, until the run comes to its end; then the next run begins. The
scripted model stamps ten keys into a ledger, one call each, with looks in between: it looks whenever it is
told that the outcome of a call is unknown, as a careful model would, and stamps what is missing. The
embedded model appends lines to files with the built-in tools.

After each kill the record is looked through (``runs check``), and compared with what the process had been
told is on record. At the end the ledger is compared with the stamps that the model asked for: the runtime
must never repeat one on its own.

With ``--out`` each run is a line in a file, and a later call goes on where it stopped; each draws other
moments. The exit status is 0 when no step was lost, every record could be read, every run came to its end
and nothing was written that the model had not asked for; 1 when not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from autoagent import Agent, events, tool
from autoagent.config import Limits
from autoagent.models.protocol import Expect, Json, Model
from autoagent.models.scripted import Line, ScriptedModel
from autoagent.store import Store
from autoagent.store.upkeep import check
from autoagent.trajectory import Message, ToolCall

KEYS = [f"key{number}" for number in range(10)]
_WORDS = ("milk", "bread", "stamps", "lamp oil", "rope", "soap")
_GOALS = (
    "Append '{word}' to todo.txt",
    "Add the line '{word}' to todo.txt",
    "Append '{word}' to todo.txt, then say how many lines todo.txt has",
)
_EMBEDDED_TOOLS = ("read_file", "write_file", "append_file", "list_files", "count_text", "edit_file")
_SLOW = 0.02  # seconds a stamp takes, half before and half after it reaches the ledger


@tool(effects=("write",))
def stamp(key: str) -> str:
    """Stamp a key into the ledger."""
    time.sleep(_SLOW / 2)
    with Path("ledger").open("a", encoding="utf-8") as ledger:
        ledger.write(f"{key}\n")
    time.sleep(_SLOW / 2)
    return f"stamped {key}"


@tool
def look() -> str:
    """Look into the ledger."""
    time.sleep(_SLOW / 4)
    return "ledger: " + " ".join(_ledger(Path()))


def _ledger(folder: Path) -> list[str]:
    file = folder / "ledger"
    return file.read_text(encoding="utf-8").split() if file.exists() else []


def careful(messages: Sequence[Message], expect: Expect) -> Line:
    """Stamp the first key that is not known to be stamped; look after an error, and now and then."""
    if isinstance(expect, Json):
        return ["stamp all keys"]
    told = [message.content for message in messages if message.role == "tool"]
    if told and (told[-1].startswith("Error") or (told[-1].startswith("stamped") and len(told) % 3 == 0)):
        return ToolCall(name="look", arguments={})
    done: set[str] = set()
    for text in told:
        if text.startswith("ledger: "):
            done = set(text.split()[1:])
        elif text.startswith("stamped "):
            done.add(text.split()[1])
    missing = [key for key in KEYS if key not in done]
    if not missing:
        return ToolCall(name="finish", arguments={"answer": "done"})
    return ToolCall(name="stamp", arguments={"key": missing[0]})


def agent_for(folder: Path, model: Model | None) -> Agent:
    """The agent of a trial: with the embedded model if there is one, else with the script."""
    scripted: dict[str, Any] = {"tools": [stamp, look], "model": ScriptedModel(careful), "builtins": False}
    embedded: dict[str, Any] = {"model": model, "builtins": _EMBEDDED_TOOLS, "sandbox": None}
    return Agent(
        workspace=folder,
        home=folder.parent / "home",
        limits=Limits(max_steps=100, max_tokens=10**6),
        memory=False,
        **(scripted if model is None else embedded),
    )


def work(folder: Path, run_id: str, goal: str, model: Model | None) -> None:
    """In the process that gets killed: begin a run, or go on with one; say what is on record."""
    os.chdir(folder)
    told = os.open(folder.parent / "told", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    with agent_for(folder, model) as agent:
        for event in agent.resume(run_id) if run_id else agent.events(goal):
            if isinstance(event, events.Started):
                os.write(told, f"run {event.run_id}\n".encode())
            elif isinstance(event, events.Observed):
                os.write(told, f"seen {event.step}\n".encode())
            elif isinstance(event, events.Stepped):
                os.write(told, f"step {event.step.index}\n".encode())


@dataclass
class Tally:
    """What was seen over some runs."""

    kills: int = 0
    runs: int = 0
    steps: int = 0  # that were acknowledged
    unknown: int = 0  # calls whose outcome was unknown
    lost_steps: int = 0  # acknowledged, and not on record after a kill
    unreadable: int = 0  # records in which something was wrong after a kill
    twice: int = 0  # keys in a ledger more than once
    unasked: int = 0  # effects beyond those the model asked for
    lost: list[str] = field(default_factory=list)  # runs that did not come to their end, and why

    def add(self, other: Mapping[str, Any]) -> None:
        for name, value in other.items():
            setattr(self, name, getattr(self, name) + value)

    @property
    def bad(self) -> bool:
        return bool(self.lost_steps or self.unreadable or self.twice or self.unasked or self.lost)


@dataclass
class Trial:
    """One run, killed again and again until it ends or the kills are used up; then it may finish."""

    folder: Path
    rng: random.Random
    model: Model | None
    most: int  # kills
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        self.workspace, self.home = self.folder / "work", self.folder / "home"
        self.workspace.mkdir()
        self.longest = 0.5 if self.model is None else 2.5  # seconds a process may live
        self.word = self.rng.choice(_WORDS)
        self.goal = "Stamp all keys into the ledger"
        if self.model is not None:
            self.goal = self.rng.choice(_GOALS).format(word=self.word)
            (self.workspace / "todo.txt").write_text("wash the car\n", encoding="utf-8")

    def play(self) -> Tally:
        before, in_vain = -1, 0
        while True:
            run_id, over = self._on_record()
            in_vain = 0 if self.tally.steps != before else in_vain + 1
            if in_vain >= 10:  # the machine is slow: give a process more time to get anywhere
                self.longest, in_vain = self.longest * 1.5, 0
            before = self.tally.steps
            if over or not self._killed(run_id):
                break
        self._judge()
        return self.tally

    def _on_record(self) -> tuple[str, bool]:
        """The run so far and whether it is over, after looking through its record."""
        told = (self.folder / "told").read_text().split("\n") if (self.folder / "told").exists() else []
        store = Store(self.home)
        try:
            found = store.runs()
            self.tally.unreadable += len(list(check(store)))
            acknowledged = {line.split()[1] for line in told if line.startswith("run ")}
            if not acknowledged <= {run.run_id for run in found}:
                self.tally.lost_steps += 1
            steps = {step.index: step for step in store.load("last").steps} if found else {}
        finally:
            store.close()
        whole = {int(line.split()[1]) for line in told if line.startswith("step ")}
        self.tally.lost_steps += sum(index not in steps or not steps[index].whole for index in whole)
        seen = Counter(int(line.split()[1]) for line in told if line.startswith("seen "))
        self.tally.lost_steps += sum(
            index not in steps or len(steps[index].observations) < count for index, count in seen.items()
        )
        self.tally.steps = len(whole)
        # A process killed before its run is on record leaves none: then the next one begins it.
        return (found[0].run_id, found[0].ending is not None) if found else ("", False)

    def _killed(self, run_id: str) -> bool:
        """Let a process work and, while kills are left, kill it at a random moment; False when it failed."""
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                work(self.workspace, run_id, self.goal, self.model)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        if self.tally.kills < self.most:
            time.sleep(self.rng.random() * self.longest)
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            self.tally.kills += 1
            return True
        if status:
            self.tally.lost.append(f"{run_id or 'a new run'}: the process failed")
        return not status

    def _judge(self) -> None:
        store = Store(self.home)
        run = store.load("last")
        store.close()
        self.tally.runs += 1
        if run.ending is None or (self.model is None and run.ending != "finished"):
            self.tally.lost.append(f"{run.run_id}: {run.ending}")
        calls = [call for step in run.steps for call in step.reply.calls]
        seen = [observation for step in run.steps for observation in step.observations]
        self.tally.unknown += sum("unknown" in observation.detail for observation in seen)
        if self.model is not None:
            text = (self.workspace / "todo.txt").read_text(encoding="utf-8")
            asked = sum(self.word in json.dumps(call.arguments, ensure_ascii=False) for call in calls)
            self.tally.unasked += max(0, text.count(self.word) - asked)
            return
        ledger = Counter(_ledger(self.workspace))
        stamps = Counter(str(call.arguments["key"]) for call in calls if call.name == "stamp")
        self.tally.twice += sum(count > 1 for count in ledger.values())
        self.tally.unasked += sum((ledger - stamps).values())
        if set(ledger) != set(KEYS):
            self.tally.lost.append(f"{run.run_id}: the ledger holds {sorted(ledger)}")


def loaded(name: str) -> Model | None:
    """The model, loaded once, before any process is forked from this one; None for the script."""
    if name == "scripted":
        return None
    import torch

    torch.set_num_threads(1)  # a forked process inherits no threads
    from autoagent.models.load import load_model

    return load_model(name, home=Path(tempfile.gettempdir()) / "autoagent-kills-none")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="how often a process is killed, in all")
    parser.add_argument("--model", default="scripted", help="scripted, embedded, or a model's name or folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a line for each run; what is in it counts")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    options = parser.parse_args()
    earlier = (
        options.out.read_text(encoding="utf-8").splitlines() if options.out and options.out.exists() else []
    )
    tally, began, model = Tally(), time.monotonic(), loaded(options.model)
    for line in earlier:
        tally.add(json.loads(line))
    number, before = len(earlier), tally.kills
    while tally.kills < options.kills and not tally.bad and time.monotonic() - began < options.seconds:
        rng = random.Random(f"{options.seed} {number}")
        with TemporaryDirectory(prefix="autoagent-kills-") as folder:
            found = Trial(Path(folder), rng, model, options.kills - tally.kills).play()
        tally.add(vars(found))
        number += 1
        if options.out:
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(vars(found)) + "\n")
    print(json.dumps(vars(tally)))
    speed = (time.monotonic() - began) / max(1, tally.kills - before)
    done = "all done" if tally.kills >= options.kills else f"{options.kills - tally.kills} kills are left"
    print(f"{tally.kills - before} kills now, {speed:.2f} s each; {done}", file=sys.stderr)
    return int(tally.bad)


if __name__ == "__main__":
    sys.exit(main())
