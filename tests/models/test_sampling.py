"""The next token is drawn from the distribution that transformers' own processors make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from autoagent.config import Sampling
from autoagent.models.protocol import Calls, Text
from autoagent.models.sampling import draw, log_softmax, penalized, warped

from .helpers import START, TOOLS, context_of, generated, loaded, said, write_architecture

SIZE = 24
settings = st.builds(
    Sampling,
    temperature=st.floats(0.1, 3),
    top_k=st.sampled_from([0, 1, 3, 10, 100]),
    top_p=st.floats(0.05, 1),
    min_p=st.floats(0, 1),
    repetition_penalty=st.floats(0.5, 3),
)


@given(sampling=settings, seed=st.integers(0, 2**20), seen=st.lists(st.integers(0, SIZE + 3), min_size=1))
def test_the_distribution_is_that_of_transformers(sampling: Sampling, seed: int, seen: list[int]) -> None:
    logits = np.random.default_rng(seed).normal(0, 3, SIZE).astype(np.float32)
    chain = LogitsProcessorList([RepetitionPenaltyLogitsProcessor(float(sampling.repetition_penalty))])
    chain.append(TemperatureLogitsWarper(float(sampling.temperature)))
    if sampling.top_k:
        chain.append(TopKLogitsWarper(sampling.top_k))
    chain.append(TopPLogitsWarper(float(sampling.top_p)))
    chain.append(MinPLogitsWarper(float(sampling.min_p)))
    scores = chain(torch.tensor([seen]), torch.from_numpy(logits.copy())[None].double())
    expected = torch.softmax(scores[0], -1).numpy()

    ids, weights = warped(np.exp(penalized(logits, seen, sampling.repetition_penalty)), sampling)
    ours = np.zeros(SIZE)
    ours[ids] = weights / weights.sum()
    on_the_edge = _edge(logits, seen, sampling)
    assert on_the_edge or ours == pytest.approx(expected, abs=1e-4)
    assert 0 <= draw(np.exp(log_softmax(logits)), sampling, np.random.default_rng(seed)) < SIZE


def _edge(logits: np.ndarray, seen: list[int], sampling: Sampling) -> bool:
    """Whether rounding decides if a token is kept: its share, or what came before it, is the bound itself."""
    raw = np.exp(
        penalized(logits, seen, sampling.repetition_penalty).astype(np.float64) / sampling.temperature
    )
    weights = np.sort(raw)[::-1]
    if sampling.top_k:
        weights = weights[: sampling.top_k]
    share = np.cumsum(weights) / weights.sum()
    near = np.abs(share - sampling.top_p).min() < 1e-5 and sampling.top_p < 1
    return bool(near or np.abs(weights / weights[0] - sampling.min_p).min() < 1e-5)


def test_settings_that_are_off_change_nothing() -> None:
    chances = np.random.default_rng(0).random(SIZE).astype(np.float32)
    ids, weights = warped(chances, Sampling(temperature=1))
    assert list(ids) == list(range(SIZE))
    assert weights / weights.sum() == pytest.approx(chances / chances.sum(), abs=1e-6)


@pytest.mark.parametrize("penalty", [1e-6, 1e30])
def test_a_penalty_never_makes_the_only_allowed_token_impossible(tmp_path: Path, penalty: float) -> None:
    model = loaded(write_architecture(tmp_path / "m", "qwen3"))
    for temperature in (0.0, 1.0):
        sampling = Sampling(temperature=temperature, repetition_penalty=penalty, min_p=0.5)
        assert said(model.open(START, TOOLS), Calls(TOOLS), sampling, 120).complete
        said(model.open(START, TOOLS), Text(), sampling, 20)


def test_a_greedy_reply_with_a_penalty_is_that_of_generate(tmp_path: Path) -> None:
    model = loaded(write_architecture(tmp_path / "m", "llama"))
    session = model.open(START, TOOLS)
    reply = said(session, Text(), Sampling(repetition_penalty=1.3), 30)
    assert reply.trace is not None
    context = context_of(session, reply)
    assert list(reply.trace.completion_ids) == generated(model, context, 30, repetition_penalty=1.3)
    assert list(reply.trace.completion_ids) != generated(model, context, 30)
