"""What every memory does, on disk or not."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autoagent.memory import Chunk, LazyMemory, Memory, open_memory
from autoagent.memory.volatile import VolatileMemory

FACTS = [
    "the wifi password is 4411",
    "Anna's birthday is on March 3",
    "the backup runs every night at two",
    "invoices go to billing@example.org",
    "the printer is on the second floor",
]


@pytest.fixture(params=["chroma", "lazy", "volatile"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Memory]:
    makers: dict[str, Callable[[Path], Memory]] = {
        "chroma": open_memory,
        "lazy": LazyMemory,
        "volatile": lambda home: VolatileMemory(),
    }
    opened = makers[request.param](tmp_path)
    yield opened
    opened.close()


def test_recall_finds_a_fact_by_its_words(memory: Memory) -> None:
    for fact in FACTS:
        memory.add(fact, source="test")
    best = memory.recall("when does the backup run")[0]
    assert (best.text, best.kind, best.source) == (FACTS[2], "semantic", "test")
    assert 0 < best.score <= 1


@pytest.mark.parametrize(
    ("query", "fact"),
    [
        ("wifi pasword", FACTS[0]),
        ("birthdays", FACTS[1]),
        ("prnter", FACTS[4]),
        ("BILLING", FACTS[3]),
    ],
)
def test_recall_finds_a_misspelt_or_inflected_word_by_its_characters(
    memory: Memory, query: str, fact: str
) -> None:
    for each in FACTS:
        memory.add(each)
    assert memory.recall(query)[0].text == fact


@pytest.mark.parametrize(
    ("query", "fact"),
    [
        ("猫", "我的猫叫小花"),
        ("zurich", "Das Büro in Zürich öffnet um neun"),
        ("पासवर्ड", "नया पासवर्ड गुप्त है"),
        ("пароля", "Пароль от сейфа 9182"),
        ("🎉", "the party 🎉 is on Friday"),
        ("???", "???"),
    ],
)
def test_recall_works_in_any_script(memory: Memory, query: str, fact: str) -> None:
    memory.add("something else entirely")
    memory.add(fact)
    assert memory.recall(query)[0].text == fact


def test_recall_returns_at_most_k_and_only_what_shares_something(memory: Memory) -> None:
    for fact in FACTS:
        memory.add(fact)
    assert len(memory.recall("the password is on the floor", k=2)) == 2
    assert memory.recall("zzz qqq") == []
    assert memory.recall("  ") == []
    with pytest.raises(ValueError, match="k must be 1 or more"):
        memory.recall("wifi", k=0)


def test_an_empty_memory_recalls_nothing(memory: Memory) -> None:
    assert memory.recall("anything") == []
    assert memory.count() == 0


def test_the_same_text_kind_and_source_are_stored_once(memory: Memory) -> None:
    first = memory.add("the key is under the mat")
    assert memory.add(" the key is under the mat\n") == first
    assert memory.count() == 1
    memory.add("the key is under the mat", kind="episodic")
    memory.add("the key is under the mat", source="letter.txt")
    assert memory.count() == 3


@pytest.mark.parametrize("text", ["", "  \n\t"])
def test_empty_text_is_refused(memory: Memory, text: str) -> None:
    with pytest.raises(ValueError, match="text is empty"):
        memory.add(text)
    assert memory.count() == 0


def test_a_very_long_text_is_kept_whole_and_found_by_its_last_word(memory: Memory) -> None:
    long = "lorem ipsum " * 4_200 + "marzipan"
    memory.add(long)
    memory.add("a short note")
    assert memory.recall("marzipan")[0].text == long


def test_odd_characters_are_accepted(memory: Memory) -> None:
    memory.add("broken \ud800 surrogate")
    memory.add("a nul \x00 inside")
    assert memory.recall("surrogate")[0].text == "broken ? surrogate"
    assert memory.recall("nul inside")[0].text == "a nul \x00 inside"


def test_forgetting_by_id_and_by_source(memory: Memory) -> None:
    wifi = memory.add(FACTS[0])
    memory.add(FACTS[1], source="run-7")
    memory.add(FACTS[2], source="run-7")
    memory.add(FACTS[3], source="run-8")
    assert memory.forget(wifi, "no such id") == 1
    assert memory.recall("wifi password") == []
    assert memory.forget(source="run-7") == 2
    assert memory.count() == 1
    assert memory.forget() == 0
    assert memory.recall("invoices")[0].text == FACTS[3]


def test_recall_and_list_by_kind(memory: Memory) -> None:
    memory.add("the release went out on Friday", kind="episodic", source="run 7")
    memory.add("a release is made with make dist", kind="procedural")
    memory.add("the release manager is Anna")
    assert [each.text for each in memory.recall("release", kind="procedural")] == [
        "a release is made with make dist"
    ]
    assert len(memory.recall("release")) == 3
    assert [each.kind for each in memory.entries()] == ["semantic", "procedural", "episodic"]
    assert [each.source for each in memory.entries(kind="episodic")] == ["run 7"]
    assert [each.text for each in memory.entries(most=1)] == ["the release manager is Anna"]
    assert memory.entries(source="nobody") == []
    assert memory.counts() == {("episodic", "run 7"): 1, ("procedural", ""): 1, ("semantic", ""): 1}


@pytest.mark.parametrize("use", ["add", "recall", "entries"])
def test_a_kind_that_there_is_not_is_refused(memory: Memory, use: str) -> None:
    memory.add("something")
    with pytest.raises(ValueError, match="no kind 'fact': choose one of semantic, episodic, procedural"):
        memory.recall("x", kind="fact") if use == "recall" else getattr(memory, use)(
            *(("fact",) if use == "entries" else ("x", "fact"))
        )


def test_a_document_is_replaced_as_a_whole(memory: Memory) -> None:
    assert memory.replace("a.txt", [Chunk("apples are red", 1, 2), Chunk("plums are blue", 4, 5)]) == (2, 0)
    assert memory.recall("plums")[0].citation == "a.txt:4-5"
    assert memory.replace("a.txt", [Chunk("apples are red", 1, 2), Chunk("plums are green", 4, 5)]) == (1, 1)
    assert memory.recall("plums")[0].text == "plums are green"
    assert memory.replace("a.txt", [Chunk("apples are red", 1, 2)]) == (0, 1)
    assert memory.replace("a.txt", []) == (0, 1)
    assert memory.count() == 0


def test_the_newer_of_two_equal_matches_comes_first(memory: Memory) -> None:
    memory.add("the door code is 1111")
    memory.add("the door code is 2222")
    assert [each.text[-4:] for each in memory.recall("door code")] == ["2222", "1111"]


def test_disk_and_volatile_memory_rank_alike(tmp_path: Path) -> None:
    draw = random.Random(0)
    colours, things = (
        ("red", "green", "blue"),
        ("house", "houses", "garden", "gardener", "key", "keys", "door"),
    )
    vocabulary = [*colours, *things, "window", "night", "day"]
    disk, volatile = open_memory(tmp_path), VolatileMemory()
    for _ in range(120):
        text = " ".join(draw.choices(vocabulary, k=5))
        assert disk.add(text) == volatile.add(text)
    for _ in range(30):
        query = " ".join(draw.choices(vocabulary, k=3))
        assert disk.recall(query, k=5) == volatile.recall(query, k=5)
    disk.close()


def test_a_volatile_memory_is_fast() -> None:
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        memory = VolatileMemory()
        for fact in FACTS:
            memory.add(fact)
        memory.recall("what is the wifi password")
        best = min(best, (time.perf_counter() - start) / (len(FACTS) + 1))
    assert best < 0.3e-3  # seconds per call
