"""What has changed since the version in use learned is read off the record; chance is not taken for it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from autoagent.models.versions import Versions
from autoagent.store import Store
from autoagent.store.forgotten import forget
from autoagent.training.drift import Drift, drift
from autoagent.training.selection import Selection
from autoagent.trajectory import Reply, Step, TokenTrace, ToolCall, Verdict

SURE, UNSURE = math.log(0.9), math.log(0.3)
CITIES = "Rome Oslo Lima Cairo Paris Quito Delhi Dakar Seoul Tunis Milan Miami".split()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "home")
    yield store
    store.close()


def run(
    store: Store, goal: str, tool: str = "read_file", *, good: bool = True, log: float = SURE, **more: str
) -> str:
    """A run with one call, and one token sampled with this likelihood; a forced one counts nothing."""
    record = store.begin(goal, model="m", seed=0, check="", workspace=store.home.parent, **more)  # type: ignore[arg-type]
    trace = TokenTrace(completion_ids=(1, 2), origins="sf", logprobs=(log, -9), masked_logprobs=(log, 0))
    reply = Reply(text="", calls=(ToolCall(name=tool, arguments={}),), trace=trace)
    record.stepped(Step(index=0, reply=reply, ending="finished"))
    record.ended("finished", "", 1.0)
    record.judged(Verdict(status="verified" if good else "refuted", by="check"))
    return record.run_id


def learn(store: Store, place: Path) -> str:
    """Put a version in use that has learned from the verified runs so far, of files that nobody loads."""
    folder = place / "made"
    folder.mkdir()
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"weights")
    runs = store.runs(verdict="verified")
    sheet = {"runs": [each.run_id for each in runs], "last": max(each.started for each in store.runs())}
    versions = Versions(store.home)
    name = versions.add(folder, parent="embedded", data={"sheet": sheet}).name
    versions.use(name)
    time.sleep(0.01)  # the next run begins later
    return name


def trips(store: Store, *, good: int, bad: int) -> None:
    """Runs on goals of one kind, with two tools in turn."""
    for number in range(good + bad):
        city = CITIES[number % len(CITIES)]
        tool, log = ("read_file", "append_file")[number % 2], (SURE, UNSURE)[number % 3 == 0]
        run(store, f"Book a train to {city} for {number} people", tool, good=number < good, log=log)


def test_the_same_work_done_as_well_is_no_drift(store: Store, tmp_path: Path) -> None:
    trips(store, good=20, bad=4)
    name = learn(store, tmp_path)
    trips(store, good=13, bad=3)
    found = drift(store.home)
    assert isinstance(found, Drift)
    assert (found.version, found.changed) == (name, ())
    assert (found.before.runs, found.since.runs, found.since.verified, found.since.refuted) == (24, 16, 13, 3)
    assert found.sentence().endswith(": nothing that chance does not explain")
    assert len(found.lines()) == 4


def test_other_goals_other_tools_and_less_success_are_told_with_their_numbers(
    store: Store, tmp_path: Path
) -> None:
    trips(store, good=24, bad=0)
    learn(store, tmp_path)
    for number in range(16):
        run(store, f"Sum column {number} of sales.csv", "table_query", good=number < 4, log=math.log(0.1))
    found = drift(store.home)
    assert found is not None
    assert found.changed == ("success", "tools", "goals", "surprise")
    assert found.tools is not None
    assert found.tools.distance == pytest.approx(1)
    assert found.tools.by_chance < 0.6
    assert found.tools.changed["table_query"] == pytest.approx(1)
    assert found.goals is not None
    assert found.goals.unlike == found.goals.goals == 16
    assert found.goals.similarity < found.goals.usual
    assert found.surprise is not None
    assert found.surprise.before == pytest.approx(-(16 * SURE + 8 * UNSURE) / 24, abs=1e-6)
    assert found.surprise.since == pytest.approx(-math.log(0.1), abs=1e-6)
    words = found.sentence()
    for part in (
        "success fell, 100 % (86 to 100 %) to 25 % (10 to 49 %)",
        "16 of 16 goals are unlike",
        "less sure",
    ):
        assert part in words


def test_half_of_the_calls_to_another_tool_are_half_the_distance(store: Store, tmp_path: Path) -> None:
    for number in range(6):
        run(store, f"goal {number}")
    learn(store, tmp_path)
    run(store, "goal 7")
    run(store, "goal 8", "grep")
    found = drift(store.home)
    assert found is not None
    assert found.tools is not None
    assert found.tools.distance == pytest.approx(0.5)
    assert found.tools.changed == pytest.approx({"grep": 0.5, "read_file": -0.5})
    assert "tools" not in found.changed  # one call of two may well be chance


def test_without_runs_on_both_sides_there_is_nothing_to_compare(store: Store, tmp_path: Path) -> None:
    trips(store, good=3, bad=0)
    assert drift(store.home) is None  # the embedded model learned from none of them
    learn(store, tmp_path)
    assert drift(store.home) is None
    run(store, "one more")
    found = drift(store.home)
    assert found is not None
    assert found.goals is None  # three goals say little about which are usual


def test_only_whole_runs_of_the_chosen_kind_count(store: Store, tmp_path: Path) -> None:
    trips(store, good=6, bad=0)
    learn(store, tmp_path)
    whole = run(store, "whole")
    run(store, "a branch of it", parent=whole)
    run(store, "of a suite", suite="drill")
    forget(store, [run(store, "forgotten")])
    found = drift(store.home)
    assert found is not None
    assert found.since.runs == 1
    drilled = drift(store.home, Selection(suite="drill"))
    assert drilled is not None
    assert (drilled.before.runs, drilled.since.runs, drilled.success) == (0, 1, None)
    assert (drilled.tools, drilled.surprise) == (None, None)
    assert drilled.sentence().startswith("drift (1 run since ")
