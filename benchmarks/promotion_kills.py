"""Kills of ``autoagent finetune`` at random moments between its start and the promotion of what it made.

    python benchmarks/promotion_kills.py --kills 20

A small random model learns to finish from runs that were rated good, the gate lets it through, and it is put
in use: `autoagent finetune`, as a process. It is killed with SIGKILL, by turns with all processes it has
started (as a power cut would) and alone (they must end by themselves). The moments are drawn evenly from its
whole duration, one from each part of it. After each kill:

- the pointer names the old version or the new one, and all versions that are listed are whole, by hash;
- a version in use that is not the old one was promoted, and says so;
- the record has no fault, and the runs it had.

Then the same command is given again; every second time it is killed once more, before it may end. Then it
must have made one new version, in use, from data with the same hash as without any kill. The exit status is
0 when all of that holds, 1 when not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from autoagent.agent import Agent
from autoagent.config import Limits
from autoagent.errors import AutoagentError
from autoagent.models.tiny import write_tiny_model
from autoagent.models.versions import Versions
from autoagent.prompts import prompt_hash
from autoagent.store import Store
from autoagent.store.upkeep import check

GOALS = 8  # to learn from
TASK = (
    '[[task]]\nid = "{n}"\nfamily = "f"\ngoal = "say the number {n}"\nexpected = {{ calls = ["finish"] }}\n\n'
)
_HABITS = {"habits": {"shown_tools": 3, "pinned": ["finish", "decline"], "recall": 0}}
_GONE = 30.0  # seconds for processes whose parent was killed to end by themselves


@dataclass
class Tally:
    """What was seen."""

    kills: int = 0
    at: Counter[str] = field(default_factory=Counter)  # what was there when it was killed
    ended: int = 0  # processes that came to their end before their moment
    same_weights: int = 0  # trainings that ended with the very weights of the one without a kill
    trials: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Whole:
    """How it goes without a kill."""

    seconds: float
    data: str  # hash
    weights: str  # hash
    runs: int


def make_project(place: Path) -> str:
    """A project whose version in use never finishes, with runs of one that does; the name of the former."""
    home, work = place / "home", place / "work"
    work.mkdir(parents=True)
    versions = Versions(home)
    finishes, never = (_add(versions, place / f"tiny{seed}", seed) for seed in (0, 3))
    versions.use(finishes)
    limits = Limits(max_steps=1, reply_tokens=48)
    with Agent(home=home, workspace=work, limits=limits, memory=False) as agent:
        for number in range(GOALS):
            agent.run(f"say the number {number}")
    with closing(Store(home)) as store:
        for run in store.runs(ending="finished"):
            store.rate(run.run_id, good=True)
    versions.use(never)
    (home / "config.toml").write_text("max_steps = 1\nreply_tokens = 48\n", encoding="utf-8")
    (work / "suite.toml").write_text("".join(TASK.format(n=n) for n in range(12, 22)), encoding="utf-8")
    return never


def _add(versions: Versions, folder: Path, seed: int) -> str:
    write_tiny_model(folder, seed=seed)
    (folder / "autoagent.json").write_text(json.dumps(_HABITS), encoding="utf-8")
    return versions.add(folder, prompts=prompt_hash()).name


def start(place: Path) -> subprocess.Popen[str]:
    """The command that is killed."""
    options = ("--suite", "suite.toml", "--epochs", "20", "--lr", "3e-3", "--output-format", "json")
    return subprocess.Popen(
        [sys.executable, "-m", "autoagent", "--home", str(place / "home"), "finetune", *options],
        cwd=place / "work",
        env={**os.environ, "TMPDIR": str(place)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


def kill(process: subprocess.Popen[str], *, all_of_it: bool) -> list[int]:
    """End it, with everything it has started or alone; the processes that it had started."""
    process.send_signal(signal.SIGSTOP)  # so that it starts no others meanwhile
    others = list(descendants(process.pid))
    for pid in [process.pid, *(others if all_of_it else [])]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()  # others may have it open still
    return others


def descendants(pid: int) -> Iterator[int]:
    """The processes that a process has started, and those that they have (Linux)."""
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, file.read_text(encoding="ascii").split()):
                yield child
                yield from descendants(child)


def are_gone(pids: Sequence[int]) -> bool:
    """Whether these processes end by themselves, and soon."""
    until = time.monotonic() + _GONE
    while any(map(_is_alive, pids)):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def stage(place: Path, old: str) -> str:
    """How far it had come, by what is there."""
    versions = Versions(place / "home")
    if versions.current() != old:
        return "after the promotion"
    if len(versions.list()) > 2:
        return "in the gate"
    jobs = [each for each in (place / "home" / "training").glob("*") if each.is_dir()]
    if not any((job / "job.json").exists() for job in jobs):
        return "before the training"
    return "after the training" if any((job / "done.json").exists() for job in jobs) else "in the training"


def faults(place: Path, old: str, runs: int) -> Iterator[str]:
    """What is not as it has to be at any moment."""
    versions = Versions(place / "home")
    try:
        now = versions.current()
        known = {version.name: versions.verify(version.name) for version in versions.list()}
    except AutoagentError as problem:
        yield str(problem)
        return
    if now not in known:
        yield f"the pointer names {now}, which is not there"
    elif now != old and not (known[now].promoted and known[now].parent == old):
        yield f"{now} is in use and was not promoted in place of {old}"
    yield from (f"{name}: {problem}" for name, problem in versions.damaged().items())
    with closing(Store(place / "home")) as store:
        yield from (str(problem) for problem in check(store))
        if (found := len(store.runs())) != runs:
            yield f"{found} runs are on record, not {runs}"


def finish(place: Path) -> str:
    """Give the command again and let it end; what it said on stderr where it failed."""
    process = start(place)
    _, err = process.communicate()
    return "" if process.returncode == 0 else f"given again: exit {process.returncode}: {err.strip()[-300:]}"


def outcome(place: Path, old: str) -> tuple[str, str]:
    """Hashes of the data and of the weights of the version in use.

    Raises:
        AssertionError: there is not one new version, in use.
    """
    versions = Versions(place / "home")
    new = [version for version in versions.list() if version.parent == old]
    assert [version.name for version in new] == [versions.current()], f"made: {new}"
    return str((new[0].data or {})["sheet"]["hash"]), new[0].hash


def trial(project: Path, old: str, whole: Whole, moments: Sequence[float], tally: Tally) -> None:
    """Kill one training at each of these moments of a run of the command, then let it end."""
    with TemporaryDirectory(prefix="autoagent-kills-") as folder:
        place = Path(shutil.copytree(project, Path(folder) / "project"))
        for moment in moments:
            process = start(place)
            try:
                process.communicate(timeout=moment)
                tally.ended += 1
                break
            except subprocess.TimeoutExpired:
                all_of_it = tally.kills % 2 == 0
                others = kill(process, all_of_it=all_of_it)
            if not are_gone(others):
                tally.wrong.append(f"processes outlive the one that was killed: {others}")
            tally.kills += 1
            tally.at[stage(place, old)] += 1
            tally.wrong += faults(place, old, whole.runs)
        if Versions(place / "home").current() == old and (problem := finish(place)):
            tally.wrong.append(problem)
        try:
            data, weights = outcome(place, old)
        except AssertionError as problem:
            tally.wrong.append(str(problem))
            return
        tally.trials += 1
        tally.same_weights += weights == whole.weights
        if data != whole.data:
            tally.wrong.append(f"other data: {data}, not {whole.data}")
        tally.wrong += faults(place, old, whole.runs)


def without_a_kill(project: Path, old: str) -> Whole:
    """The command, let alone."""
    with closing(Store(project / "home")) as store:
        runs = len(store.runs())
    with TemporaryDirectory(prefix="autoagent-kills-") as folder:
        place = Path(shutil.copytree(project, Path(folder) / "project"))
        began = time.monotonic()
        if problem := finish(place):
            raise SystemExit(problem)
        seconds = time.monotonic() - began
        return Whole(seconds, *outcome(place, old), runs)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began, rng, tally = time.monotonic(), random.Random(options.seed), Tally()
    with TemporaryDirectory(prefix="autoagent-kills-") as folder:
        project = Path(folder)
        old = make_project(project)
        whole = without_a_kill(project, old)
        parts = [(part + rng.random()) / options.kills for part in range(options.kills)]
        rng.shuffle(parts)
        while tally.kills < options.kills and not tally.wrong:
            once = tally.trials % 2 == 0 or tally.kills + 1 == options.kills
            moments = [parts.pop() if parts else rng.random() for _ in range(1 if once else 2)]
            trial(project, old, whole, [whole.seconds * moment for moment in moments], tally)
            print(json.dumps(tally.__dict__), file=sys.stderr, flush=True)
    print(json.dumps({**tally.__dict__, "seconds": round(time.monotonic() - began)}))
    return int(bool(tally.wrong))


if __name__ == "__main__":
    sys.exit(main())
