"""Verified runs become a new version, which is used only when the gate says so; one call goes back."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from autoagent.agent import Agent
from autoagent.config import Limits, Sampling
from autoagent.errors import ModelError, ToolError, UsageError
from autoagent.evals import Expected, Suite, Task, run_suite
from autoagent.goal import Check
from autoagent.models.engine import load_engine
from autoagent.models.load import load_model
from autoagent.models.scripted import ScriptedModel
from autoagent.models.tiny import write_tiny_model
from autoagent.models.versions import Versions
from autoagent.prompts import prompt_hash
from autoagent.store import Store
from autoagent.training.dataset import Dataset, DatasetConfig, DataSheet, Example, goal_hash
from autoagent.training.finetune import finetune
from autoagent.training.gate import GateConfig, GateReport, gate_versions
from autoagent.training.learning import How, Learning
from autoagent.training.service import finetune_service
from autoagent.training.sft import FinetuneProgress, train
from autoagent.trajectory import ToolCall

from .quick import quick

SHORT = Limits(max_steps=1, reply_tokens=48)
GOALS = [f"say the number {n}" for n in range(6)]
QUICK = quick(epochs=4, data=DatasetConfig(validation=0.2), gate=GateConfig(tasks=2, limits=SHORT))
SUITE = Suite(
    "held out",
    tuple(
        Task(id=str(n), family="f", goal=goal, expected=Expected(answer="never said"))
        for n, goal in enumerate([GOALS[0], "say hello", "say goodbye"])
    ),
)


def tiny(folder: Path, seed: int = 0) -> Path:
    """A random model that is shown three tools only."""
    write_tiny_model(folder, seed=seed)
    about = {"habits": {"shown_tools": 3, "pinned": ["finish", "decline"], "recall": 0}}
    (folder / "autoagent.json").write_text(json.dumps(about), encoding="utf-8")
    return folder


def say_yes(workspace: object, answer: str) -> bool:
    return True


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def record(home: Path, goals: list[str], check: Check | None = say_yes, temperature: float = 1) -> None:
    """Run the version in use on these goals; what a random model does there is all the same to the check."""
    agent = Agent(
        home=home,
        workspace=home.parent / "work",
        limits=SHORT,
        memory=False,
        sampling=Sampling(temperature=temperature),
    )
    for goal in goals:
        agent.run(goal, check=check)


@pytest.fixture(scope="module")
def practised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose version in use is a random model with verified runs on record."""
    place = tmp_path_factory.mktemp("practised")
    home = place / "home"
    versions = Versions(home)
    versions.use(versions.add(tiny(place / "tiny"), prompts=prompt_hash()).name)
    record(home, GOALS)
    return home


@pytest.fixture
def home(practised: Path, tmp_path: Path) -> Path:
    """A copy of it, with its version as the first that was in use."""
    copy: Path = shutil.copytree(practised, tmp_path / "home")
    return copy


def test_verified_runs_become_a_version_that_finds_them_likelier(home: Path) -> None:
    heard: list[FinetuneProgress] = []
    parent = Versions(home).current()
    result = finetune(home, suite=None, config=QUICK, on_progress=heard.append)

    assert result.trained.train_loss.after < 0.8 * result.trained.train_loss.before
    assert result.trained.validation_loss is not None
    notes = [at.note for at in heard if not at.total]
    assert [at.note for at in heard[: len(notes)]] == notes == list(result.sheet.remarks())
    assert any("too few" in note for note in notes)  # said before any training
    assert [at.step for at in heard if at.total] == list(range(1, result.trained.steps + 1))
    assert heard[-1].total == result.trained.steps
    assert heard[-1].loss is not None

    made = Versions(home).verify(result.version)
    assert (made.parent, made.method) == (parent, "sft")
    assert made.data is not None
    assert made.data["sheet"] == result.sheet.model_dump(mode="json")
    beside = {path.name for path in Versions(home).beside(result.version)}
    assert "log.jsonl" in beside
    assert importlib.util.find_spec("tensorboard") is None or "events.out.tfevents.0" in beside
    assert set(result.sheet.runs) < {run.run_id for run in Store(home).runs()}
    assert Versions(home).current() == parent  # without a gate nothing is put in use
    assert "no suite" in result.reason


def test_the_gate_refuses_what_is_not_better_and_leaves_out_trained_goals(home: Path) -> None:
    config = QUICK.model_copy(update={"epochs": 1, "data": DatasetConfig(validation=0)})
    before = Versions(home).current()
    told: list[FinetuneProgress] = []
    result = finetune(home, suite=SUITE, config=config, on_progress=told.append)
    assert told[0].note.startswith(
        "The suite has 2 held-out goals, too few to show that anything is better: at"
    )
    assert told[1].note.startswith("What is forgotten will go unseen")
    assert not result.promoted
    assert result.gate is not None
    assert (result.gate.excluded, result.gate.new.n, result.gate.comparison.n) == (1, 2, 2)
    assert goal_hash(GOALS[0]) in result.sheet.goals
    versions = Versions(home)
    assert versions.current() == before
    assert versions.get(result.version).gate == result.gate.model_dump(mode="json")
    assert not versions.get(result.version).promoted


@pytest.mark.parametrize("patience", [None, 1])
def test_few_goals_do_not_stop_a_training_unless_that_was_asked_for(home: Path, patience: int | None) -> None:
    config = QUICK.model_copy(
        update={"epochs": 40, "learning_rate": 0.03, "learning": Learning(patience=patience)}
    )
    trained = finetune(home, suite=None, config=config).trained
    assert trained.stopped_early is (patience is not None)


def test_conversations_that_are_too_long_are_counted(home: Path, tmp_path: Path) -> None:
    talk = {"messages": [{"role": "user", "content": "say"}, {"role": "assistant", "content": "word " * 500}]}
    file = tmp_path / "chats.jsonl"
    file.write_text(f"{json.dumps(talk)}\n", encoding="utf-8")
    data = DatasetConfig(max_length=200)
    config = QUICK.model_copy(update={"epochs": 1, "outside": (file,), "data": data})
    with pytest.raises(UsageError, match="1 conversation from outside was too long"):
        finetune(home, suite=None, config=config)


def test_a_version_that_was_overtaken_while_it_was_measured_is_not_promoted(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = Versions(home)
    other = versions.add(versions.path(versions.current()), prompts=prompt_hash(), note="by hand").name

    def meanwhile(*arguments: object, **settings: object) -> GateReport:
        versions.use(other)
        return gate_versions(*arguments, **settings).model_copy(update={"promoted": True})  # type: ignore[arg-type]

    monkeypatch.setattr("autoagent.training.finetune.gate_versions", meanwhile)
    config = QUICK.model_copy(update={"epochs": 1, "data": DatasetConfig(validation=0)})
    with pytest.raises(ModelError, match=f"but {other} is in use by now"):
        finetune(home, suite=SUITE, config=config)
    assert versions.current() == other
    assert not versions.list()[-1].promoted


def test_learning_goes_on_from_the_version_made_before(home: Path) -> None:
    quick = QUICK.model_copy(update={"epochs": 1})
    first = finetune(home, suite=None, config=quick)
    Versions(home).use(first.version)
    record(home, [f"say something new, {number}" for number in range(4)])
    second = finetune(home, suite=None, config=quick)
    assert second.parent == first.version
    assert set(second.sheet.models) == {
        Versions(home).get(name).hash for name in (first.parent, first.version)
    }


@pytest.mark.parametrize("spelt", ["short", "folder"])
def test_a_base_is_the_same_version_however_it_is_named(spelt: str, home: Path) -> None:
    name = Versions(home).current()
    base = name.split("-")[0] if spelt == "short" else str(Versions(home).path(name))
    result = finetune(home, base=base, suite=None, config=QUICK.model_copy(update={"epochs": 1}))
    assert result.parent == Versions(home).get(result.version).parent == name


def test_a_base_from_elsewhere_is_named_by_where_it_is(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(Versions(home).path(Versions(home).current()), tmp_path / "mine")
    (tmp_path / "mine" / "version.json").unlink()
    monkeypatch.chdir(tmp_path)
    result = finetune(home, base="./mine", suite=None, config=QUICK.model_copy(update={"epochs": 1}))
    assert result.parent == str(tmp_path / "mine")


def test_a_damaged_base_is_refused_before_any_training(home: Path) -> None:
    told: list[FinetuneProgress] = []
    (weights,) = Versions(home).path(Versions(home).current()).glob("*.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ModelError, match="have changed since it was made"):
        finetune(home, suite=None, config=QUICK, on_progress=told.append)
    assert told == []


def test_an_adapter_of_an_adapter_is_refused_before_any_training(home: Path) -> None:
    apart = Learning.model_validate({"adapter": {"what": "lora", "merge": False}})
    config = QUICK.model_copy(update={"epochs": 1, "learning": apart})
    first = finetune(home, suite=None, config=config)
    assert (Versions(home).path(first.version) / "adapter_config.json").is_file()
    told: list[FinetuneProgress] = []
    with pytest.raises(UsageError, match="is an adapter itself, and an adapter of an adapter cannot be kept"):
        finetune(home, base=first.version, suite=None, config=config, on_progress=told.append)
    assert told == []


def test_no_verified_runs_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"^no verified runs to learn from: run goals with --check .* rate ID good`$"
    ):
        finetune(tmp_path / "home", suite=None)
    with pytest.raises(ToolError, match="no verified runs"):
        finetune_service(tmp_path / "home", None)(note="learn")


def test_runs_of_models_without_ids_are_refused_with_a_count(tmp_path: Path) -> None:
    home = tmp_path / "home"
    model = ScriptedModel([["finish"], ToolCall(name="finish", arguments={"answer": "4"})])
    Agent(model=model, home=home, workspace=tmp_path / "work", memory=False).run("2 + 2", check=say_yes)
    versions = Versions(home)
    versions.use(versions.add(write_tiny_model(tmp_path / "tiny")).name)
    with pytest.raises(
        UsageError, match="none of the 1 verified runs can be learned from: 1 run had no token ids"
    ):
        finetune(home, suite=None)


def test_runs_of_another_tokenizer_are_refused(home: Path, tmp_path: Path) -> None:
    other = write_tiny_model(tmp_path / "other", markers=False)
    with pytest.raises(UsageError, match="6 runs came from a model with another or an unknown tokenizer"):
        finetune(home, base=str(other), suite=None, config=QUICK)


def test_evaluation_runs_never_train(home: Path) -> None:
    passing = Suite(
        "exam", (Task(id="1", family="f", goal="an exam goal", expected=Expected(files={"no": None})),)
    )
    run_suite(passing, model=load_model(None, home=home), home=home, limits=SHORT)
    assert [run.goal for run in Store(home).verified(suite="exam")] == ["an exam goal"]
    result = finetune(
        home, suite=None, config=QUICK.model_copy(update={"epochs": 1, "data": DatasetConfig(validation=0)})
    )
    assert goal_hash("an exam goal") not in result.sheet.goals
    assert len(result.sheet.runs) == len(GOALS)


def test_a_model_that_is_missing_is_found_out_before_training(home: Path) -> None:
    with pytest.raises(ModelError, match="no model version 'v9-00000000'"):
        finetune(home, base="v9-00000000", suite=None)


def task(number: int, goal: str, split: str = "test") -> Task:
    return Task(id=str(number), family="f", goal=goal, split=split, expected=Expected(answer="never said"))


def test_a_suite_that_cannot_measure_is_found_out_before_training(home: Path, tmp_path: Path) -> None:
    before = Versions(home).list()
    leaking = Suite("twice", (task(0, "say hello", split="train"), task(1, "say hello")))
    with pytest.raises(UsageError, match="suite twice leaks: 1 of the 1 goals"):
        finetune(home, suite=leaking, config=QUICK)
    with pytest.raises(UsageError, match="all its 1 goals were trained on"):
        finetune(home, suite=Suite("known", (task(0, GOALS[-1]),)), config=QUICK)
    few = write_suite(tmp_path / "few.toml", 3)
    with pytest.raises(
        UsageError, match="few is too small to show that nothing was forgotten: 3 other goals"
    ):
        finetune(home, suite=SUITE, config=QUICK.model_copy(update={"elsewhere": few}))
    assert Versions(home).list() == before
    assert not [path for path in (home / "training").iterdir() if path.is_dir()]


def write_suite(file: Path, count: int) -> Path:
    line = '[[task]]\nid = "{n}"\ngoal = "sing song {n}"\nexpected.answer = "la"\n'
    file.write_text("".join(line.replace("{n}", str(n)) for n in range(count)), encoding="utf-8")
    return file


def test_the_service_answers_with_numbers_also_of_other_goals_of_ones_own(home: Path, tmp_path: Path) -> None:
    own = write_suite(tmp_path / "songs.toml", 20)
    config = QUICK.model_copy(update={"epochs": 1, "elsewhere": own})
    told = finetune_service(home, SUITE, config)(note="weekly")
    assert told.startswith("Made v2-")
    assert "Refused: not better" in told
    assert "The model in use stays." in told
    assert "; elsewhere old 0/20, new 0/20." in told
    made = Versions(home).list()[-1]
    assert made.note == "weekly"
    assert made.gate is not None
    assert made.gate["forgetting"]["suite"] == "songs"
    assert "elsewhere" in {rule["name"] for rule in made.gate["rules"]}


@pytest.mark.parametrize(("examples", "updates"), [(20, 4), (200, 14)])
def test_a_pass_is_few_updates_of_few_runs_and_a_dozen_of_many(
    examples: int, updates: int, home: Path
) -> None:
    engine = load_engine(
        Versions(home).path(Versions(home).current()), device="cpu", dtype="float32", trust_remote_code=False
    )
    ids = tuple(range(300))  # so a batch is 2,048 tokens, and then 5,000
    data = [
        Example(ids=ids, mask=(1,) * 300, run_id=f"run{number}", goal=f"goal{number}")
        for number in range(examples)
    ]
    how = How(epochs=1, learning_rate=1e-3, device="cpu", precision="fp32", threads=1)
    made = train(engine, Dataset(tuple(data), (), DataSheet()), how, lambda at: None)
    assert made.steps == updates
