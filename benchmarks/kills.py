"""Runs that are killed at random moments: does every one go on, and does no write happen twice?

    python benchmarks/kills.py --kills 50

A run in a process of its own stamps ten keys into a ledger, one call each, with looks in between. The process
is killed with SIGKILL at a random moment and the run resumed in a new process, which is killed, too, until
the run comes to its end; then the next run begins. The model is a script: it looks into the ledger whenever
it is told that the outcome of a call is unknown, as a careful model would, and stamps what is missing there.

The runtime must never repeat a stamp on its own: the ledger is compared with the stamps that the model asked
for. The exit status is 0 when every run came to its end, each ledger holds each key once, and the model asked
for each stamp in it; 1 when not.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from autoagent import Agent, tool
from autoagent.config import Limits
from autoagent.models.protocol import Expect, Json
from autoagent.models.scripted import Line, ScriptedModel
from autoagent.store import Store
from autoagent.trajectory import Message, ToolCall

KEYS = [f"key{number}" for number in range(10)]
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


def work(folder: Path, run_id: str) -> None:
    """In the process that gets killed: begin a run, or go on with one."""
    limits = Limits(max_steps=100, max_tokens=10**6)
    agent = Agent(
        tools=[stamp, look],
        model=ScriptedModel(careful),
        workspace=folder,
        home=folder.parent / "home",
        limits=limits,
        memory=False,
        builtins=False,
    )
    with agent:
        stream = agent.resume(run_id) if run_id else agent.events("Stamp all keys into the ledger")
        for _ in stream:
            pass


@dataclass
class Tally:
    """What was seen over all runs."""

    kills: int = 0
    runs: int = 0
    unknown: int = 0  # calls whose outcome was unknown
    twice: int = 0  # keys in a ledger more than once
    unasked: int = 0  # stamps in a ledger beyond those the model asked for
    lost: list[str] = field(default_factory=list)  # runs that did not come to their end, and why


def trial(folder: Path, rng: random.Random, tally: Tally, kills: int) -> None:
    """One run, killed again and again until it ends or the kills are used up; then it may finish."""
    workspace, home = folder / "work", folder / "home"
    workspace.mkdir()
    for _ in range(200):
        store = Store(home)
        found = store.runs(limit=1)
        if found and found[0].ending is not None:
            break
        # A process killed before its run is on record leaves none: then the next one begins it.
        run_id, dice = found[0].run_id if found else "", rng if tally.kills < kills else None
        if not _dies(workspace, run_id, dice, tally):
            break
    _judge(workspace, Store(home), tally)


def _dies(workspace: Path, run_id: str, rng: random.Random | None, tally: Tally) -> bool:
    """Start a process and, with ``rng``, kill it at a random moment; False when it failed by itself."""
    command = [sys.executable, str(Path(__file__).resolve()), "--work", str(workspace), "--run", run_id]
    process = subprocess.Popen(command, cwd=workspace, stderr=subprocess.PIPE, text=True, encoding="utf-8")
    try:
        _, err = process.communicate(timeout=None if rng is None else 0.3 + rng.random() * 1.5)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        tally.kills += 1
        return True
    if process.returncode:
        tally.lost.append(err.strip().splitlines()[-1] if err.strip() else f"status {process.returncode}")
    return process.returncode == 0


def _judge(workspace: Path, store: Store, tally: Tally) -> None:
    run = store.load("last")
    tally.runs += 1
    if run.ending != "finished":
        tally.lost.append(f"{run.run_id}: {run.ending}")
    ledger = Counter(_ledger(workspace))
    asked = Counter(
        str(call.arguments["key"]) for step in run.steps for call in step.reply.calls if call.name == "stamp"
    )
    seen = [observation for step in run.steps for observation in step.observations]
    tally.unknown += sum("unknown" in observation.detail for observation in seen)
    tally.twice += sum(count > 1 for count in ledger.values())
    tally.unasked += sum((ledger - asked).values())
    if set(ledger) != set(KEYS):
        tally.lost.append(f"{run.run_id}: the ledger holds {sorted(ledger)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="how often a process is killed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--run", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.run)
        return 0
    rng, tally = random.Random(options.seed), Tally()
    while tally.kills < options.kills and not tally.lost:
        with TemporaryDirectory(prefix="autoagent-kills-") as folder:
            trial(Path(folder), rng, tally, options.kills)
    print(json.dumps(tally.__dict__))
    return int(bool(tally.lost or tally.twice or tally.unasked))


if __name__ == "__main__":
    sys.exit(main())
