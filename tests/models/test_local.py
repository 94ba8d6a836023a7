"""A local model of random weights, driven through the same door as any other."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest
import torch

from autoagent.config import Sampling
from autoagent.errors import ContextFull, ModelError
from autoagent.models.engine import KeysValues
from autoagent.models.fast import FastKeysValues
from autoagent.models.local import LocalModel, LocalSession
from autoagent.models.protocol import Calls, Expect, Json, Text, complete
from autoagent.models.tiny import TEMPLATE, write_tiny_model
from autoagent.trajectory import Message, Reply

pytestmark = pytest.mark.usefixtures("one_thread")

GREEDY = Sampling()
PLAN = {
    "type": "object",
    "properties": {"plan": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 6}},
    "required": ["plan"],
}


def tool(name: str, properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": required or list(properties)}
    return {
        "type": "function",
        "function": {"name": name, "description": f"Do {name}.", "parameters": schema},
    }


TOOLS = (
    tool("read_file", {"path": {"type": "string"}}),
    tool("add", {"a": {"type": "number"}, "b": {"type": "integer"}, "note": {"type": "string"}}, ["a", "b"]),
    tool(
        "mode", {"kind": {"enum": ["fast", "slow"]}, "tags": {"type": "array", "items": {"type": "string"}}}
    ),
    tool("nothing", {}),
    tool("finish", {"answer": {"type": "string"}}),
)
SCHEMAS = {tool["function"]["name"]: tool["function"]["parameters"] for tool in TOOLS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def model(folder: Path) -> LocalModel:
    return LocalModel.load(folder)


def opened(model: LocalModel) -> LocalSession:
    start = [Message(role="system", content="You act."), Message(role="user", content="Sum up the notes.")]
    return model.open(start, TOOLS)


def said(session: LocalSession, expect: Expect, sampling: Sampling = GREEDY, max_tokens: int = 96) -> Reply:
    return complete(session.generate(expect, sampling=sampling, max_tokens=max_tokens))


def observed(text: str) -> Message:
    return Message(role="tool", name="read_file", content=text)


@pytest.mark.parametrize("markers", [True, False], ids=["special markers", "markers as text"])
def test_random_weights_make_only_valid_plans_and_calls(tmp_path: Path, markers: bool) -> None:
    model = LocalModel.load(write_tiny_model(tmp_path / "m", markers=markers))
    for seed, temperature in enumerate((0.0, 1.0, 3.0)):
        session, sampling = opened(model), Sampling(temperature=temperature, seed=seed)
        plan = said(session, Json(PLAN), sampling, 64)
        assert plan.complete
        jsonschema.validate(plan.value, PLAN)
        for step in range(5):
            reply = said(session, Calls(TOOLS, at_most=1 + step % 3), sampling, (56, 128, 300)[step % 3])
            assert reply.complete
            assert 1 <= len(reply.calls) <= 1 + step % 3
            for call in reply.calls:
                jsonschema.validate(call.arguments, SCHEMAS[call.name] | {"additionalProperties": False})
            session.append(observed(f"result {step}"))


def test_the_trace_is_the_exact_context_and_its_log_probabilities_are_the_models(model: LocalModel) -> None:
    session, context = opened(model), list[int]()
    for step in range(4):
        reply = said(session, Calls(TOOLS[:1] + TOOLS[3:]), Sampling(temperature=1, seed=step))
        trace = reply.trace
        assert trace is not None
        context = [*context[: trace.kept], *trace.prompt_ids, *trace.completion_ids]
        assert session.used == len(context)
        assert reply.counts.cached + reply.counts.prefilled + len(trace.completion_ids) == len(context)
        assert (trace.origins.count("s"), trace.origins.count("f")) == (
            reply.counts.sampled,
            reply.counts.forced,
        )
        with torch.inference_mode():
            logits = model.engine.model(torch.tensor([context])).logits[0]
        expected = torch.log_softmax(logits, -1)[len(context) - len(trace.completion_ids) - 1 :]
        ours = [float(expected[place, token]) for place, token in enumerate(trace.completion_ids)]
        assert ours == pytest.approx(trace.logprobs, abs=1e-4)
        for raw, masked, origin in zip(trace.logprobs, trace.masked_logprobs, trace.origins, strict=True):
            assert raw <= masked + 1e-4 <= 2e-4
            assert origin == "s" or masked == 0
        session.append(observed("12 words"))


def test_keys_and_values_are_kept_from_step_to_step(model: LocalModel) -> None:
    session = opened(model)
    first = said(session, Calls(TOOLS[4:]))
    session.append(observed("ok"))
    before = session.used
    second = said(session, Calls(TOOLS[4:]))
    assert first.counts.cached == 0
    assert second.counts.cached >= before - 1
    assert second.trace is not None
    assert second.trace.kept == before


def test_the_context_spells_what_the_template_renders(model: LocalModel) -> None:
    session = opened(model)
    reply = said(session, Calls(TOOLS[4:]), Sampling(temperature=1, seed=3))
    session.append(observed("ünïcode"))
    said(session, Calls(TOOLS[4:]))
    spelled = model.engine.tokenizer.decode(session._ids)
    call = json.dumps({"name": "finish", "arguments": reply.calls[0].arguments}, ensure_ascii=False)
    assert f"<tool_call>\n{call}\n</tool_call><|im_end|>\n<|im_start|>tool\nünïcode<|im_end|>" in spelled


def test_a_reply_cut_at_max_tokens_is_closed_for_the_model(model: LocalModel) -> None:
    session = opened(model)
    reply = said(session, Text(), Sampling(temperature=1, seed=1), max_tokens=5)
    assert not reply.complete
    session.append(observed("go on"))
    again = said(session, Text(), max_tokens=5)
    assert again.trace is not None
    assert model.engine.tokenizer.decode(again.trace.prompt_ids[:1]) == "<|im_end|>"


def test_a_budget_too_small_for_any_call_gives_an_incomplete_reply(model: LocalModel) -> None:
    reply = said(opened(model), Calls(TOOLS), max_tokens=4)
    assert (reply.complete, reply.calls, reply.counts.forced + reply.counts.sampled) == (False, (), 4)


def test_a_template_that_rewrites_the_past_is_re_encoded_from_there(tmp_path: Path) -> None:
    kept_only_if_last = "'assistant\\n' + (message.content if loop.last else '')"
    dropped = TEMPLATE.replace(
        "'<|im_start|>assistant\\n' + message.content", "'<|im_start|>" + kept_only_if_last[1:]
    )
    assert dropped != TEMPLATE
    model = LocalModel.load(write_tiny_model(tmp_path / "m", template=dropped))
    assert not model.audit.keeps_prefix
    session = opened(model)
    said(session, Text(), Sampling(temperature=1), max_tokens=9)
    before, past = session.used, list(session._ids)
    session.append(observed("next"))
    reply = said(session, Text(), max_tokens=5)
    assert reply.trace is not None
    assert 0 < reply.trace.kept < before
    context = past[: reply.trace.kept] + list(reply.trace.prompt_ids)
    fresh = complete(
        LocalSession(model, session._messages[:-1], list(TOOLS)).generate(
            Text(), sampling=GREEDY, max_tokens=5
        )
    )
    assert fresh.trace is not None
    assert list(fresh.trace.prompt_ids) == context
    assert fresh.trace.completion_ids == reply.trace.completion_ids


def test_a_fork_goes_its_own_way_and_shares_the_prefix(model: LocalModel) -> None:
    session = opened(model)
    said(session, Calls(TOOLS[4:]))
    twin = session.fork()
    for branch, result in ((session, "left"), (twin, "right")):
        branch.append(observed(result))
    left, right = said(session, Text(), max_tokens=20), said(twin, Text(), max_tokens=20)
    assert left.trace is not None
    assert right.trace is not None
    assert left.trace.prompt_ids != right.trace.prompt_ids
    assert left.counts.cached == right.counts.cached > 0


def test_the_same_seed_says_the_same(model: LocalModel) -> None:
    sampling = Sampling(temperature=1, top_k=50, top_p=0.9, seed=7)
    first, second = (said(opened(model), Text(), sampling, 30).trace for _ in range(2))
    other = said(opened(model), Text(), Sampling(temperature=1, seed=8), 30).trace
    assert first == second != other


def test_a_reply_abandoned_midway_leaves_the_session_as_it_was(model: LocalModel) -> None:
    session, untouched = opened(model), opened(model)
    stream = session.generate(Calls(TOOLS), sampling=Sampling(temperature=1), max_tokens=200)
    for _ in range(3):
        next(stream)
    stream.close()
    assert said(session, Calls(TOOLS)).calls == said(untouched, Calls(TOOLS)).calls


def test_the_streamed_text_is_the_reply(model: LocalModel) -> None:
    stream, pieces = (
        opened(model).generate(Text(), sampling=Sampling(temperature=1), max_tokens=40),
        list[str](),
    )
    reply = complete(_noted(stream, pieces))
    spelled = (
        "".join(pieces),
        reply.text,
    )  # random bytes: the two decoders count the broken ones differently
    streamed, whole = (text.replace("\ufffd", "").strip() for text in spelled)
    assert streamed == whole


def _noted(stream: Generator[str, None, Reply], pieces: list[str]) -> Generator[str, None, Reply]:
    while True:
        try:
            piece = next(stream)
        except StopIteration as stop:
            return cast(Reply, stop.value)
        pieces.append(piece)
        yield piece


def test_a_full_window_is_said_and_not_overrun(model: LocalModel) -> None:
    session = opened(model)
    session.append(observed("x 1 " * 3000))
    with pytest.raises(ContextFull, match="of 4096 tokens"):
        said(session, Text())


def test_the_version_changes_with_weights_template_and_prompts(folder: Path, tmp_path: Path) -> None:
    same = LocalModel.load(folder).version
    assert same == LocalModel.load(folder).version
    assert same != LocalModel.load(folder, prompts="other").version
    assert same != LocalModel.load(write_tiny_model(tmp_path / "m", seed=1)).version


def _broken(folder: Path, name: str) -> Path:
    path = next(folder.glob(name))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return folder


@pytest.mark.parametrize(
    ("harm", "line"),
    [
        (lambda path: path / "no" / "such" / "folder", "no model folder at"),
        (lambda path: path / "config.json", "is a file"),
        (lambda path: _broken(path, "*.safetensors"), "copy or download it again"),
        (lambda path: [(path / "model.safetensors").unlink(), path][1], "no weights in"),
        (lambda path: [(path / "tokenizer.json").unlink(), path][1], "no tokenizer in"),
        (lambda path: _broken(path, "tokenizer.json"), "no tokenizer can be loaded"),
        (lambda path: _broken(path, "config.json"), "is not valid JSON"),
        (lambda path: [(path / "chat_template.jinja").unlink(), path][1], "no chat template"),
    ],
)
def test_a_folder_that_is_no_model_gets_one_clear_line(tmp_path: Path, harm: Any, line: str) -> None:
    folder = write_tiny_model(tmp_path / "m")
    with pytest.raises(ModelError, match=line) as caught:
        LocalModel.load(harm(folder))
    assert "\n" not in str(caught.value)


def test_the_short_forward_pass_gives_the_logits_of_transformers(model: LocalModel) -> None:
    ids = torch.randint(0, 500, (700,), generator=torch.Generator().manual_seed(0)).tolist()
    with torch.inference_mode():
        expected = model.engine.model(torch.tensor([ids])).logits[0, -3:].numpy()
    cache = model.engine.cache()
    assert isinstance(cache, FastKeysValues)
    model.engine.logits(ids[:600], cache, keep=1)
    assert model.engine.logits(ids[600:], cache, keep=3) == pytest.approx(expected, abs=1e-4)
    cache.crop(650)
    model.engine.logits(ids[650:699], cache, keep=1)
    assert model.engine.logits(ids[699:], cache.copied(), keep=1) == pytest.approx(expected[-1:], abs=1e-4)


def test_other_architectures_run_through_transformers_with_a_growing_cache(folder: Path) -> None:
    model = LocalModel.load(folder, dtype="bfloat16")
    session = opened(model)
    assert isinstance(session._cache, KeysValues)
    for step in range(3):
        assert said(session, Calls(TOOLS), Sampling(temperature=1, seed=step), 120).complete
        session.append(observed("x" * 400))
    twin = session.fork()
    assert said(twin, Calls(TOOLS)).trace == said(session, Calls(TOOLS)).trace


def test_a_template_with_a_line_break_before_calls_is_written_as_it_renders(tmp_path: Path) -> None:
    broken = TEMPLATE.replace("'' if loop.first", "'' if loop.first and not message.content")
    model = LocalModel.load(write_tiny_model(tmp_path / "m", template=broken))
    assert (model.audit.marks.before, model.audit.hermes) == ("\n", True)
    session, texts = opened(model), 0
    for seed in range(4):
        before = session.used
        reply = said(session, Calls(TOOLS[3:]), Sampling(temperature=1, seed=seed), 120)
        texts += bool(reply.text)
        assert reply.complete
        assert reply.trace is not None
        assert reply.trace.kept == before
        session.append(observed("ok"))
    assert texts
