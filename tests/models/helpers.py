"""What the tests of local models share: tools, tiny models of several architectures, and a reference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from autoagent.config import Sampling
from autoagent.models.engine import quiet
from autoagent.models.local import LocalModel, LocalSession
from autoagent.models.protocol import Expect, complete
from autoagent.models.tiny import TEMPLATE, write_tiny_model
from autoagent.trajectory import Message, Reply

GREEDY = Sampling()
START = (
    Message(role="system", content="You act."),
    Message(role="user", content="Sum up the notes."),
)

_SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
    "initializer_range": 0.2,
}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "qwen3": {},
    "llama": _SMALL,
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 2048, "initializer_range": 0.2},
    "mistral": _SMALL | {"sliding_window": 24},
    "gemma3_text": _SMALL
    | {"head_dim": 8, "sliding_window": 24, "layer_types": ["sliding_attention", "full_attention"]},
    "lfm2": _SMALL | {"layer_types": ["conv", "full_attention"]},
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "initializer_range": 0.2},
}


def tool(name: str, properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": required or list(properties)}
    return {
        "type": "function",
        "function": {"name": name, "description": f"Do {name}.", "parameters": schema},
    }


TOOLS = (
    tool("read_file", {"path": {"type": "string", "maxLength": 20}}),
    tool("add", {"a": {"type": "integer", "minimum": 1}, "kind": {"enum": ["fast", "slow"]}}),
    tool("nothing", {}),
    tool("finish", {"answer": {"type": "string", "maxLength": 20}}),
)


def write_architecture(folder: Path, kind: str, *, template: str = TEMPLATE, **more: Any) -> Path:
    """Write a random model of this architecture; tokenizer and template are those of every tiny model."""
    write_tiny_model(folder, template=template, **more)
    if kind == "qwen3":
        return folder
    given = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    same = {key: given[key] for key in ("vocab_size", "eos_token_id", "pad_token_id", "bos_token_id")}
    with torch.random.fork_rng(), quiet():
        torch.manual_seed(0)
        config = AutoConfig.for_model(kind, **ARCHITECTURES[kind], **same)
        AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    return folder


def loaded(folder: Path, **options: Any) -> LocalModel:
    """The model in float32 on the processor."""
    with quiet():
        return LocalModel.load(folder, device="cpu", dtype="float32", **options)


def said(session: LocalSession, expect: Expect, sampling: Sampling = GREEDY, max_tokens: int = 96) -> Reply:
    return complete(session.generate(expect, sampling=sampling, max_tokens=max_tokens))


def context_of(session: LocalSession, reply: Reply) -> list[int]:
    """The ids the reply was made after."""
    assert reply.trace is not None
    return session._ids[: len(session._ids) - len(reply.trace.completion_ids)]


def generated(model: LocalModel, context: list[int], tokens: int, **more: float) -> list[int]:
    """What ``transformers.generate`` says after these ids, without any cache of ours."""
    thoughts = model.vocabulary.think or ()
    forbidden = [int(i) for i in (~model.vocabulary.permitted).nonzero()[0] if i not in thoughts]
    with torch.inference_mode(), quiet():
        found = model.engine.model.generate(
            torch.tensor([context]),
            attention_mask=torch.ones(1, len(context), dtype=torch.long),
            do_sample=False,
            max_new_tokens=tokens,
            suppress_tokens=forbidden,
            eos_token_id=list(model.vocabulary.ends),
            **more,
        )
    return [int(token) for token in found[0, len(context) :]]
