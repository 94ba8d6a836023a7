"""A randomly initialised GPT in a folder: for tests of everything that happens around the weights.

It has the shape of the embedded model (Qwen3 configuration, byte-level BPE, the same special tokens), costs a
second to make, and knows nothing: whatever valid thing it says, the grammar made it say.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MARKERS = ("<tool_call>", "</tool_call>")

TEMPLATE = """\
{%- if tools %}
{{- '<|im_start|>system\\n' }}
{%- if messages[0].role == 'system' %}{{ messages[0].content + '\\n' }}{% endif %}
{{- 'Tools:' }}
{%- for tool in tools %}
{{- '\\n- ' + tool.function.description + ': ' + tool.function.name }}
{{- '(' + tool.function.parameters.properties | join(', ') + ')' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
{%- if message.role == 'assistant' %}
{{- '<|im_start|>assistant\\n' + message.content }}
{%- for call in message.tool_calls or [] %}
{{- '' if loop.first else '\\n' }}
{{- '<tool_call>\\n{"name": ' + call.function.name | tojson + ', "arguments": ' }}
{{- call.function.arguments | tojson + '}\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- elif not (message.role == 'system' and loop.first and tools) %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
"""

_PIECES = r"""'s|'t|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""


def write_tiny_model(
    folder: Path,
    *,
    seed: int = 0,
    hidden: int = 64,  # features
    layers: int = 2,
    markers: bool = True,
    specials: tuple[str, ...] = (),
    template: str | None = TEMPLATE,
) -> Path:
    """Write weights, tokenizer and template of a random model to ``folder`` and return it.

    ``markers=False`` leaves ``<tool_call>`` an ordinary text, ``specials`` are more control tokens, such as
    ``<think>``; ``template=None`` leaves it out.
    """
    import torch
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    from autoagent.models.engine import quiet

    special = SPECIALS + (MARKERS if markers else ()) + specials
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_byte_level_bpe(special),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=template,
    )
    head = 16 if hidden <= 64 else 40
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = Qwen3Config(
            vocab_size=-(-len(tokenizer) // 64) * 64,
            hidden_size=hidden,
            intermediate_size=hidden * 3,
            num_hidden_layers=layers,
            num_attention_heads=hidden // head,
            num_key_value_heads=hidden // head // 2,
            head_dim=head,
            max_position_embeddings=4096,
            tie_word_embeddings=True,
            initializer_range=0.1,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
            pad_token_id=tokenizer.pad_token_id,
        )
        model = Qwen3ForCausalLM(config)
    folder.mkdir(parents=True, exist_ok=True)
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def _byte_level_bpe(special: tuple[str, ...]) -> Any:
    """Train merges on a few lines in the tone of runs: names, calls, prose, digits."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1024 - len(special),
        min_frequency=1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([__doc__ or "", TEMPLATE, _lines()], trainer)
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    return tokenizer


def _lines() -> str:
    calls = [
        {"name": "read_file", "arguments": {"path": "notes.txt"}},
        {"name": "write_file", "arguments": {"path": "reports/sum.txt", "content": "The total is 42."}},
        {"name": "calculate", "arguments": {"expression": "3 * (4 + 5)"}},
        {"name": "finish", "arguments": {"answer": "There are 12 files in the folder."}},
        {"plan": ["find the file", "read the file", "finish with the answer"]},
    ]
    return "\n".join(json.dumps(call) for call in calls)
