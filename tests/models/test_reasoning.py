"""Reasoning is kept apart, within its budget, and out of the grammar's way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
import torch

from autoagent.config import Sampling
from autoagent.models.local import LocalModel, LocalSession
from autoagent.models.parsing import Thought, split_reasoning
from autoagent.models.protocol import Calls, Expect, Json, Text
from autoagent.models.tiny import write_tiny_model
from autoagent.trajectory import Message, Reply

from .helpers import START, TOOLS, loaded, said
from .test_fidelity import THINKING

ASK = "{{ '<|im_start|>assistant\\n' }}"
OPENING = THINKING.replace(ASK, "{{ '<|im_start|>assistant\\n<think>\\n' }}")
SWITCH = THINKING.replace(
    ASK, ASK + "{% if enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
)
PLAN = {"type": "object", "properties": {"plan": {"type": "string", "maxLength": 20}}, "required": ["plan"]}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def written(folder: Path, template: str) -> Path:
    return write_tiny_model(folder, template=template, specials=("<think>", "</think>"))


@pytest.fixture(scope="module")
def opening(tmp_path_factory: pytest.TempPathFactory) -> LocalModel:
    return loaded(written(tmp_path_factory.mktemp("m"), OPENING))


@pytest.fixture(scope="module")
def choosing(tmp_path_factory: pytest.TempPathFactory) -> LocalModel:
    """A model that always begins with ``<think>`` when it may, as Qwen3 does."""
    model = loaded(written(tmp_path_factory.mktemp("m"), SWITCH))
    assert model.vocabulary.think is not None
    return model


def streamed(
    session: LocalSession, expect: Expect, sampling: Sampling, tokens: int
) -> tuple[list[str], Reply]:
    stream, pieces = session.generate(expect, sampling=sampling, max_tokens=tokens), list[str]()
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as stop:
            return pieces, stop.value


def _letters(text: str) -> str:
    """Without what random bytes leave behind, which the two decoders count differently."""
    return text.replace("\ufffd", "").strip()


@pytest.mark.parametrize("expect", [Text(), Json(PLAN), Calls(TOOLS)], ids=["text", "json", "calls"])
def test_a_thought_that_the_template_opens_is_kept_apart_and_ends_in_time(
    opening: LocalModel, expect: Expect
) -> None:
    assert opening.audit.opens_thought
    for seed in range(4):
        session = opening.open(START, TOOLS)
        pieces, reply = streamed(session, expect, Sampling(temperature=1, seed=seed), 240)
        thoughts = "".join(piece for piece in pieces if isinstance(piece, Thought))
        words = "".join(piece for piece in pieces if not isinstance(piece, Thought))
        assert _letters(reply.reasoning) == _letters(thoughts) != ""
        assert "think>" not in words + reply.text
        assert reply.trace is not None
        end = reply.trace.completion_ids.index(opening.vocabulary.think[1])  # type: ignore[index]
        assert end <= 180
        if isinstance(expect, Json):
            jsonschema.validate(reply.value, PLAN)
        if isinstance(expect, Calls):
            assert reply.calls
            assert words.strip().startswith(reply.text.strip())


def test_the_model_chooses_whether_to_think(choosing: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = said(choosing.open(START, TOOLS), Calls(TOOLS), max_tokens=200)
    assert (plain.reasoning, plain.complete) == ("", True)

    head, forward = choosing.vocabulary.think[0], choosing.engine.logits  # type: ignore[index]

    def eager(ids: list[int], cache: object, *, keep: int) -> object:
        logits = forward(ids, cache, keep=keep)  # type: ignore[arg-type]
        logits[:, head] += 100 if len(ids) > 20 else 0
        return logits

    monkeypatch.setattr(choosing.engine, "logits", eager)
    session = choosing.open(START, TOOLS)
    reply = said(session, Calls(TOOLS), Sampling(temperature=1), 200)
    assert reply.reasoning
    assert reply.calls
    monkeypatch.undo()
    before = session.used
    session.append(Message(role="tool", name=reply.calls[0].name, content="ok"))
    assert f"<think>\n{reply.reasoning}\n</think>" in session._rendered()
    session.append(Message(role="user", content="And now?"))
    assert "</think>" not in session._rendered()  # the template drops old thoughts
    after = said(session, Calls(TOOLS), max_tokens=200)
    assert after.trace is not None
    assert after.trace.kept < before


def test_thinking_can_be_switched_off(tmp_path: Path) -> None:
    folder = written(tmp_path / "m", SWITCH)
    quick, slow = loaded(folder, thinking=False), loaded(folder)
    assert quick.version != slow.version
    session = quick.open(START, TOOLS)
    assert session._rendered().endswith("<think>\n\n</think>\n\n")
    reply = said(session, Calls(TOOLS), Sampling(temperature=1), 100)
    assert (reply.reasoning, bool(reply.calls)) == ("", True)
    assert quick.vocabulary.think is not None
    assert reply.trace is not None
    assert not set(quick.vocabulary.think) & set(reply.trace.completion_ids)


def test_a_budget_too_small_for_thought_and_reply_goes_into_the_reply(opening: LocalModel) -> None:
    reply = said(opening.open(START, TOOLS), Calls(TOOLS), max_tokens=70)
    assert reply.calls
    cut = said(opening.open(START, TOOLS), Text(), max_tokens=6)
    assert not cut.complete


@pytest.mark.parametrize(
    ("text", "opened", "expected"),
    [
        ("<think>\na\n</think>\n\nb", False, ("a", "\n\nb")),
        ("a\n</think>b", True, ("a", "b")),
        ("<think>a", False, ("a", "")),
        ("a<think>b</think>", False, ("", "a<think>b</think>")),
        ("", True, ("", "")),
    ],
)
def test_reasoning_is_split_off_at_the_head_only(text: str, opened: bool, expected: tuple[str, str]) -> None:
    assert split_reasoning(text, opened=opened) == expected
