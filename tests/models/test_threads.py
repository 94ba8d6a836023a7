"""Several sessions at once on one engine, and text that comes as it is made."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from autoagent.config import Sampling
from autoagent.models.engine import FirstCome
from autoagent.models.local import LocalModel
from autoagent.models.protocol import Calls, Json, Text
from autoagent.trajectory import Message

from .helpers import START, TOOLS, loaded, said, write_architecture

PLAN = {"type": "object", "properties": {"plan": {"type": "string", "maxLength": 20}}, "required": ["plan"]}


@pytest.fixture(scope="module", params=["qwen3", "llama"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LocalModel:
    return loaded(write_architecture(tmp_path_factory.mktemp("m"), request.param))


def conversation(model: LocalModel, number: int) -> list[tuple[int, ...]]:
    session, found = model.open(START, TOOLS), []
    sampling = Sampling(temperature=1, seed=number)
    session.append(Message(role="user", content=f"Number {number}."))
    for expect in (Json(PLAN), Calls(TOOLS, at_most=2), Text(), Calls(TOOLS[: 1 + number % 4])):
        reply = said(session, expect, sampling, 100)
        assert reply.trace is not None
        found.append(reply.trace.completion_ids)
        session.append(Message(role="tool", name="read_file", content=f"result {number}"))
    return found


def test_sessions_in_threads_say_what_they_say_alone(model: LocalModel) -> None:
    alone = [conversation(model, number) for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda number: conversation(model, number), range(4)))
    assert together == alone


def test_a_long_prompt_of_one_session_does_not_hold_up_the_others(tmp_path: Path) -> None:
    model = loaded(write_architecture(tmp_path / "m", "llama"))
    model.engine.piece = 32
    done: list[str] = []

    def read(name: str, words: int) -> None:
        session = model.open(START, ())
        session.append(Message(role="user", content="word " * words))
        said(session, Text(), max_tokens=8)
        done.append(name)

    slow = threading.Thread(target=read, args=("slow", 600))
    slow.start()
    time.sleep(0.01)
    read("quick", 1)
    slow.join()
    assert done == ["quick", "slow"]


def test_the_lock_is_handed_over_in_the_order_it_was_asked_for() -> None:
    lock, order = FirstCome(), list[int]()

    def wait(number: int) -> None:
        with lock:
            order.append(number)

    threads = [threading.Thread(target=wait, args=(number,)) for number in range(5)]
    with lock:
        for thread in threads:
            thread.start()
            while len(lock._waiting) < 2 + threads.index(thread):
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]


def test_half_a_character_is_never_streamed(model: LocalModel) -> None:
    """The tiny tokenizer knows no accents: every letter beyond ASCII is several tokens."""
    text = "Grüße, 你好 🙂!"
    ids = model.vocabulary.encode(text)
    assert len(ids) > len(text)
    forced = iter([*ids, model.vocabulary.ends[0]])
    session = model.open(START, TOOLS)
    rows, given = model.engine.logits, model.engine

    def led(fed: list[int], cache: object, *, keep: int) -> object:
        logits = rows(fed, cache, keep=keep)  # type: ignore[arg-type]
        logits[-1, next(forced)] += 1000
        return logits

    given.logits = led  # type: ignore[method-assign, assignment]
    try:
        pieces = []
        stream = session.generate(Text(), sampling=Sampling(), max_tokens=100)
        while True:
            try:
                pieces.append(next(stream))
            except StopIteration as stop:
                reply = stop.value
                break
    finally:
        del given.logits
    assert reply.text == text == "".join(pieces)
    assert all("\ufffd" not in piece for piece in pieces)
    assert "🙂" in pieces


def test_a_reply_cut_in_the_middle_of_a_character_says_so(model: LocalModel) -> None:
    session = model.open(START, TOOLS)
    emoji = model.vocabulary.encode("🙂")
    rows = model.engine.logits
    forced = iter(emoji)

    def led(fed: list[int], cache: object, *, keep: int) -> object:
        logits = rows(fed, cache, keep=keep)  # type: ignore[arg-type]
        logits[-1, next(forced)] += 1000
        return logits

    model.engine.logits = led  # type: ignore[method-assign, assignment]
    try:
        pieces = list(session.generate(Text(), sampling=Sampling(), max_tokens=len(emoji) - 1))
    finally:
        del model.engine.logits
    assert "".join(pieces) == "\ufffd"
    session.append(Message(role="user", content="again"))
    assert said(session, Calls(TOOLS)).complete


def test_a_generator_closed_midway_leaves_the_session_usable(model: LocalModel) -> None:
    session, untouched = model.open(START, TOOLS), model.open(START, TOOLS)
    for steps in (0, 1, 5):
        stream = session.generate(Text(), sampling=Sampling(), max_tokens=50)
        for _ in range(steps):
            next(stream)
        stream.close()
    assert said(session, Text(), max_tokens=30).text == said(untouched, Text(), max_tokens=30).text
