"""Runs in other formats: nothing is lost that the format can hold, and nothing in a run becomes code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoagent.errors import UsageError
from autoagent.store import Store
from autoagent.store.atif_import import from_atif
from autoagent.store.export import atif, chats
from autoagent.store.page import page
from autoagent.store.portable import import_run, packed_run, unpacked_run
from autoagent.tools import builtin_tools
from autoagent.trajectory import (
    Counts,
    Message,
    Observation,
    Permission,
    Reply,
    Step,
    TokenTrace,
    ToolCall,
    Verdict,
)

SCHEMAS = {tool.name: tool.schema for tool in builtin_tools()}
OPENING = [Message(role="system", content="You are."), Message(role="user", content="Goal: sum")]
READ = ToolCall(name="read_file", arguments={"path": "a.txt"})
ASK = ToolCall(name="delegate", arguments={"goal": "look", "tools": ["read_file"]})
FINISH = ToolCall(name="finish", arguments={"answer": "3"})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / ".autoagent")
    yield store
    store.close()


@pytest.fixture
def run_id(store: Store) -> str:
    """A run with a plan, two calls in a reply, a child, a nudge, a compaction, a file, and an answer."""
    work = store.home.parent / "work"
    work.mkdir()
    child = store.begin("look", model="m1", seed=0, check="", workspace=work)
    child.opened(OPENING, ["finish"])
    child.ended("finished", "1", 1.0)
    record = store.begin("sum", model="m1", seed=0, check="true", workspace=work, settings={"seed": 0})
    record.opened(OPENING, ["read_file", "delegate", "finish"])
    record.snapshot(0)
    record.planned(["look", "tell"])

    def step(
        index: int, reply: Reply, *seen: Observation, kind: Any = "act", sub_goal: int | None = None
    ) -> None:
        record.replied(index, reply, kind)
        if kind == "compaction":
            record.compacted([*OPENING, Message(role="user", content="So far: 1 + 2")])
        record.stepped(
            Step(index=index, kind=kind, reply=reply, observations=seen, sub_goal=sub_goal, seconds=2.0)
        )

    plan = TokenTrace(prompt_ids=(1, 2, 3), completion_ids=(4, 5), origins="sf", logprobs=(-0.5, 0.0))
    step(0, Reply(text="p", value={"plan": ["look", "tell"]}, trace=plan), kind="plan")
    permission = Permission(effects=("execute",), granted=False, by="user", feedback="no")
    both = TokenTrace(kept=5, prompt_ids=(6,), completion_ids=(7,), origins="s", logprobs=(-1.0,))
    counts = Counts(cached=5, prefilled=1, forced=0, sampled=1)
    step(
        1,
        Reply(text="1. look", reasoning="hm", calls=(READ, ASK), trace=both, counts=counts),
        Observation(call=READ, content="1\n2", mutated=True),
        Observation(call=ASK, content="no", ok=False, child=child.run_id, permission=permission),
        sub_goal=1,
    )
    (work / "b.txt").write_text("new\n", encoding="utf-8")
    record.snapshot(1)
    record.said(Message(role="user", content="Go on."))
    step(2, Reply(text="So far"), kind="compaction")
    step(3, Reply(text="2. tell", calls=(FINISH,)), Observation(call=FINISH, content="3"), sub_goal=2)
    record.ended("finished", "3", 8.0)
    record.judged(Verdict(status="verified", score=1.0, by="check"))
    return record.run_id


# --- ATIF ------------------------------------------------------------------------------------------------


def test_atif_tells_the_whole_run(store: Store, run_id: str) -> None:
    document = json.loads(json.dumps(atif(store, run_id, SCHEMAS)))
    assert document["schema_version"] == "ATIF-v1.7"
    steps = document["steps"]
    assert [step["step_id"] for step in steps] == list(range(1, len(steps) + 1))
    assert [step["source"] for step in steps] == "system user agent agent user agent user agent".split()
    assert steps[6]["message"] == "So far: 1 + 2"
    acting = steps[3]
    assert acting["reasoning_content"] == "hm"
    names = [call["tool_call_id"] for call in acting["tool_calls"]]
    assert [result["source_call_id"] for result in acting["observation"]["results"]] == names
    assert acting["metrics"]["prompt_token_ids"] == [1, 2, 3, 4, 5, 6]  # all that the reply saw
    assert acting["metrics"]["prompt_tokens"] == 6
    assert acting["metrics"]["logprobs"] == [-1.0]
    assert document["final_metrics"]["total_steps"] == len(steps)
    (inside,) = document["subagent_trajectories"]
    reference = acting["observation"]["results"][1]["subagent_trajectory_ref"][0]
    assert reference["trajectory_id"] == inside["trajectory_id"]
    assert document["extra"]["verdict"]["status"] == "verified"
    defined = document["agent"]["tool_definitions"]
    assert [each["function"]["name"] for each in defined] == ["read_file", "delegate", "finish"]
    # A summary that a template wrote is no call of a model.
    assert (steps[5]["llm_call_count"], "metrics" in steps[5]) == (0, False)
    agents_own = {"tool_calls", "metrics", "reasoning_content", "model_name"}
    assert not any(agents_own & set(step) for step in steps if step["source"] != "agent")


def test_a_run_without_anything_in_it_is_no_trajectory(store: Store, tmp_path: Path) -> None:
    store.begin("g", model="m", seed=0, check="", workspace=tmp_path)
    with pytest.raises(UsageError, match="nothing in it to export"):
        atif(store, "last", SCHEMAS)


def test_atif_comes_back_as_a_run(store: Store, run_id: str) -> None:
    value = json.loads(json.dumps(atif(store, run_id, SCHEMAS)))
    done = import_run(store, from_atif(value))
    assert (done.known, done.was) == (False, run_id)
    assert done.run_id != run_id
    here, there = store.load(done.run_id), store.load(run_id)
    assert (here.goal, here.plan, here.answer, here.tools) == (
        there.goal,
        there.plan,
        there.answer,
        there.tools,
    )
    assert [step.kind for step in here.steps] == [step.kind for step in there.steps]
    assert [step.reply.calls for step in here.steps] == [step.reply.calls for step in there.steps]
    assert here.verdict.status == "unverified"  # nobody here has checked it
    assert import_run(store, from_atif(value)).known


@pytest.mark.parametrize(
    "value", [{}, {"steps": 3}, {"steps": [{}]}, {"steps": [{"source": "agent"}], "agent": {"name": "x"}}]
)
def test_what_is_no_atif_says_so(value: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="no ATIF trajectory") as problem:
        from_atif(value)
    assert "\n" not in str(problem.value)


# --- chats -----------------------------------------------------------------------------------------------


def test_chats_are_in_openais_shape(store: Store, run_id: str) -> None:
    first, second = chats(store, run_id, SCHEMAS)  # before the compaction, and after it
    roles = [message["role"] for message in first["messages"]]
    assert roles == ["system", "user", "assistant", "assistant", "tool", "tool", "user"]
    calls = first["messages"][3]["tool_calls"]
    assert json.loads(calls[0]["function"]["arguments"]) == {"path": "a.txt"}
    answers = [message["tool_call_id"] for message in first["messages"] if message["role"] == "tool"]
    assert answers == [call["id"] for call in calls]
    assert [message["content"] for message in second["messages"]] == [
        "You are.", "Goal: sum", "So far: 1 + 2", "2. tell", "3",
    ]  # fmt: skip
    assert first["tools"][0] == SCHEMAS["read_file"]


# --- native ----------------------------------------------------------------------------------------------


def test_a_run_travels_whole(store: Store, run_id: str, tmp_path: Path) -> None:
    value = json.loads(json.dumps(packed_run(store, run_id)))
    other = Store(tmp_path / "other")
    done = import_run(other, unpacked_run(value))
    assert (done.run_id, done.known) == (run_id, False)
    assert other.load(run_id) == store.load(run_id)
    assert other.said(run_id) == store.said(run_id)
    assert other.verdicts(run_id) == store.verdicts(run_id)
    snapshots = other.snapshots_of(run_id)
    assert snapshots == store.snapshots_of(run_id)
    assert other.snapshots.read(snapshots[1], "b.txt") == b"new\n"
    assert import_run(other, unpacked_run(value)).known
    assert len(other.runs()) == 1
    other.close()


def test_an_imported_run_has_no_workspace_to_write_into(store: Store, run_id: str, tmp_path: Path) -> None:
    from autoagent.store.undo import plan_undo

    other = Store(tmp_path / "other")
    value = packed_run(store, run_id)
    value["trajectory"]["ending"] = "interrupted"
    import_run(other, unpacked_run(value))
    with pytest.raises(UsageError, match="was imported"):
        plan_undo(other, "last")
    with pytest.raises(UsageError, match="was imported"):
        other.reopen("last")
    assert other.latest_unfinished() is None
    other.close()


def test_another_run_of_the_same_id_gets_a_new_one(store: Store, run_id: str) -> None:
    value = packed_run(store, run_id)
    assert import_run(store, unpacked_run(value)).known
    value["trajectory"]["goal"] = "something else"
    done = import_run(store, unpacked_run(value))
    assert not done.known
    assert store.load(done.run_id).goal == "something else"
    assert import_run(store, unpacked_run(value)).run_id == done.run_id


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": "other"}, "its format is 'other'"),
        ({"surprise": 1}, "surprise"),
        ({"snapshots": {"0": "ab" * 32}}, "content abababababab is missing"),
        ({"snapshots": {"0": "ea6\nb"}}, "snapshots.0: string should match pattern"),
        ({"contents": {"ea6\nb": ""}}, r"contents.ea6 b.*: string should match pattern"),
    ],
)
def test_what_is_no_exported_run_says_so(
    store: Store, run_id: str, change: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError, match=says) as problem:
        unpacked_run(packed_run(store, run_id) | change)
    assert "\n" not in str(problem.value)


def test_damaged_content_is_not_imported(store: Store, run_id: str, tmp_path: Path) -> None:
    value = packed_run(store, run_id)
    digest = next(iter(value["contents"]))
    other = Store(tmp_path / "other")
    for wrong in ("AAAA", "!"):
        value["contents"][digest] = wrong
        with pytest.raises(UsageError, match="is damaged"):
            import_run(other, unpacked_run(value))
    assert other.runs() == []
    other.close()


# --- the page --------------------------------------------------------------------------------------------


class Elements(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


OURS = set(
    "html head meta title style body main header footer h1 h2 div span b i p a nav ol li dl dt dd pre code "
    "article details summary".split()
)


def assert_harmless(text: str) -> Elements:
    found = Elements(text)
    assert set(found.tags) <= OURS
    assert not [name for name, _ in found.attributes if name.startswith("on") or name == "src"]
    assert all(value and value.startswith("#") for name, value in found.attributes if name == "href")
    text.encode("utf-8")
    return found


def test_the_page_tells_the_whole_run(store: Store, run_id: str) -> None:
    found = assert_harmless(page(store, run_id))
    for words in ("verified by check", "read_file", "a.txt", "refused by user: execute", "“no”", "b.txt",
                  "+new", "Go on.", "So far: 1 + 2", "delegated to run", "hm", "You are."):  # fmt: skip
        assert words in found.text, words
    assert found.attributes.count(("class", "done")) == 2  # both sub-goals are ticked


def test_an_empty_run_is_a_page_too(store: Store, tmp_path: Path) -> None:
    store.begin("g", model="m", seed=0, check="", workspace=tmp_path)
    assert "ended before the model was asked" in assert_harmless(page(store, "last")).text


NASTY = st.sampled_from(
    [
        "<script>alert(1)</script>",
        "</style></pre><img src=x onerror=alert(1)>",
        '" onmouseover="alert(1)',
        "javascript:alert(1)",
        "{{ 7 * 7 }}{% raw %}",
        "<!--",
        "]]>",
        "&lt;b&gt;",
        "\x1b[31mred\x1b[0m\x00\u202e\ud800",
        "a" * 3000,
        "line\n" * 30,
    ]
)
TEXT = st.one_of(NASTY, st.text(max_size=20))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXT, name=TEXT, value=TEXT, kind=st.sampled_from(["plan", "act", "compaction"]))
def test_nothing_in_a_run_becomes_code(store: Store, text: str, name: str, value: str, kind: Any) -> None:
    record = store.begin(text, model=value, seed=0, check=name, workspace=store.home, suite=text)
    record.opened([Message(role="system", content=text), Message(role="user", content=value)], [name])
    record.planned([text])
    call = ToolCall(name=name, arguments={name: value, "list": [text]})
    seen = Observation(call=call, content=value, ok=False, detail=text, kept=name, child=value)
    reply = Reply(text=text, reasoning=value, calls=(call, call), value={"plan": [text]})
    record.replied(0, reply, kind)
    record.said(Message(role="user", content=value))
    record.stepped(
        Step(index=0, kind=kind, reply=reply, observations=(seen,), recalled=(name,), sub_goal=1, seconds=1)
    )
    record.ended("error", text, 1.0, error=value)
    record.judged(Verdict(reason=text, by="user"))
    assert_harmless(page(store, record.run_id))


def test_file_names_and_lines_are_text_too(store: Store, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    record = store.begin("g", model="m", seed=0, check="", workspace=work)
    record.snapshot(0)
    (work / "<img src=x onerror=alert(1)>").write_text("</pre><script>alert(1)</script>\n", encoding="utf-8")
    record.stepped(Step(index=0, reply=Reply(text=""), seconds=1))
    record.snapshot(1)
    record.stepped(Step(index=1, reply=Reply(text=""), seconds=1))
    found = assert_harmless(page(store, record.run_id))
    assert "+</pre><script>alert(1)</script>" in found.text
