"""Which recorded runs are learned from, and what is said about those that are not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from autoagent.errors import UsageError
from autoagent.models.tiny import write_tiny_model
from autoagent.models.versions import Versions
from autoagent.store import RunRecord, Store
from autoagent.training.dataset import build_dataset
from autoagent.training.moments import moment
from autoagent.training.selection import Selection, select
from autoagent.trajectory import Reply, Step, TokenTrace, Trajectory, Verdict

GOOD, BAD = Verdict(status="verified", by="check"), Verdict(status="refuted", by="check")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "home")
    yield store
    store.close()


def begin(
    store: Store, goal: str, *, suite: str = "", model: str = "aaaaaa11", tags: Sequence[str] = ()
) -> RunRecord:
    place = store.home.parent
    return store.begin(
        goal, model=model, seed=0, check="", workspace=place, suite=suite, tags=tags
    )  # fmt: skip


def record(store: Store, goal: str, verdict: Verdict | None = GOOD, **about: object) -> str:
    run = begin(store, goal, **about)  # type: ignore[arg-type]
    number = sum(map(ord, goal)) % 1000
    trace = TokenTrace(prompt_ids=(1, 2), completion_ids=(number, 3), origins="ss")
    run.stepped(Step(index=0, reply=Reply(text="", trace=trace), ending="finished"))
    run.ended("finished", "", 1.0)
    if verdict is not None:
        run.judged(verdict)
    return run.run_id


def goals(runs: Sequence[Trajectory]) -> list[str]:
    return [run.goal for run in runs]


def test_verified_runs_are_positives_refuted_ones_negatives_and_others_nothing(store: Store) -> None:
    record(store, "first")
    record(store, "wrong", BAD)
    record(store, "unknown", None)
    record(store, "said by nobody", Verdict(status="verified"))
    record(store, "second", Verdict(status="verified", by="user"))
    found = select(store)
    assert goals(found.positives) == ["first", "second"]
    assert goals(found.negatives) == ["wrong"]
    assert found.left_out == {"had no verdict": 2}
    assert found.line() == "2 verified and 1 refuted runs; left out: 2 runs had no verdict"


def test_the_latest_verdict_decides_whoever_gave_it(store: Store) -> None:
    run = record(store, "taken back")
    store.rate(run, good=False)
    assert goals(select(store).negatives) == ["taken back"]
    assert select(store, Selection(by="check")).left_out == {"had no verdict by the check": 1}


def test_runs_of_an_evaluation_are_learned_from_only_when_their_suite_is_named(store: Store) -> None:
    record(store, "mine")
    exam = record(store, "exam question", suite="exam")
    assert goals(select(store).positives) == ["mine"]
    assert select(store).left_out == {"belonged to a suite that was not named": 1}
    assert goals(select(store, Selection(suite="exam")).positives) == ["exam question"]
    assert goals(select(store, Selection(suite=None)).positives) == ["mine", "exam question"]
    by_name = select(store, Selection(runs=(exam,)))  # naming the run is not naming the suite
    assert (len(by_name.positives), by_name.left_out) == (0, {"belonged to a suite that was not named": 1})


def test_named_runs_are_the_only_ones_and_a_beginning_will_do(store: Store) -> None:
    kept, _, unknown = record(store, "a"), record(store, "b"), record(store, "c", None)
    found = select(store, Selection(runs=(kept, kept[:-1] + kept[-1], unknown)))
    assert goals(found.positives) == ["a"]
    assert found.left_out == {"had no verdict": 1}
    with pytest.raises(UsageError, match=r"^there is no run 'rzzz': see `autoagent runs list`$"):
        select(store, Selection(runs=("rzzz",)))


def test_tags_and_models_narrow_the_choice(store: Store, tmp_path: Path) -> None:
    version = Versions(store.home).add(write_tiny_model(tmp_path / "tiny"))
    record(store, "a", tags=["mail", "short"])
    record(store, "b", tags=["files"], model=version.hash)
    record(store, "c", model="aaaaaa22", tags=["odd \ud800"])
    assert goals(select(store, Selection(tags=("short", "files"))).positives) == ["a", "b"]
    assert goals(select(store, Selection(models=(version.name,))).positives) == ["b"]
    assert goals(select(store, Selection(models=(version.hash[:8], "aaaaaa2"))).positives) == ["b", "c"]
    with pytest.raises(UsageError, match="2 model versions on record have a hash like aaaaaa: give more"):
        select(store, Selection(models=("aaaaaa",)))
    with pytest.raises(UsageError, match="no run on record is of a model nonsense"):
        select(store, Selection(models=("nonsense",)))


def test_times_narrow_the_choice(store: Store) -> None:
    run = record(store, "now")
    began = datetime.fromtimestamp(store.find(run).started).astimezone()
    assert len(select(store, Selection.model_validate({"since": "12h"})).positives) == 1
    assert len(select(store, Selection.model_validate({"until": "12h"})).positives) == 0
    today = Selection.model_validate({"since": f"{began:%Y-%m-%d}", "until": f"{began:%Y-%m-%d}"})
    assert len(select(store, today).positives) == 1  # a day counts to its end
    assert Selection.model_validate(today.model_dump(mode="json")) == today
    named = Selection(runs=(run,), since=began + timedelta(hours=1))
    assert select(store, named).left_out == {"began outside the time given": 1}


def test_times_that_cannot_be_meant_are_one_clear_line() -> None:
    with pytest.raises(UsageError, match=r"^'last week' is no point in time: give an age such as 12h"):
        Selection.model_validate({"since": "last week"})
    with pytest.raises(UsageError, match="no run can have begun since"):
        Selection.model_validate({"since": "1d", "until": "2d"})
    now = datetime(2026, 11, 22, 12).astimezone()
    assert moment("2w", now=now) == now - timedelta(days=14)
    assert moment("2026-11-20T10:00Z") == datetime.fromisoformat("2026-11-20T10:00+00:00")


def test_a_run_that_is_being_worked_on_waits(store: Store) -> None:
    run = begin(store, "going on")
    store.rate(run.run_id, good=True)
    assert select(store).left_out == {"had not ended": 1}


def test_nothing_is_loaded_before_it_is_looked_at(store: Store) -> None:
    record(store, "sound")
    broken = record(store, "damaged")
    with store.database.writing() as write:
        write.run("UPDATE steps SET prompt_ids = x'00' WHERE run = ?", (broken,))
    found = select(store)
    assert len(found.positives) == 2
    assert found.positives[0].goal == "sound"
    with pytest.raises(Exception, match=f"the record of run {broken} .* is damaged"):
        found.positives[1]


def test_what_the_model_reaches_only_sometimes_is_said_before_any_training(store: Store) -> None:
    assert "unknown" in select(store).solved.sentence()
    for verdict in (GOOD, GOOD):
        record(store, "always", verdict)
    for verdict in (BAD, BAD):
        record(store, "never", verdict)
    told = select(store).solved
    assert (told.always, told.sometimes, told.never, told.teaches) == (1, 0, 1, False)
    assert "pass@k equals pass@1 (50%), so there is nothing the model can learn" in told.sentence()
    for verdict in (GOOD, BAD, BAD):
        record(store, "Sometimes ", verdict)
    told = select(store).solved
    assert (told.sometimes, told.teaches) == (1, True)
    assert "pass@1 is 44%, pass@k 67%" in told.sentence()


def test_no_verified_run_says_how_to_get_one(store: Store) -> None:
    with pytest.raises(UsageError, match=r"^no verified runs to learn from: run goals with --check"):
        select(store).need_positives()
    record(store, "unknown", None)
    with pytest.raises(UsageError, match=r"^no verified runs to learn from \(1 run had no verdict\): run"):
        select(store).need_positives()


def test_verified_runs_that_do_not_fit_are_not_passed_over_in_silence(store: Store) -> None:
    record(store, "there", tags=["mail"])
    wanted = Selection(tags=("calendar",))
    with pytest.raises(
        UsageError, match="no verified runs to learn from: 1 verified run on record, but none"
    ):
        select(store, wanted).need_positives()


def test_a_selection_becomes_a_data_set_that_says_where_it_is_from(store: Store) -> None:
    record(store, "a", suite="drill", tags=["mail"])
    record(store, "b", BAD, suite="drill")
    found = select(store, Selection(suite="drill"))
    sheet = build_dataset(
        found.positives, negatives=found.negatives, about=found.about, refused=found.left_out
    ).sheet
    assert (sheet.suites, sheet.tags) == ({"drill": 2}, {"mail": 1})
    assert (len(sheet.runs), len(sheet.negative_runs)) == (1, 1)
    assert sheet.first is not None
    assert sheet.last is not None
    assert sheet.first <= sheet.last
