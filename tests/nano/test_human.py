"""Human requests: what is read of the data sets, and the episodes and suites made of it."""

from __future__ import annotations

import base64
import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from autoagent.errors import UsageError
from autoagent.evals.runner import run_task
from autoagent.evals.task import Task
from autoagent.models.scripted import ScriptedModel
from autoagent.nano.expert import NotShown, demonstrate
from autoagent.nano.human import OUT_OF_SCOPE, Request, frequent_slots, is_held_out_intent, requests, words
from autoagent.nano.intents import argument_names, catalogue, name_from
from autoagent.nano.requests import HumanData, human_suite
from autoagent.nano.vectors import learn_vectors
from autoagent.tools.vectors import SIZE
from autoagent.trajectory import ToolCall

# Written for this test in the style of the data sets; alarm_query, play_music, gas and BookRestaurant are
# among the intents that are held out.
HWU64 = {
    "train": [
        ("alarm", "remove", "please remove the [time : six thirty] alarm"),
        ("alarm", "remove", "drop my alarm for [date : sunday]"),
        ("alarm", "query", "list whichever alarms exist"),
        ("iot", "coffee", "a small [coffee_type : mocha] would be lovely"),
        ("iot", "coffee", "brew something strong"),
        ("play", "radio", "tune to [radio_name : harbour waves] please"),
        ("datetime", "convert", "from [place_name : oslo] to [place_name : lima] please"),
        ("play", "radio", "tune to [radio_name : broken"),
    ],
    "test": [
        ("alarm", "remove", "erase the [date : friday] alarm"),
        ("alarm", "query", "any alarms [date : tonight]"),
        ("play", "music", "put on [song_name : pale lanterns]"),
        ("iot", "coffee", "brew something strong"),
    ],
}
CLINC150 = {
    "train": [
        ["throw a coin for me", "flip_coin"],
        ["please throw two dice", "roll_dice"],
        ["how full is the tank", "gas"],
        ["please set a timer", "timer"],
    ],
    "test": [["toss a coin please", "flip_coin"], ["is there petrol left", "gas"]],
    "oos_train": [["who won the regatta", "oos"]],
    "oos_test": [["why do cats purr", "oos"]],
    "val": [],
}
SNIPS = {
    "train_RateBook": [
        [("Give ", ""), ("Tall Tides", "object_name"), (" ", ""), ("three", "rating_value"), (" stars", "")]
    ],
    "train_PlayMusic": [[("Spiel ", ""), ("Süße Träume", "track"), (" von ", ""), ("Jürgen", "artist")]],
    "validate_PlayMusic": [[("Play ", ""), ("Crème", "album"), ("\n", "")]],
    "validate_BookRestaurant": [
        [("Book a ", ""), ("bistro", "restaurant_type"), (" in ", ""), ("Cork", "city")]
    ],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data sets as they are laid out on disk."""
    root = tmp_path_factory.mktemp("human")
    for name in ("hwu64", "clinc150", "snips", "tldr"):
        (root / name).mkdir()
    for part, rows in HWU64.items():
        lines = [
            json.dumps({"scenario": scenario, "intent": intent, "text": "", "annotated": text})
            for scenario, intent, text in rows
        ]
        (root / "hwu64" / f"{part}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (root / "clinc150" / "data_full.json").write_text(json.dumps(CLINC150), encoding="utf-8")
    for name, requests_ in SNIPS.items():
        pieces = [[_piece(text, slot) for text, slot in request] for request in requests_]
        content = {name.partition("_")[2]: [{"data": each} for each in pieces]}
        encoding = "latin-1" if name == "train_PlayMusic" else "utf-8"
        (root / "snips" / f"{name}.json").write_text(
            json.dumps(content, ensure_ascii=False), encoding=encoding
        )
    page = "# xyz\n\n> To compare archives.\n\n- Or compare colors:\n\n`xyz --verbosity {{path}}`\n"
    (root / "tldr" / "pages.md").write_text(page, encoding="utf-8")
    return root


def _piece(text: str, slot: str) -> dict[str, str]:
    return {"text": text, "entity": slot} if slot else {"text": text}


@pytest.fixture(scope="module")
def data(folder: Path) -> HumanData:
    return HumanData.of(folder)


# --- reading ---------------------------------------------------------------------------------------------


def test_requests_are_read_with_their_slots(folder: Path) -> None:
    found = requests(folder)
    assert (
        Request(
            "tune to harbour waves please", "play_radio", "hwu64", "train", (("radio_name", "harbour waves"),)
        )
        in found
    )
    assert Request("toss a coin please", "flip_coin", "clinc150", "test") in found
    assert Request("who won the regatta", OUT_OF_SCOPE, "clinc150", "train") in found
    named = (("track", "Süße Träume"), ("artist", "Jürgen"))
    assert Request("Spiel Süße Träume von Jürgen", "PlayMusic", "snips", "train", named) in found
    assert Request("Play Crème", "PlayMusic", "snips", "test", (("album", "Crème"),)) in found


def test_rows_with_broken_marks_are_left_out(folder: Path) -> None:
    assert [each.text for each in requests(folder) if "broken" in each.text] == []


def test_a_folder_without_the_data_sets_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no human requests"):
        requests(tmp_path)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "clinc150").mkdir()
    (tmp_path / "clinc150" / "data_full.json").write_text("{", encoding="utf-8")
    with pytest.raises(UsageError, match=r"data_full\.json is damaged"):
        requests(tmp_path)


def test_slots_count_from_three_in_a_hundred_on() -> None:
    rows = [Request("x", "i", "hwu64", "train", (("date", "x"),) * (number < 50)) for number in range(98)]
    rows += [Request("x", "i", "hwu64", "train", (("time", "x"),)) for _ in range(2)]
    assert frequent_slots(rows) == {"date": 0.5}


def test_words_come_from_training_requests_of_seen_intents_and_from_pages(folder: Path) -> None:
    found = words(folder)
    assert {"compare", "please"} <= set(found)
    assert not {"alarms", "tank", "toss", "verbosity", "path"} & set(found)
    assert all(re.fullmatch("[a-z]{3,}", word) for word in found)


# --- intents and tools -----------------------------------------------------------------------------------


def test_every_intent_has_several_names_and_descriptions() -> None:
    assert Counter(each.source for each in catalogue().values()) == {"hwu64": 54, "clinc150": 150, "snips": 7}
    for intent in catalogue().values():
        assert len(intent.descriptions) >= 4
        assert all(2 <= len(each.split()) <= 14 for each in intent.descriptions), intent
        assert all(each[0].isupper() and not each.endswith(".") for each in intent.descriptions), intent
        assert len(intent.names) >= 2
        for name in (*intent.names, *map(name_from, intent.descriptions)):
            assert re.fullmatch("[a-z][a-z0-9_]*", name), intent
    for names in argument_names().values():
        assert len(set(names)) >= 3
        assert all(name.isidentifier() for name in names)


def test_no_two_intents_of_a_data_set_are_described_alike() -> None:
    for source in ("hwu64", "clinc150", "snips"):
        told = [text for each in catalogue().values() if each.source == source for text in each.descriptions]
        assert [text for text, count in Counter(told).items() if count > 1] == []


def test_a_fifth_of_the_intents_is_held_out_by_hash() -> None:
    held_out = [key for key in catalogue() if is_held_out_intent(*key.split("/"))]
    assert len(held_out) == 38
    assert {"hwu64/alarm_query", "hwu64/play_music", "clinc150/gas", "snips/BookRestaurant"} <= set(held_out)


# --- episodes --------------------------------------------------------------------------------------------


def test_training_sees_neither_test_requests_nor_held_out_intents(data: HumanData) -> None:
    rng = random.Random("leak")
    kept = [each for key, each in catalogue().items() if is_held_out_intent(*key.split("/"))]
    told = {text for each in kept for text in each.descriptions}
    goals = set()
    for _ in range(200):
        task = data.episode(rng).task
        goals.add(task.goal.rstrip(".").lower())
        assert not {spec.description for spec in task.tools} & told
    trained = {each.text.lower() for each in requests(data.folder) if each.part == "train"}
    assert goals <= trained
    assert not goals & {"list whichever alarms exist", "how full is the tank"}


def test_the_expert_calls_the_right_tool_with_the_values_as_they_stand(
    data: HumanData, tmp_path: Path
) -> None:
    rng, endings = random.Random("expert"), Counter[str]()
    for _ in range(30):
        episode = data.episode(rng)
        try:
            shown = demonstrate(episode, tmp_path / "world", rng=rng)
        except NotShown:
            continue
        endings[shown.ending] += 1
        calls = [call for message in shown.messages for call in message.calls]
        if episode.declines:
            assert [call.name for call in calls] == ["decline"]
            continue
        expected = episode.task.expected
        assert [call.name for call in calls] == [*expected.calls, "finish"]
        assert calls[0].arguments == expected.arguments.get(calls[0].name, {})
        assert all(str(value) in episode.task.goal for value in calls[0].arguments.values())
    assert endings["finished"] > 20
    assert endings["declined"] > 0


def test_half_of_the_training_requests_come_with_the_built_in_tools(data: HumanData) -> None:
    rng = random.Random("beside")
    beside = sum(data.episode(rng).task.has_builtin("read_file") for _ in range(200))
    assert 70 < beside < 130


def test_arguments_are_shuffled_and_go_by_several_names(data: HumanData) -> None:
    rng, seen = random.Random("names"), Counter[tuple[str, ...]]()
    for _ in range(200):
        episode = data.episode(rng)
        if "Jürgen" in episode.task.goal and not episode.declines:
            seen[tuple(episode.actions[0].resolve(()))] += 1
    assert len(seen) > 6
    assert len({frozenset(names) for names in seen}) < len(seen)


# --- suites ----------------------------------------------------------------------------------------------


def test_suites_are_the_same_for_a_seed_and_others_for_another(folder: Path) -> None:
    suite = human_suite(folder, seed=1, count=5)
    assert suite == human_suite(folder, seed=1, count=5)
    assert suite != human_suite(folder, seed=2, count=5)
    assert {task.goal for task in suite.tasks} == {
        "erase the friday alarm",
        "toss a coin please",
        "Play Crème",
    }


def test_held_out_intents_have_a_suite_of_their_own(folder: Path) -> None:
    suite = human_suite(folder, intents="held out")
    assert Counter(task.family for task in suite.tasks) == {"hwu64": 2, "clinc150": 1, "snips": 1}
    for task in suite.tasks:
        assert len(task.tools) == 6
        assert task.only == ()
    by_goal = {task.goal: task for task in suite.tasks}
    assert by_goal["Book a bistro in Cork"].tags == ("slots-2+", "twin")
    assert by_goal["is there petrol left"].expected.arguments == {}


def test_distractors_are_of_the_same_data_set_and_two_of_the_same_scenario(folder: Path) -> None:
    [task] = [task for task in human_suite(folder).tasks if task.family == "clinc150"]
    scenarios = [
        intent.scenario
        for spec in task.tools
        for intent in catalogue().values()
        if intent.source == "clinc150" and spec.description in intent.descriptions
    ]
    assert len(scenarios) == 6
    assert scenarios.count("utility") >= 3


def called(task: Task, **changed: Any) -> bool:
    """Whether the right tool, called with its arguments but for the changed ones, makes the run right."""
    [right] = task.expected.calls
    given = {**task.expected.arguments.get(right, {}), **changed}
    model = ScriptedModel(
        [
            ["go"],
            ToolCall(name=right, arguments=given),
            ToolCall(name="finish", arguments={"answer": "Done."}),
        ]
    )
    return run_task(task, model=model).success


def test_a_task_wants_the_right_tool_with_exactly_these_values(folder: Path) -> None:
    [task] = [task for task in human_suite(folder).tasks if task.goal == "erase the friday alarm"]
    [name] = task.expected.arguments[task.expected.calls[0]]
    assert called(task)
    assert not called(task, **{name: "the friday alarm"})
    other = next(spec.name for spec in task.tools if spec.name not in task.expected.calls)
    assert not called(
        task.model_copy(update={"expected": task.expected.model_copy(update={"calls": (other,)})})
    )


# --- the ranking -----------------------------------------------------------------------------------------


def test_vectors_learn_which_words_go_together(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "vectors.json"
    before, after = learn_vectors(folder, table, count=2_000)
    assert before < after
    learned = json.loads(table.read_text())
    assert learned["unit"] > 0
    assert {"alarm", "tun"} <= set(learned["words"])
    assert all(len(base64.b64decode(row)) == SIZE for row in learned["words"].values())
