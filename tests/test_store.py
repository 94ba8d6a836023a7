"""The record: what was written is read back exactly, whatever happened in between."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoagent.errors import UsageError
from autoagent.store import RunRecord, Store
from autoagent.trajectory import (
    Counts,
    Message,
    Observation,
    Record,
    Reply,
    Step,
    TokenTrace,
    ToolCall,
    Verdict,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / ".autoagent")
    yield store
    store.close()


def begin(store: Store, goal: str = "count the lines", *, suite: str = "", model: str = "v1") -> RunRecord:
    workspace = store.home.parent / "workspace"
    workspace.mkdir(exist_ok=True)
    return store.begin(goal, model=model, seed=7, check="", workspace=workspace, suite=suite)


def single(number: float) -> float:
    """The nearest 32-bit float, as a model's own logprobs are."""
    return float(struct.unpack("<f", struct.pack("<f", number))[0])


def a_step(index: int, *, tokens: int = 40) -> Step:
    call = ToolCall(name="read_file", arguments={"path": f"a{index}.txt", "lines": [1, None, {"a": 2.5}]})
    trace = TokenTrace(
        kept=3 * index,
        prompt_ids=tuple(range(index, index + tokens)),
        completion_ids=tuple(range(100, 100 + tokens)),
        origins="sf" * (tokens // 2),
        logprobs=tuple(single(-0.1 * number) for number in range(tokens)),
        masked_logprobs=tuple(single(-0.01 * number) for number in range(tokens)),
    )
    reply = Reply(
        text="(1)",
        reasoning="hm",
        calls=(call,),
        value={"plan": ["a", "b"]} if index == 0 else None,
        complete=index != 2,
        counts=Counts(cached=5, prefilled=6, forced=7, sampled=8),
        trace=trace,
        seconds=0.25,
    )
    seen = Observation(call=call, content="zwölf\n", seconds=0.5, mutated=True, detail="cut")
    return Step(index=index, reply=reply, observations=(seen,), sub_goal=index or None, seconds=1.5)


def write(record: Record, step: Step) -> None:
    """As the loop does it: the reply, then each observation, then the whole step."""
    record.replied(step.index, step.reply)
    for number, seen in enumerate(step.observations):
        record.observed(step.index, number, seen)
    record.stepped(step)


def test_a_run_is_read_back_exactly(store: Store) -> None:
    record = begin(store)
    opening = [Message(role="system", content="You…"), Message(role="user", content="count the lines")]
    record.opened(opening, ["finish", "read_file"])
    record.planned(["first"])
    record.planned(["look", "count"])
    steps = [a_step(0), a_step(1), a_step(2).model_copy(update={"ending": "finished"})]
    for step in steps:
        write(record, step)
    record.ended("finished", "12", 3.5)
    record.judged(Verdict(status="verified", score=1.0, by="check"))

    run = store.load(record.run_id)
    assert run.steps == tuple(steps)
    assert (run.run_id, run.goal, run.model, run.seed) == (record.run_id, "count the lines", "v1", 7)
    assert (run.plan, run.tools, run.answer) == (("look", "count"), ("finish", "read_file"), "12")
    assert (run.ending, run.seconds, run.verdict.status) == ("finished", 3.5, "verified")
    assert store.tools(record.run_id) == run.tools


text = st.text(alphabet=st.characters(), max_size=30)  # lone surrogates and NUL included
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
calls = st.builds(ToolCall, name=text, arguments=st.dictionaries(text, values, max_size=3))
singles = st.lists(st.floats(width=32, allow_nan=False), max_size=20).map(tuple)
ids = st.lists(st.integers(0, 2**31 - 1), max_size=20).map(tuple)
traces = st.builds(
    TokenTrace,
    kept=st.integers(0, 4096),
    prompt_ids=ids,
    completion_ids=ids,
    origins=st.text("sf", max_size=20),
    logprobs=singles,
    masked_logprobs=singles,
)
replies = st.builds(
    Reply,
    text=text,
    reasoning=text,
    calls=st.lists(calls, max_size=2).map(tuple),
    value=values,
    trace=st.none() | traces,
)
observations = st.builds(Observation, call=calls, content=text, ok=st.booleans(), detail=text)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text, replies, st.lists(observations, max_size=2).map(tuple), st.lists(text, max_size=3))
def test_anything_a_model_or_a_file_can_hold_survives(
    store: Store, goal: str, reply: Reply, seen: tuple[Observation, ...], plan: list[str]
) -> None:
    record = begin(store, goal)
    record.opened([Message(role="user", content=goal)], plan)
    record.planned(plan)
    step = Step(index=0, reply=reply, observations=seen)
    write(record, step)
    record.ended("error", goal, 0.0, goal)
    run = store.load(record.run_id)
    assert run.steps == (step,)
    assert (run.goal, run.answer, run.error) == (goal, goal, goal)
    assert run.plan == run.tools == tuple(plan)
    assert store.messages(record.run_id)[0].content == goal


def test_the_conversation_is_read_back_in_order(store: Store) -> None:
    record = begin(store)
    opening = [Message(role="system", content="s"), Message(role="user", content="g")]
    record.opened(opening, [])
    write(record, a_step(0).model_copy(update={"observations": ()}))
    record.said(Message(role="user", content="Act."))
    write(record, a_step(1))
    record.said(Message(role="user", content="You repeat yourself."))
    conversation = store.messages(record.run_id)
    assert conversation[:2] == opening
    roles = [message.role for message in conversation[2:]]
    assert roles == ["assistant", "user", "assistant", "tool", "user"]
    assert conversation[5] == Message(role="tool", content="zwölf\n", name="read_file")


def test_a_step_that_differs_from_what_was_written_before_wins(store: Store) -> None:
    record = begin(store)
    record.replied(0, Reply(text="early"))
    record.stepped(a_step(0))
    assert store.load(record.run_id).steps == (a_step(0),)


def test_nothing_is_made_before_the_first_run(tmp_path: Path) -> None:
    store = Store(tmp_path / ".autoagent")
    assert store.runs() == []
    assert list(store.verified()) == []
    with pytest.raises(UsageError, match="no runs yet"):
        store.load("last")
    assert not (tmp_path / ".autoagent").exists()
    begin(store)
    assert (tmp_path / ".autoagent" / ".gitignore").read_text(encoding="utf-8") == "*\n"


def test_runs_are_listed_newest_first_and_filtered(store: Store) -> None:
    first, second, third = begin(store, "a"), begin(store, "b", suite="smoke"), begin(store, "c", model="v2")
    write(first, a_step(0))
    first.ended("finished", "x", 1.0)
    first.judged(Verdict(status="verified", by="check"))
    second.ended("stuck", None, 1.0)

    assert [run.run_id for run in store.runs()] == [third.run_id, second.run_id, first.run_id]
    assert [run.goal for run in store.runs(limit=2)] == ["c", "b"]
    assert [run.goal for run in store.runs(ending="stuck")] == ["b"]
    assert [run.goal for run in store.runs(verdict="verified")] == ["a"]
    assert [run.goal for run in store.runs(verdict="unverified")] == ["c", "b"]
    assert [run.goal for run in store.runs(suite="smoke")] == ["b"]
    assert [run.goal for run in store.runs(suite="")] == ["c", "a"]
    assert [run.goal for run in store.runs(model="v2")] == ["c"]
    shown = store.find(first.run_id)
    assert (shown.state, shown.steps, shown.answer, shown.replayable) == ("finished", 1, "x", True)
    assert store.find("last").state == "running"
    third.close()  # as when its process dies
    assert store.find("last").state == "unfinished"
    assert [run.goal for run in store.runs(ending="unfinished")] == ["c"]


def test_ids_sort_by_time_and_may_be_abbreviated(store: Store) -> None:
    runs = [begin(store).run_id for _ in range(3)]
    assert all(len(run) == 12 and run.startswith("r") for run in runs)
    assert store.load(runs[1].upper()).run_id == runs[1]
    assert store.find("last").run_id == runs[2]
    with pytest.raises(UsageError, match=f"fits 3 runs.*{runs[2]}.*{runs[0]}"):
        store.load("r")
    prefixes = [runs[0][:length] for length in range(1, 13)]
    unique = next(prefix for prefix in prefixes if sum(run.startswith(prefix) for run in runs) == 1)
    assert store.find(unique).run_id == runs[0]


@pytest.mark.parametrize("name", ["rzzz", "", "%", "' OR 1", "\udcff"])
def test_an_unknown_run_says_how_to_list_them(store: Store, name: str) -> None:
    begin(store)
    with pytest.raises(UsageError, match="autoagent runs list"):
        store.load(name)
    with pytest.raises(UsageError, match="autoagent runs list"):
        store.rate(name, good=True)


def test_a_branch_knows_its_parent(store: Store, tmp_path: Path) -> None:
    parent = begin(store)
    child = store.begin("g", model="v", seed=0, check="", workspace=tmp_path, parent=parent.run_id[:-1])
    assert store.find(child.run_id).parent == parent.run_id
    with pytest.raises(UsageError, match="no run 'rnone'"):
        store.begin("g", model="v", seed=0, check="", workspace=tmp_path, parent="rnone")


def test_both_verdicts_are_kept_and_only_the_checks_gates(store: Store) -> None:
    record = begin(store)
    assert store.verdicts(record.run_id).latest.status == "unverified"
    record.judged(Verdict(status="verified", score=1.0, by="check"))
    store.rate("last", good=False, note="too slow")
    found = store.verdicts(record.run_id)
    assert [verdict.by for verdict in found.given] == ["check", "user"]
    assert found.latest == Verdict(status="refuted", reason="too slow", by="user")
    assert found.by_user == found.latest
    assert found.gating == found.by_check == Verdict(status="verified", score=1.0, by="check")
    assert store.load("last").verdict == store.find("last").verdict == found.latest


def test_a_users_rating_alone_does_not_gate(store: Store) -> None:
    begin(store)
    store.rate("last", good=True)
    assert store.verdicts("last").gating.status == "unverified"


def test_only_judged_runs_are_learned_from(store: Store) -> None:
    goals = ("checked", "failed", "unknown", "liked", "claimed", "taken back")
    run = {goal: begin(store, goal) for goal in goals}
    run["checked"].judged(Verdict(status="verified", by="check"))
    run["failed"].judged(Verdict(status="refuted", by="check"))
    run["unknown"].judged(Verdict(reason="no check was given"))
    run["claimed"].judged(Verdict(status="verified"))  # by nobody
    run["taken back"].judged(Verdict(status="verified", by="check"))
    store.rate(run["liked"].run_id, good=True)
    store.rate(run["taken back"].run_id, good=False)
    assert [found.goal for found in store.verified()] == ["checked", "liked"]
    assert [found.goal for found in store.refuted()] == ["failed", "taken back"]


def test_the_workspace_is_kept_by_step(store: Store) -> None:
    record = begin(store)
    file = record.workspace / "a.txt"
    before = record.snapshot(0)
    file.write_text("new", encoding="utf-8")
    write(record, a_step(1))
    after = record.snapshot(1)
    assert store.snapshots_of("last") == {0: before, 1: after}
    assert before is not None
    assert after is not None
    assert store.snapshots.diff(before, after) == [("added", "a.txt")]


def test_a_run_in_too_large_a_workspace_is_marked(store: Store) -> None:
    store.snapshots.max_bytes = 10
    record = begin(store)
    (record.workspace / "large").write_bytes(bytes(11))
    assert record.snapshot(0) is None
    assert store.snapshots_of("last") == {}
    assert not store.find("last").replayable
