"""A run that was cut short, wherever that was, is whole on record and goes on where it stopped."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autoagent.errors import UsageError
from autoagent.store import RunRecord, Store
from autoagent.store.conversation import before
from autoagent.store.locks import RunLock, at_work
from autoagent.store.upkeep import remove
from autoagent.trajectory import Ending, Message, Observation, Permission, Reply, Step, ToolCall, Verdict

LOOK = ToolCall(name="list_files")
WRITE = ToolCall(name="write_file", arguments={"path": "a.txt", "content": "1"})
OPENING = [Message(role="system", content="s"), Message(role="user", content="g")]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / ".autoagent")
    yield store
    store.close()


def begin(store: Store, goal: str = "count", **more: object) -> RunRecord:
    record = store.begin(goal, model="v1", seed=7, check="", workspace=store.home.parent, **more)  # type: ignore[arg-type]
    record.opened(OPENING, [])
    return record


def seen(call: ToolCall, content: str = "done", *, ok: bool = True) -> Observation:
    return Observation(call=call, content=content, ok=ok)


def act(record: RunRecord, index: int, text: str = "hm") -> Step:
    step = Step(index=index, reply=Reply(text=text, calls=(LOOK,)), observations=(seen(LOOK),), seconds=1)
    record.replied(index, step.reply)
    record.observed(index, 0, step.observations[0])
    record.stepped(step)
    return step


def said(store: Store, *, whole: bool = False) -> list[str]:
    return [message.content for message in store.messages("last", whole=whole)]


def test_kinds_settings_permissions_and_the_like_are_kept(store: Store) -> None:
    parent = begin(store)
    settings = {"limits": {"max_steps": 3}, "tools": ["a", "ü"], "seed": None}
    record = begin(store, settings=settings, parent=parent.run_id)
    permission = Permission(effects=("network",), granted=False, by="user", scope="run", feedback="not now")
    plan = Step(index=0, kind="plan", reply=Reply(text="p"), recalled=("m1", "m2"), seconds=1)
    observation = Observation(
        call=WRITE, content="…", kept="out.txt", child="r1", permission=permission, mutated=True
    )
    steps = (plan, Step(index=1, reply=Reply(text=""), observations=(observation,), seconds=1))
    for step in steps:
        record.replied(step.index, step.reply, step.kind)
        record.stepped(step)
    run = store.load(record.run_id)
    assert run.steps == steps
    assert (run.settings, run.parent) == (settings, parent.run_id)


ACTIONS: list[Callable[[RunRecord], None]] = [
    lambda record: record.opened(OPENING, ["list_files", "write_file"]),
    lambda record: record.replied(0, Reply(text="plan"), "plan"),
    lambda record: record.stepped(Step(index=0, kind="plan", reply=Reply(text="plan"), seconds=1)),
    lambda record: record.said(Message(role="user", content="Act.")),
    lambda record: record.replied(1, Reply(text="both", calls=(LOOK, WRITE))),
    lambda record: record.observed(1, 0, seen(LOOK, "nothing")),
    lambda record: record.observed(1, 1, seen(WRITE, "written")),
    lambda record: record.stepped(
        Step(
            index=1,
            reply=Reply(text="both", calls=(LOOK, WRITE)),
            observations=(seen(LOOK, "nothing"), seen(WRITE, "written")),
            seconds=1,
        )
    ),
    lambda record: record.replied(2, Reply(text="summary"), "compaction"),
    lambda record: record.compacted([*OPENING, Message(role="user", content="So far: …")]),
    lambda record: record.stepped(Step(index=2, kind="compaction", reply=Reply(text="summary"), seconds=1)),
    lambda record: record.replied(3, Reply(text="again", calls=(WRITE,))),
]
# After each of them: the conversation, and the calls of the last step that have no observation.
EXPECTED = [
    ("s g", 0),
    ("s g plan", 0),
    ("s g plan", 0),
    ("s g plan Act.", 0),
    ("s g plan Act. both", 2),
    ("s g plan Act. both nothing", 1),
    ("s g plan Act. both nothing written", 0),
    ("s g plan Act. both nothing written", 0),
    ("s g plan Act. both nothing written", 0),
    ("s g So far: …", 0),
    ("s g So far: …", 0),
    ("s g So far: … again", 1),
]


@pytest.mark.parametrize("cut", range(1, len(ACTIONS) + 1))
def test_cut_short_between_any_two_writes_the_run_is_whole(store: Store, cut: int) -> None:
    record = begin(store)
    for action in ACTIONS[:cut]:
        action(record)
    record.close()  # as when its process is killed
    conversation, owed = EXPECTED[cut - 1]
    assert " ".join(said(store)) == conversation
    steps = store.load("last").steps
    assert all(step.whole for step in steps[:-1])
    assert (len(steps[-1].reply.calls) - len(steps[-1].observations) if steps else 0) == owed
    again = store.reopen("last")
    again.said(Message(role="user", content="resumed"))
    assert said(store)[-1] == "resumed"
    index = len(store.load("last").steps)
    act(again, index, "next")
    assert said(store)[-2:] == ["next", "done"]
    assert store.load("last").steps[-1].index == index
    again.ended("finished", "1", 1.0)


def test_the_prompt_of_any_step_can_be_told(store: Store) -> None:
    record = begin(store)
    for action in ACTIONS:
        action(record)
    told = [
        [message.content for message in before(store.said("last"), store.load("last").steps, number)]
        for number in range(4)
    ]
    assert told == [
        ["s", "g"],
        ["s", "g", "plan", "Act."],
        ["s", "g", "plan", "Act.", "both", "nothing", "written"],
        ["s", "g", "So far: …"],
    ]


def test_people_see_what_was_compacted_and_each_summary_once(store: Store) -> None:
    record = begin(store)
    record.opened(OPENING, [])
    act(record, 0, "one")
    act(record, 1, "two")
    kept = [Message(role="assistant", content="two", calls=(LOOK,))]
    kept += [Message(role="tool", content="done", name="list_files")]
    record.compacted([*OPENING, Message(role="user", content="first summary"), *kept])
    act(record, 2, "three")
    record.replied(3, Reply(text=""), "compaction")
    record.compacted([*OPENING, Message(role="user", content="second summary")])
    record.said(Message(role="user", content="Go on."))
    assert said(store) == ["s", "g", "second summary", "Go on."]
    history = "s g one done two done first summary three done second summary Go on."
    assert " ".join(said(store, whole=True)) == history
    record.close()
    again = store.reopen("last")  # knows how often it was compacted
    act(again, 4, "four")
    again.compacted([*OPENING, Message(role="user", content="third summary")])
    assert said(store) == ["s", "g", "third summary"]


@pytest.mark.parametrize(
    "ending", ["interrupted", "error", "max_steps", "max_tokens", "timeout", "stuck", "format_errors"]
)
def test_a_run_that_gave_up_can_go_on(store: Store, ending: Ending) -> None:
    record = begin(store)
    act(record, 0)
    record.ended(ending, "half", 2.0, "Traceback")
    record.judged(Verdict(reason="the run ended"))
    again = store.reopen("last")
    run = store.load("last")
    assert (run.ending, run.answer, run.error) == (None, None, "")
    assert store.find("last").state == "running"
    again.ended("finished", "whole", 3.0)
    assert store.load("last").ending == "finished"


@pytest.mark.parametrize("ending", ["finished", "declined", "denied"])
def test_a_run_that_is_over_is_not_resumed(store: Store, ending: Ending) -> None:
    record = begin(store)
    record.ended(ending, "x", 1.0)
    with pytest.raises(UsageError, match="nothing to resume") as problem:
        store.reopen("last")
    assert "\n" not in str(problem.value)
    assert store.load("last").ending == ending
    assert store.latest_unfinished() is None


def test_a_run_whose_workspace_is_gone_says_so(store: Store, tmp_path: Path) -> None:
    workspace = tmp_path / "gone"
    store.begin("g", model="v", seed=0, check="", workspace=workspace).close()
    with pytest.raises(UsageError, match=r"its workspace .* is gone"):
        store.reopen("last")


def test_a_run_killed_before_its_first_word_is_begun_anew(store: Store, tmp_path: Path) -> None:
    store.begin("g", model="v", seed=0, check="", workspace=tmp_path).close()
    assert store.latest_unfinished() is None
    with pytest.raises(UsageError, match="before it began"):
        store.reopen("last")
    assert store.messages("last") == []


def test_the_newest_run_of_a_person_is_the_one_to_continue(store: Store) -> None:
    assert store.latest_unfinished() is None
    assert not store.home.exists()
    old, wanted = begin(store), begin(store)
    old.ended("max_steps", None, 1.0)
    wanted.close()
    begin(store, suite="smoke").close()
    begin(store, parent=wanted.run_id).close()
    begin(store).ended("finished", "1", 1.0)
    running = begin(store)
    assert store.latest_unfinished() == wanted.run_id
    running.close()
    assert store.latest_unfinished() == running.run_id


HOLDER = """
import sys, time
from pathlib import Path
from autoagent.store import Store
home = Path(sys.argv[1])
from autoagent.trajectory import Message
record = Store(home).begin("held", model="v", seed=0, check="", workspace=home.parent)
record.opened([Message(role="user", content="g")], [])
print(record.run_id, flush=True)
time.sleep(60)
"""


def test_a_run_is_worked_on_by_one_process_until_that_is_dead(store: Store) -> None:
    begin(store)  # so that the home is there
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(store.home)], stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        assert process.stdout is not None
        run = process.stdout.readline().strip()
        assert store.find(run).state == "running"
        with pytest.raises(UsageError, match=f"being worked on by process {process.pid}"):
            store.reopen(run)
        process.kill()
    assert store.find(run).state == "unfinished"
    record = store.reopen(run)
    with pytest.raises(UsageError, match="being worked on by process"):
        store.reopen(run)  # nor twice in one process
    record.ended("interrupted", None, 1.0)
    assert not list((store.home / "locks").glob(run))


def test_looking_at_a_run_does_not_keep_others_from_it(store: Store) -> None:
    begin(store).close()
    for _ in range(20):
        assert store.find("last").state == "unfinished"
        store.reopen("last").close()


def test_a_run_that_is_removed_while_it_is_taken_up_says_so(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin(store)
    run.ended("interrupted", None, 1.0)
    acquire = RunLock.acquire

    def late(lock: RunLock) -> bool:
        monkeypatch.setattr(RunLock, "acquire", acquire)
        remove(Store(store.home), [run.run_id])
        return acquire(lock)

    monkeypatch.setattr(RunLock, "acquire", late)
    with pytest.raises(UsageError, match="was removed meanwhile"):
        store.reopen(run.run_id)
    assert at_work(store.home) == []
