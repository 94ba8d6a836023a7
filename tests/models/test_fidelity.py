"""A session says what ``transformers.generate`` says, token for token, however it came to where it is."""

from __future__ import annotations

import json
import string
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from autoagent.models.engine import KeysValues
from autoagent.models.local import LocalModel, LocalSession
from autoagent.models.protocol import Calls, Text
from autoagent.models.tiny import TEMPLATE
from autoagent.trajectory import Message, Reply

from .helpers import ARCHITECTURES, START, TOOLS, context_of, generated, loaded, said, write_architecture

pytestmark = pytest.mark.usefixtures("one_thread")

TOKENS = 24

THINKING = """\
{%- set last = namespace(user=0) %}
{%- for message in messages %}
{%- if message.role == 'user' %}{% set last.user = loop.index0 %}{% endif %}
{%- endfor %}
{%- if tools %}{{ '<|im_start|>system\\nTools: ' + tools | tojson + '<|im_end|>\\n' }}{% endif %}
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' }}
{%- if message.role == 'assistant' and message.reasoning_content and loop.index0 > last.user %}
{{- '<think>\\n' + message.reasoning_content + '\\n</think>\\n\\n' }}
{%- endif %}
{{- message.content }}
{%- for call in message.tool_calls or [] %}
{{- '' if loop.first and not message.content else '\\n' }}
{{- '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' + call.function.arguments | tojson }}
{{- '}\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
"""
MOVING = TEMPLATE.replace("{%- if tools %}", "{%- if false %}")
MOVING = MOVING.replace("elif not (message.role == 'system' and loop.first and tools)", "else").replace(
    "'<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n'",
    "'<|im_start|>' + message.role + '\\n' + (tools | tojson if tools and loop.index0 == place.last else '') "
    "+ message.content + '<|im_end|>\\n'",
)
MOVING = (
    "{%- set place = namespace(last=0) %}{% for message in messages %}{% if message.role == 'user' %}"
    "{% set place.last = loop.index0 %}{% endif %}{% endfor %}" + MOVING
)
DATED = TEMPLATE.replace("'Tools:'", "'At ' + strftime_now('%H:%M:%S.%f') + ', tools:'")


def turn(model: LocalModel, session: LocalSession, tokens: int = TOKENS) -> Reply:
    """A reply in free text, checked against ``generate`` and against what the template renders."""
    prompt = session._rendered()
    reply = said(session, Text(), max_tokens=tokens)
    context = context_of(session, reply)
    assert model.engine.tokenizer.decode(context) == prompt
    assert reply.trace is not None
    assert list(reply.trace.completion_ids) == generated(model, context, tokens)
    return reply


@pytest.mark.parametrize("kind", sorted(ARCHITECTURES))
def test_every_architecture_says_what_generate_says(tmp_path: Path, kind: str) -> None:
    model = loaded(write_architecture(tmp_path / "m", kind))
    session = model.open(START, TOOLS)
    first = turn(model, session)
    assert context_of(session, first) == model.engine.tokenizer.encode(
        model.engine.tokenizer.decode(context_of(session, first)), add_special_tokens=False
    )
    mark = session.mark()
    session.append(Message(role="tool", name="read_file", content="Two words of notes. " * 5))
    second = turn(model, session)
    assert second.counts.cached == first.counts.cached + first.counts.prefilled + TOKENS - 1
    said(session, Calls(TOOLS), max_tokens=120)  # a grammar and its forced tokens in between
    session.append(Message(role="tool", name="read_file", content="done"))
    turn(model, session)

    session.rewind(mark)
    session.append(Message(role="user", content="Something else."))
    twin = session.fork()
    turn(model, session)
    twin.append(Message(role="user", content="And more."))
    turn(model, twin)
    turn(model, session)


def test_templates_that_rewrite_the_past_are_followed(tmp_path: Path) -> None:
    for number, template in enumerate((MOVING, THINKING, DATED)):
        folder = write_architecture(
            tmp_path / str(number), "llama", template=template, specials=("<think>", "</think>")
        )
        model = loaded(folder)
        assert model.audit.calls == "hermes"
        session = model.open(START, TOOLS)
        for text in ("One.", "Two.", "Three."):
            turn(model, session, 12)
            assert said(session, Calls(TOOLS), max_tokens=120).complete
            session.append(Message(role="tool", name="read_file", content=text))
            turn(model, session, 12)
            session.append(Message(role="user", content=text))
        kept = turn(model, session, 12)
        assert kept.trace is not None
        if template == DATED:  # the clock stands still for the whole conversation
            assert kept.trace.kept > len(kept.trace.prompt_ids)
            assert model.open(START, TOOLS)._rendered() != session._rendered()[: len(START)]


def test_a_resumed_conversation_is_the_one_that_was_lived_through(tmp_path: Path) -> None:
    model = loaded(write_architecture(tmp_path / "m", "qwen3"))
    lived, past = model.open(START, TOOLS), list(START)
    for number in range(3):
        reply = said(lived, Calls(TOOLS), max_tokens=120)
        result = Message(role="tool", name=reply.calls[0].name, content=f"result {number}")
        lived.append(result)
        past += [reply.as_message(), result]
    appended = model.open(START, TOOLS)
    for message in past[len(START) :]:
        appended.append(message)
    resumed = model.open(past, TOOLS)
    assert resumed._rendered() == lived._rendered() == appended._rendered()
    assert turn(model, resumed).text == turn(model, appended).text
    turn(model, lived)


def test_a_pass_that_is_cut_short_leaves_the_session_usable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C or a full memory between two layers: some layers have seen the token, others have not."""
    model = loaded(write_architecture(tmp_path / "m", "llama"))
    session = model.open(START, TOOLS)
    turn(model, session)
    assert isinstance(session._cache, KeysValues)
    session.append(Message(role="user", content="Go on."))
    layer = model.engine.model.model.layers[1]
    monkeypatch.setattr(layer, "forward", _interrupted)
    with pytest.raises(KeyboardInterrupt):
        said(session, Text(), max_tokens=8)
    monkeypatch.undo()
    turn(model, session)


def _interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_tokenizers_with_a_rule_for_the_first_word_are_followed(tmp_path: Path) -> None:
    """As of Llama 2 and Mistral: a space is put before the first word, and dropped again."""
    folder = write_architecture(tmp_path / "m", "llama")
    _with_first_word_rule(folder)
    model = loaded(folder)
    assert model.vocabulary.anchor
    session = model.open(START, TOOLS)
    for text in ("word one", " two"):
        turn(model, session)
        assert said(session, Calls(TOOLS), max_tokens=200).complete
        before = session.used
        session.append(Message(role="tool", name="read_file", content=text))
        reply = turn(model, session)
        assert reply.trace is not None
        assert reply.trace.kept == before
        whole = model.engine.tokenizer.encode(session._rendered(), add_special_tokens=False)
        tail = session._extension(session._rendered())[1]
        assert whole[-len(tail) :] == tail


def _with_first_word_rule(folder: Path) -> None:
    """Replace the tokenizer by one of the sentencepiece kind, with the same number of tokens."""
    old = AutoTokenizer.from_pretrained(folder)
    control = sorted(old.added_tokens_decoder.items())
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    raw = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(
        vocab_size=len(old) - len(control), special_tokens=raw, show_progress=False, min_frequency=1
    )
    tokenizer.train_from_iterator([TEMPLATE, (__doc__ or "") * 3, string.printable], trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", chat_template=old.chat_template
    )
    made.add_tokens([AddedToken(str(token), special=True, normalized=False) for _, token in control])
    made.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["eos_token_id"] = made.eos_token_id
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert len(made) <= config["vocab_size"]
