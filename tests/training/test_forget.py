"""A forgotten run is not learned from, and every version that did learn from it is known, by descent too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from autoagent.errors import UsageError
from autoagent.models.versions import Versions
from autoagent.store import Store
from autoagent.store.portable import import_run, packed_run, unpacked_run
from autoagent.store.upkeep import remove
from autoagent.training.forget import forget_runs, marks


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def run(home: Path, goal: str, *, good: bool = True, parent: str | None = None) -> str:
    """Put a judged run on record."""
    store = Store(home)
    workspace = home.parent / "work"
    workspace.mkdir(exist_ok=True)
    record = store.begin(goal, model="v1", seed=0, check="", workspace=workspace, parent=parent)
    record.ended("finished", "done", 1.0)
    store.rate(record.run_id, good)
    store.close()
    return record.run_id


@pytest.fixture
def learn(home: Path, tmp_path: Path) -> Callable[..., str]:
    """Makes a version that has learned from runs, of files that nobody loads."""
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "config.json").write_text("{}", encoding="utf-8")
    versions = Versions(home)

    def add(*runs: str, parent: str = "embedded", sheet: str = "runs", **more: object) -> str:
        (folder / "model.safetensors").write_bytes(bytes(len(list(versions.folder.glob("v*"))) + 1))
        data = {"sheet": {sheet: list(runs)}, "config": {"epochs": 3}, **more}
        return versions.add(folder, parent=parent, method="sft", data=data).name

    return add


def learned(home: Path) -> tuple[list[str], list[str]]:
    store = Store(home)
    found = [each.goal for each in store.verified()], [each.goal for each in store.refuted()]
    store.close()
    return found


def test_a_forgotten_run_is_not_learned_from_and_stays_on_record(home: Path) -> None:
    first, second, bad = run(home, "one"), run(home, "two"), run(home, "three", good=False)
    found = forget_runs(home, [first, bad])
    assert found.runs == (first, bad)
    assert learned(home) == (["two"], [])
    store = Store(home)
    assert store.find(first).forgotten
    assert not store.find(second).forgotten
    assert store.load(first).goal == "one"
    assert store.forgotten() == {first, bad}
    store.close()


def test_what_came_of_a_run_is_forgotten_with_it(home: Path) -> None:
    whole = run(home, "whole")
    part = run(home, "part", parent=whole)
    deeper = run(home, "deeper", parent=part)
    other = run(home, "other")
    assert forget_runs(home, [part]).runs == (part, deeper)
    assert forget_runs(home, [whole]).runs == (whole, part, deeper)
    assert learned(home)[0] == ["other"]
    assert forget_runs(home, [whole], undo=True).runs == (whole, part, deeper)
    assert learned(home)[0] == ["whole", "part", "deeper", "other"]
    with pytest.raises(UsageError, match=f"run {other} was not forgotten"):
        forget_runs(home, [other], undo=True)


def test_the_mark_outlives_its_run_and_holds_when_it_is_imported_again(home: Path) -> None:
    one = run(home, "one")
    store = Store(home)
    packed = unpacked_run(packed_run(store, one))
    forget_runs(home, [one])
    remove(store, [one])
    assert store.forgotten() == {one}
    assert import_run(store, packed).run_id == one
    assert list(store.verified()) == []
    store.close()
    forget_runs(home, [one], undo=True)
    assert learned(home)[0] == ["one"]


def test_versions_are_marked_by_their_own_data_and_by_descent(home: Path, learn: Callable[..., str]) -> None:
    one, two, three = run(home, "one"), run(home, "two"), run(home, "three")
    clean = learn(one)
    direct = learn(two, parent=clean)
    grandchild = learn(three, parent=direct)
    learn(three, parent=clean)
    negative = learn(two, sheet="negative_runs")
    assert marks(home) == {}
    found = forget_runs(home, [two])
    assert [mark.version for mark in found.marks] == [direct, grandchild, negative]
    first, second, third = found.marks
    assert (first.through, first.inherited, first.runs, first.back) == (direct, False, (two,), clean)
    assert (second.through, second.inherited, second.back) == (direct, True, clean)
    assert third.back == "embedded"
    assert first.config == {"epochs": 3}
    assert marks(home) == {mark.version: mark for mark in found.marks}
    forget_runs(home, [two], undo=True)
    assert marks(home) == {}


def test_the_line_is_followed_through_removed_versions_and_to_what_it_began_with(
    home: Path, learn: Callable[..., str]
) -> None:
    one, two = run(home, "one"), run(home, "two")
    first = learn(one, parent="owner/model")
    second = learn(two, parent=first)
    third = learn(parent=second)
    Versions(home).remove(second, force=True)
    (mark,) = forget_runs(home, [two]).marks
    assert (mark.version, mark.through, mark.back) == (third, second, first)
    found = forget_runs(home, [one]).marks
    assert {each.version: each.back for each in found} == {first: "owner/model", third: "owner/model"}


def test_a_data_sheet_beside_the_weights_counts(home: Path, learn: Callable[..., str]) -> None:
    one, name = run(home, "one"), learn()
    Versions(home).attach(name, {"datasheet.json": f'{{"runs": ["{one}"]}}'})
    assert [mark.version for mark in forget_runs(home, [one]).marks] == [name]


def test_a_run_that_is_not_there_is_one_line_and_leaves_no_record(home: Path) -> None:
    with pytest.raises(UsageError, match="there is no run 'zzz'"):
        forget_runs(home, ["zzz"])
    assert not home.exists()
    one = run(home, "one")
    with pytest.raises(UsageError, match="there is no run 'zzz'"):
        forget_runs(home, [one, "zzz"])
    assert learned(home)[0] == ["one"]
