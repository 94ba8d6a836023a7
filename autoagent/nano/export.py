"""From a training folder to a model folder that transformers, vLLM and llama.cpp's converter read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from safetensors import SafetensorError
from torch import Tensor

from autoagent.errors import UsageError
from autoagent.models.loading import quiet
from autoagent.nano.habits import FOLDER
from autoagent.nano.model import NanoConfig, shape
from autoagent.nano.runs import read_settings, spent
from autoagent.nano.tokenizer import chat_template, load_tokenizer
from autoagent.prompts import ABOUT, prompt_hash
from autoagent.training.checkpoint import read_checkpoint

WEIGHTS = ("*.safetensors", "*.safetensors.index.json")

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, Qwen3ForCausalLM


def export(
    checkpoint: Path, out_dir: Path, *, dtype: Literal["bf16", "fp32"] = "bf16", shard: str = "15MB"
) -> Path:
    """Write the model trained in folder ``checkpoint`` to ``out_dir`` as ``Qwen3ForCausalLM`` and return it.

    ``training.json`` there says how far training went; a checkpoint that was not annealed (fraction below 1)
    is exported all the same, but should not be shipped. Files of weights are at most ``shard`` large. All
    is written beside the folder first and moved there when it is whole; a card of the weights before is
    dropped. Raises :class:`UsageError` where nothing was trained and where it cannot be written; what was
    there then stays.
    """
    state = read_checkpoint(checkpoint)
    if state is None:
        raise UsageError(f"no checkpoint in {checkpoint}: train there first")
    settings = read_settings(checkpoint)
    tokenizer = load_tokenizer(checkpoint / "tokenizer")
    weights = state["optimizers"]["masters"]
    model = to_transformers(shape(settings, len(tokenizer)), weights, tokenizer)
    if dtype == "bf16":
        model.bfloat16()
    tokenizer.chat_template = chat_template()
    about = settings | spent(checkpoint, state) | {key: state[key] for key in ("fraction", "last_loss")}
    about["parameters"] = sum(weight.numel() for weight in weights.values())
    unfinished = out_dir.with_name(f"{out_dir.name}.unfinished")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        with quiet():
            model.save_pretrained(unfinished, max_shard_size=shard)
        tokenizer.save_pretrained(unfinished)
        (unfinished / ABOUT).write_bytes((FOLDER / ABOUT).read_bytes())
        about["prompts"] = prompt_hash(unfinished)  # pinned: an edited prompt needs new weights
        (unfinished / "training.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        _replace(out_dir, unfinished)
    except (OSError, SafetensorError) as fault:
        raise UsageError(f"cannot write {out_dir}, it is as it was before: {fault}") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return out_dir


def _replace(folder: Path, new: Path) -> None:
    """Move the files of ``new`` into ``folder`` and drop what described or held other weights there."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {file.name for file in new.iterdir()}
    old = [file for pattern in WEIGHTS for file in folder.glob(pattern)]
    if (folder / "measured.json").exists():  # a measurement, and a card made from it, of those weights
        old += [folder / "measured.json", folder / "README.md"]
    for file in sorted(new.iterdir()):
        file.chmod(0o644)  # safetensors writes for the owner alone
        file.replace(folder / file.name)
    for file in old:
        if file.name not in names:
            file.unlink(missing_ok=True)


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
