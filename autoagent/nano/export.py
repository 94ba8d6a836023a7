"""From a training folder to a model folder that transformers, vLLM and llama.cpp's converter read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from autoagent.errors import UsageError
from autoagent.nano.habits import FOLDER
from autoagent.nano.model import NanoConfig, preset
from autoagent.nano.tokenizer import chat_template, load_tokenizer
from autoagent.prompts import ABOUT, prompt_hash
from autoagent.training.checkpoint import read_checkpoint

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, Qwen3ForCausalLM


def export(checkpoint: Path, out_dir: Path, *, dtype: Literal["bf16", "fp32"] = "bf16") -> Path:
    """Write the model trained in folder ``checkpoint`` to ``out_dir`` as ``Qwen3ForCausalLM`` and return it.

    ``training.json`` there says how far training went; a checkpoint that was not annealed (fraction below 1)
    is exported all the same, but should not be shipped. Raises :class:`UsageError` where nothing was trained.
    """
    state = read_checkpoint(checkpoint)
    if state is None:
        raise UsageError(f"no checkpoint in {checkpoint}: train there first")
    settings = json.loads((checkpoint / "nano.json").read_text(encoding="utf-8"))
    tokenizer = load_tokenizer(checkpoint / "tokenizer")
    weights = state["optimizers"]["masters"]
    model = to_transformers(preset(settings["size"], len(tokenizer)), weights, tokenizer)
    if dtype == "bf16":
        model.bfloat16()
    out_dir.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out_dir)
    tokenizer.chat_template = chat_template()
    tokenizer.save_pretrained(out_dir)
    about = {key: state[key] for key in ("step", "tokens", "seconds", "fraction", "last_loss")} | settings
    about["parameters"] = sum(weight.numel() for weight in weights.values())
    (out_dir / ABOUT).write_bytes((FOLDER / ABOUT).read_bytes())
    about["prompts"] = prompt_hash(out_dir)  # pinned: an edited prompt needs new weights
    (out_dir / "training.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    for file in out_dir.iterdir():
        file.chmod(0o644)  # safetensors writes for the owner alone
    return out_dir


def to_transformers(
    config: NanoConfig, weights: dict[str, Tensor], tokenizer: PreTrainedTokenizerBase
) -> Qwen3ForCausalLM:
    """The same model as an fp32 ``Qwen3ForCausalLM``; ``weights`` by the names of ``NanoModel``."""
    from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    shape = Qwen3Config(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden,
        intermediate_size=config.intermediate,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.kv_heads,
        head_dim=config.head_dim,
        max_position_embeddings=config.max_position,
        rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
        rms_norm_eps=config.norm_eps,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=pad,
    )
    model = Qwen3ForCausalLM(shape)
    missing, unexpected = model.load_state_dict(weights, strict=False)
    if unexpected or set(missing) - {"lm_head.weight"}:
        raise UsageError(f"the checkpoint does not fit the model: {sorted(missing) + sorted(unexpected)}")
    model.tie_weights()
    model.generation_config = GenerationConfig(bos_token_id=None, eos_token_id=end, pad_token_id=pad)
    model.eval()
    return model
