"""What ``improves.py`` tries on a suite: each arm in a home of its own, begun from the embedded model.

An arm that was ended in any way goes on where it stood when it is called again; the seconds it has used are
kept in a file beside its home.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from taught import teach

from autoagent.config import Limits
from autoagent.evals import Suite
from autoagent.evals.parallel import jobs_for
from autoagent.models import disk
from autoagent.models.lineage import lineage
from autoagent.models.versions import EMBEDDED, Version, Versions
from autoagent.nano import earlier
from autoagent.prompts import prompt_hash
from autoagent.training.dataset import Dataset, DatasetConfig
from autoagent.training.evolve import EvolveConfig, History, Round, evolve, parts_of
from autoagent.training.finetune import FinetuneConfig, finetune
from autoagent.training.gate import GateConfig
from autoagent.training.jobs import one_at_a_time, put
from autoagent.training.learning import AdapterConfig, How, Learning
from autoagent.training.measuring import Measurements
from autoagent.training.sampling import SampleProgress, SampleReport, SamplingConfig, sample_suite
from autoagent.training.selection import Selection
from autoagent.training.sft import FinetuneProgress, Trained
from autoagent.training.sheet import DataSheet
from autoagent.training.worker import work_apart

Arm = Literal["sample", "evolve", "evolve-control", "corrected", "corrected-control"]
LIMITS = Limits()  # of each run, as on the command line
ARMS: tuple[Arm, ...] = ("sample", "evolve", "evolve-control", "corrected", "corrected-control")
SEEDS_APART = 1_000  # between the sampling seeds of two arms' seeds, as each round has one of its own
NOTE = "corrections"  # of the version that was trained before the rounds
CONTROL_SEED = 50_000  # of the control's demonstrations: not those that an arm mixes in
_LEAST = 1 / 30  # of the budget, below which no round is begun
_SPARE = 1.3  # times the last training, kept back for the next one, which has more data
_EVERY = 2.0  # seconds between two writings of the ledger


@dataclass(frozen=True)
class Plan:
    """What is the same for all arms. None: the default of ``autoagent evolve``."""

    minutes: float = 15.0  # of sampling, correcting and training, in all
    rounds: int = 3
    share: float = 0.6  # of the minutes, for the runs of the first round
    samples: int = 8
    temperature: float = 1.0
    enough: int = 2
    lr: float | None = None
    epochs: int | None = None
    batch_tokens: int | None = None
    replay: float | None = None
    weights: str = "full"
    corrections: int = 20
    teach: str = "first"  # "first": a training on the corrections before the rounds; "along": none
    held_out: int = 200
    others: int = 600
    goals: int | None = None  # to learn from, at most
    gate_seed: int = 770_001
    calibrate: bool = False
    jobs: int | None = None

    def tuning(self, seed: int) -> FinetuneConfig:
        """The training and the gate of a round."""
        given = {
            "epochs": self.epochs,
            "learning_rate": self.lr,
            "batch_tokens": self.batch_tokens,
            "replay": self.replay,
        }
        gate = GateConfig(
            tasks=self.held_out, other_tasks=self.others, seed=self.gate_seed, complete=False, limits=LIMITS
        )
        return FinetuneConfig(
            **{name: value for name, value in given.items() if value is not None},
            seed=seed,
            learning=Learning(adapter=AdapterConfig(what=self.weights)),
            data=DatasetConfig(test=0.0),
            gate=gate,
            jobs=self.jobs,
        )

    def sampling(self, seed: int, minutes: float | None, samples: int | None = None) -> SamplingConfig:
        """The runs of a round."""
        return SamplingConfig(
            samples=samples or self.samples,
            temperature=self.temperature,
            enough=self.enough,
            minutes=minutes,
            seed=SEEDS_APART * seed,
            limits=LIMITS,
        )


class Ledger:
    """Seconds by what they were spent on, kept in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        text = disk.read(file)
        self.spent: dict[str, float] = json.loads(text) if text else {}
        self._from = self._written = time.monotonic()

    def lap(self, what: str) -> None:
        """Book the time since the last lap."""
        now = time.monotonic()
        self.spent[what] = self.spent.get(what, 0.0) + now - self._from
        self._from = now
        if now - self._written > _EVERY:
            self.keep()

    def keep(self) -> None:
        """Write it down."""
        self._written = time.monotonic()
        self._file.parent.mkdir(parents=True, exist_ok=True)
        disk.replace(self._file, json.dumps(self.spent).encode())

    @property
    def budgeted(self) -> float:
        """Seconds that count against the budget: all but measuring."""
        return sum(seconds for what, seconds in self.spent.items() if what != "gate")

    def follow(self, number: int, at: SampleProgress | FinetuneProgress) -> None:
        """Progress of an evolution."""
        sampled = isinstance(at, SampleProgress)
        self.lap("sampling" if sampled else "training" if at.stage == "train" else "gate")  # type: ignore[union-attr]


@dataclass(frozen=True)
class Place:
    """One arm of one suite and seed."""

    folder: Path
    suite: Suite
    seed: int
    plan: Plan
    say: Callable[[str], None]
    known: Measurements  # what gates found before, so that they need not measure it again

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def ledger(self) -> Ledger:
        return Ledger(self.folder / "spent.json")


def inner(suite: Suite) -> Suite:
    """The part to learn from, itself in two by hash: to choose settings on, without the goals held out."""
    train = sorted((task for task in suite.tasks if task.split == "train"), key=lambda task: task.id)
    tasks = (
        task.model_copy(update={"split": "new" if number % 2 else "train"})
        for number, task in enumerate(train)
    )
    return Suite(f"{suite.name} inner", tuple(tasks))


def sample(place: Place) -> SampleReport:
    """The runs of the first round alone: what there is to learn, before anything is."""
    plan, ledger = place.plan, place.ledger()
    practice, _ = parts_of(place.suite)
    minutes = max(0.01, plan.share * plan.minutes - ledger.budgeted / 60)
    config = plan.sampling(place.seed, minutes)
    config = config.model_copy(update={"seed": config.seed + 1})  # that of an evolution's first round
    jobs = plan.jobs or jobs_for(Versions(place.home).resolve(EMBEDDED), len(practice.tasks))
    report = sample_suite(
        practice,
        model=EMBEDDED,
        home=place.home,
        config=config,
        jobs=jobs,
        on_sample=lambda at: ledger.follow(1, at),
    )
    ledger.lap("sampling")
    ledger.keep()
    return report


def improve(place: Place, begun: Path | None = None) -> tuple[Round, ...]:
    """``autoagent evolve`` until the minutes are used, or as long as it helps.

    Args:
        place: Where, and on what.
        begun: Folder of :func:`sample`, whose runs and seconds are taken over.
    """
    if begun is not None and begun.is_dir() and not place.folder.exists():
        draft = place.folder.with_name(".draft")
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(begun, draft)
        draft.rename(place.folder)
    return _rounds(place, place.ledger(), taught=False)


def improve_corrected(place: Place) -> tuple[dict[str, Any], tuple[Round, ...]]:
    """The same, begun with corrections of failed greedy runs; what was corrected, and the rounds."""
    plan, ledger = place.plan, place.ledger()
    practice, measure = parts_of(place.suite)
    note = place.folder / "taught.json"
    about: dict[str, Any] = json.loads(note.read_text("utf-8")) if note.exists() else {}
    if not about:
        greedy = plan.sampling(place.seed, None, samples=1)
        greedy = greedy.model_copy(update={"seed": greedy.seed + 1})
        jobs = plan.jobs or jobs_for(Versions(place.home).resolve(EMBEDDED), len(practice.tasks))
        sample_suite(
            practice,
            model=EMBEDDED,
            home=place.home,
            config=greedy,
            jobs=jobs,
            on_sample=lambda at: ledger.follow(1, at),
        )
        ledger.lap("sampling")
        found = teach(place.home, practice, plan.corrections, seed=place.seed, limits=LIMITS)
        ledger.lap("correcting")
        about = {"corrected": len(found.runs), "typed": found.typed, "failed": found.failed}
        done = any(each.note == NOTE and each.gate for each in Versions(place.home).list())
        if plan.teach == "first" and found.runs and not done:
            config = plan.tuning(place.seed).model_copy(update={"selection": Selection(suite=practice.name)})
            result = finetune(
                place.home,
                suite=measure,
                config=config.model_copy(update={"note": NOTE}),
                earlier=earlier,
                on_progress=lambda at: ledger.follow(0, at),
                known=place.known,
            )
            about |= {"version": result.version, "reason": result.reason}
        ledger.lap("gate")
        ledger.keep()
        disk.replace(note, json.dumps(about).encode())
    place.say(f"corrected: {about}")
    return about, _rounds(place, ledger, taught=True)


def _rounds(place: Place, ledger: Ledger, *, taught: bool) -> tuple[Round, ...]:
    plan, history = place.plan, History(place.home, place.suite.name)
    budget = 60 * plan.minutes
    while len(rounds := history.rounds()) < plan.rounds:
        left = budget - ledger.budgeted
        if rounds:
            left -= _SPARE * (rounds[-1].training_seconds or 0.0)
        elif taught:
            left *= plan.share
        else:
            left -= (1 - plan.share) * budget
        if rounds and left < _LEAST * budget:
            break
        config = EvolveConfig(
            rounds=1,
            sampling=plan.sampling(place.seed, max(0.01, left / 60)),
            tuning=plan.tuning(place.seed),
            jobs=plan.jobs,
        )
        known, follow = place.known, ledger.follow
        evolved = evolve(place.home, place.suite, config, earlier=earlier, on_progress=follow, known=known)
        made = evolved.rounds[-1]
        ledger.lap("gate")
        ledger.keep()
        place.say(f"round {made.number}: {made.reason}")
        if not made.version or (len(rounds) and not (made.promoted or rounds[-1].promoted)):
            break
    return history.rounds()


def final(home: Path) -> str:
    """The version an arm came to: the one in use, or, where none was promoted, the last that was refused."""
    versions = Versions(home)
    made = versions.list()
    return versions.current() if versions.current() != EMBEDDED or not made else made[-1].name


def trained_line(home: Path) -> list[Version]:
    """The versions from the embedded model to the one an arm came to, the first one first."""
    versions = Versions(home)
    return [versions.get(name) for name in reversed(lineage(versions, final(home))) if name != EMBEDDED]


def control(place: Place, of: Path) -> list[str]:
    """As much training as the line of an arm in home ``of`` had, from the same start, on replay only.

    Each version of the line has its counterpart, with the same settings and number of tokens; it is not
    stopped early, and imitates what it replays: held to what it was, it would learn nothing at all. Returns
    the names, the first one first.
    """
    versions, ledger = Versions(place.home), place.ledger()
    names: list[str] = []
    for number, original in enumerate(trained_line(of)):
        about: Mapping[str, Any] = original.data or {}
        base = names[-1] if names else EMBEDDED
        how = How.model_validate({name: about["config"][name] for name in How.model_fields})
        done = Trained.model_validate(about["trained"])
        how = how.model_copy(
            update={
                "learning": how.learning.model_copy(update={"patience": 0}),
                "learning_rate": done.learning_rate,
                "replay_loss": "tokens",
            }
        )
        tokens = round(done.tokens / how.epochs)
        folder = Path(versions.resolve(base))
        seed = CONTROL_SEED + SEEDS_APART * place.seed + number
        shown = tuple(earlier.replay(folder, tokens, seed))
        data = Dataset(shown, (), DataSheet(hash=f"replay {tokens} {seed}", examples=len(shown)))
        with one_at_a_time(place.home) as trainings:
            job = put(trainings, folder, data, how)
            made = [each.name for each in versions.list() if (each.data or {}).get("job") == job.name]
            if not made:
                trained = work_apart(job, lambda at: ledger.follow(0, at))
                version = versions.add(
                    job.folder / "model",
                    parent=base,
                    method="sft",
                    note="replay only",
                    prompts=prompt_hash(folder),
                    data={"job": job.name, "trained": trained.model_dump(mode="json")},
                )
                made = [version.name]
            job.forget()
        names += made[-1:]
        ledger.keep()
    return names
