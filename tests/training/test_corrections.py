"""A wrong action is replaced, the run goes on in a copy, and comes out as a demonstration to the token."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from autoagent import Agent, tool
from autoagent.config import Limits, Sampling
from autoagent.errors import UsageError
from autoagent.evals import Expected, Suite, Task, ToolSpec, run_task
from autoagent.goal import expect
from autoagent.models.local import LocalModel, LocalSession
from autoagent.models.protocol import Expect
from autoagent.models.scripted import Line, ScriptedModel
from autoagent.models.tiny import TEMPLATE, write_tiny_model
from autoagent.store import Store
from autoagent.training.branching import NotTheSame
from autoagent.training.corrections import TAG, correct, parse_call, wrong_step
from autoagent.training.dataset import DatasetConfig, build_dataset
from autoagent.trajectory import Message, ToolCall, Trajectory

pytestmark = pytest.mark.usefixtures("one_thread")

SHORT = Limits(max_steps=3, reply_tokens=64)
PLAN: Line = ["do it"]


def call(name: str, /, **arguments: Any) -> ToolCall:
    return ToolCall(name=name, arguments=arguments)


@tool(effects=("write",))
def paint(colour: str, coats: int = 1) -> str:
    """Paint the house."""
    return f"painted {colour}"


def tiny(folder: Path, **more: Any) -> Path:
    """A random model that is shown three tools only."""
    write_tiny_model(folder, **more)
    about = {"habits": {"shown_tools": 3, "pinned": ["finish", "decline"], "recall": 0}}
    (folder / "autoagent.json").write_text(json.dumps(about), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LocalModel:
    return LocalModel.load(tiny(tmp_path_factory.mktemp("tiny")))


def worker(place: Path, model: Any, **options: Any) -> Agent:
    given: dict[str, Any] = {"tools": [paint], "limits": SHORT, "sampling": Sampling(temperature=1, seed=3)}
    return Agent(
        model=model, workspace=place / "work", home=place / "home", memory=False, **(given | options)
    )


def babbled(place: Path, model: LocalModel) -> tuple[Agent, Trajectory]:
    """A run of a random model: a plan, and whatever the grammar made it say."""
    agent = worker(place, model)
    for seed in range(20):
        agent.sampling = Sampling(temperature=1, seed=seed)
        run = agent.run("Paint the house red", check=expect("never said")).trajectory
        if len(run.acts) > 1 and run.acts[0].reply.calls:
            return agent, run
    raise AssertionError("no seed gave a run of two actions")


def fed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """All the tokens that each session holds when it is closed."""
    held: list[tuple[int, ...]] = []
    close = LocalSession.close

    def closing(session: LocalSession) -> None:
        held.append(tuple(session._ids))
        close(session)

    monkeypatch.setattr(LocalSession, "close", closing)
    return held


def test_a_corrected_run_is_to_the_token_what_the_session_was_fed_and_trains_what_was_chosen(
    tmp_path: Path, model: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, past = babbled(tmp_path, model)
    held = fed(monkeypatch)
    right = call("finish", answer="It is red.")
    run = correct(agent, past.run_id, right, step=1, text="Found: red", check=expect("red"))

    assert (run.verdict.status, run.verdict.by, run.ending) == ("verified", "check", "finished")
    assert (run.parent, Store(agent.home).find(run.run_id).tags) == (past.run_id, (TAG,))
    assert run.steps[0].reply == past.steps[0].reply
    assert run.steps[1].reply.calls == (right,)
    assert run.steps[1].reply.text == "Found: red"

    end = model.vocabulary.ends[0]
    (example,) = build_dataset([run], DatasetConfig(validation=0), end_ids=[end]).train
    assert example.ids == held[-1]

    trace = run.steps[1].reply.trace
    assert trace is not None
    said = 'Found: red<tool_call>\n{"name": "finish", "arguments": {"answer": "It is red."}}\n</tool_call>'
    assert trace.completion_ids == (*model.vocabulary.encode_after(said), end)
    mask = example.mask[-len(trace.completion_ids) :]
    chosen = [token for token, trained in zip(trace.completion_ids, mask, strict=True) if trained]
    spelled = model.vocabulary.spell(chosen).decode()
    assert "Found: red" in spelled
    assert "It is red." in spelled
    assert chosen[-1] == end
    assert '"arguments"' not in spelled  # forced by the grammar
    assert len(trace.logprobs) == len(trace.completion_ids)


def test_the_model_goes_on_after_the_correction_in_a_conversation_rebuilt_to_the_token(
    tmp_path: Path, model: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, past = babbled(tmp_path, model)
    held = fed(monkeypatch)
    run = correct(agent, past.run_id, call("paint", colour="dark red", coats=2), step=2)
    assert len(run.steps) > 3
    assert [step.reply for step in run.steps[:2]] == [step.reply for step in past.steps[:2]]
    assert run.steps[1].observations == past.steps[1].observations
    assert run.steps[2].observations[0].content == "painted dark red"
    examples = build_dataset(
        [run.model_copy(update={"verdict": run.verdict.model_copy(update={"status": "verified"})})],
        DatasetConfig(validation=0),
    ).train
    assert [example.ids for example in examples] == [held[-1]]
    assert run.verdict.status == "unverified"  # there was no check on record, so nobody knows

    again = correct(agent, run.run_id, call("finish", answer="done"), step=3, check=expect("done"))
    assert again.verdict.status == "verified"
    assert again.steps[2].reply == run.steps[2].reply


def test_a_conversation_that_comes_out_otherwise_is_refused_and_leaves_nothing_on_record(
    tmp_path: Path, model: LocalModel
) -> None:
    agent, past = babbled(tmp_path, model)
    other = TEMPLATE.replace("'Tools:'", "'Your tools:'")
    changed = LocalModel.load(tiny(tmp_path / "other", template=other))
    before = len(Store(agent.home).runs())
    with pytest.raises(NotTheSame, match="cannot be rebuilt token by token"):
        correct(worker(tmp_path, changed), past.run_id, call("finish", answer="red"), step=1)
    assert len(Store(agent.home).runs()) == before


def test_what_the_grammar_cannot_say_is_one_line(tmp_path: Path, model: LocalModel) -> None:
    agent, past = babbled(tmp_path, model)
    with pytest.raises(UsageError, match="its grammar refuses what begins with"):
        correct(agent, past.run_id, call("finish", answer="a bell: \x07"), step=1)


# --- with a script ---------------------------------------------------------------------------------------


def scripted(place: Path, *lines: Line, **options: Any) -> Agent:
    return worker(place, ScriptedModel(lines), limits=Limits(), **options)


WRONG: tuple[Line, ...] = (
    PLAN,
    ("1. Write: write_file", call("write_file", path="a.txt", content="one")),
    ("1. Write: write_file; one", call("write_file", path="b.txt", content="wrong")),
    call("finish", answer="nothing"),
)


def test_the_run_goes_on_in_a_copy_of_the_workspace_as_it_was_then(tmp_path: Path) -> None:
    past = scripted(tmp_path, *WRONG, about={"expect": "two"}).run("Write it").trajectory
    work = tmp_path / "work"
    (work / "a.txt").write_text("changed since", encoding="utf-8")
    seen: list[str] = []

    def author(messages: Sequence[Message], expect: Expect) -> Line:
        seen.append(messages[-1].content)
        return call("read_file", path="a.txt") if len(seen) == 1 else call("finish", answer="two")

    right = call("write_file", content="two", path="b.txt")  # in any order
    run = correct(worker(tmp_path, ScriptedModel(author), limits=Limits()), past.run_id, right, step=2)
    assert run.verdict.status == "verified"  # by --expect, as it was given then
    assert "one" in seen[1]
    assert run.steps[2].reply.text == "1. Write: write_file"
    store = Store(tmp_path / "home")
    files = store.snapshots.entries(store.snapshots_of(run.run_id)[2])
    assert sorted(files) == ["a.txt", "b.txt"]
    assert store.snapshots.read(store.snapshots_of(run.run_id)[2], "b.txt") == b"two\n"
    assert (work / "a.txt").read_text(encoding="utf-8") == "changed since"
    assert (work / "b.txt").read_text(encoding="utf-8") == "wrong\n"


def test_the_last_action_is_corrected_unless_the_run_failed_in_a_row(tmp_path: Path) -> None:
    assert wrong_step(scripted(tmp_path, *WRONG).run("Write it").trajectory) == 3
    lost = [PLAN, call("list_files"), *[call("read_file", path="none.txt")] * 2]
    cut = scripted(tmp_path, *lost, builtins=("list_files", "read_file")).run(
        "Read it"
    )  # the script ends: an error
    assert cut.ending == "error"
    assert wrong_step(cut.trajectory) == 2


@pytest.mark.parametrize(
    ("wanted", "step", "words"),
    [
        (call("fly", place="moon"), 2, "there is no tool fly; the tools are"),
        (call("write_file", path="a.txt"), 2, "write_file: content: Field required"),
        (call("write_file", path="b.txt", content="wrong"), 2, "this is what run"),
        (call("finish", answer="x"), 0, "made the plan"),
        (call("finish", answer="x"), 9, "has no step 9: its last is step 3"),
    ],
)
def test_what_cannot_be_corrected_is_one_line(
    tmp_path: Path, wanted: ToolCall, step: int, words: str
) -> None:
    agent = scripted(tmp_path, *WRONG)
    past = agent.run("Write it").trajectory
    with pytest.raises(UsageError, match=words):
        correct(agent, past.run_id, wanted, step=step)
    assert len(Store(tmp_path / "home").runs()) == 1


def test_a_run_of_a_suite_is_corrected_in_the_world_of_its_task(tmp_path: Path) -> None:
    look_up = ToolSpec(name="look_up", description="Look up a word", argument="word", replies={"a": "ape"})
    expected = Expected(answer="ape", remembers="milk", asks=True)
    task = Task(
        id="t",
        family="f",
        goal="Do it",
        tools=(look_up,),
        answers=("now",),
        expected=expected,
        only=("save_memory", "ask_user"),
    )
    begun: list[Line] = [PLAN, call("save_memory", text="milk"), call("ask_user", question="When?")]
    model = ScriptedModel([*begun, call("finish", answer="bee")])
    lost = run_task(task, model=model, home=tmp_path / "home", suite="s")
    assert lost.verdict.status == "refuted"
    agent = worker(tmp_path, ScriptedModel([call("finish", answer="ape")]), limits=Limits(), tools=())
    suite = Suite("s", (task,))
    run = correct(agent, str(lost.run_id), call("look_up", word="a"), step=3, suite=suite)
    assert run.verdict.status == "verified", run.verdict
    assert Store(tmp_path / "home").find(run.run_id).suite == "s"
    with pytest.raises(UsageError, match="look_up that is not there now"):
        correct(agent, str(lost.run_id), call("look_up", word="a"), step=3)


def test_a_call_is_read_as_it_is_typed() -> None:
    assert parse_call('read_file {"path": "a b.txt"}') == call("read_file", path="a b.txt")
    assert parse_call(" list_folder ") == call("list_folder")
    for wrong in ("", "read_file path", "read_file [1]"):
        with pytest.raises(UsageError, match=r"write it like|must be a JSON object"):
            parse_call(wrong)
