"""Words in smaller pieces than the tokenizer's, now and then, so that rare pieces are learned, too.

A tokenizer has whole words of what it learned from, so in training words are one or two tokens long; words it
never saw come in more and rarer pieces, which a model has hardly met. Cutting words at random is what
BPE-dropout is for (Provilkov et al. 2020, https://arxiv.org/abs/1910.13267). Here a word is cut alike all
through an episode, so that copying it stays copying.
"""

from __future__ import annotations

import functools
import json
import random
import re
from typing import Any

from autoagent.nano.habits import PROMPTS, known_builtins
from autoagent.nano.tokenizer import chat_template

WORDS = 0.3  # of the words of an episode that are cut
_CUT = 0.35  # of the places inside a word
_SHORTEST = 3  # letters
_MARK = r"<\|\w+\|>|</?tool_call>"
_WORD = re.compile(rf"{_MARK}|([^\W\d_]{{{_SHORTEST},}})")
_SAID = re.compile(r"<\|im_start\|>assistant\n.*?<\|im_end\|>", re.DOTALL)


def cut_words(text: str, tokenizer: Any, rng: random.Random) -> list[int]:
    """Token ids of a conversation in which some words are in smaller pieces; they decode to the same text.

    Only words that others say first are cut, and none that prompts, template and built-in tools are made of:
    where nothing is copied, the model is to write as the tokenizer does.
    """
    heard = sorted({word for word in _WORD.findall(_SAID.sub("", text)) if word} - _fixed())
    cut = {word: _pieces(word, rng) for word in heard if rng.random() < WORDS}
    ids: list[int] = []
    done = 0
    for found in _WORD.finditer(text):
        if (pieces := cut.get(found[1] or "")) is not None:
            for part in (text[done : found.start()], *pieces):
                ids += tokenizer(part, add_special_tokens=False)["input_ids"]
            done = found.end()
    return ids + list(tokenizer(text[done:], add_special_tokens=False)["input_ids"])


def _pieces(word: str, rng: random.Random) -> list[str]:
    ends = [place for place in range(1, len(word)) if rng.random() < _CUT]
    return [word[start:end] for start, end in zip([0, *ends], [*ends, len(word)], strict=True)]


@functools.cache
def _fixed() -> frozenset[str]:
    """Words that are always the tokenizer's own."""
    tools = json.dumps([tool.schema for tool in known_builtins()])
    prompts = " ".join(PROMPTS.render(name, date="", goal="") for name in ("system", "act", "goal"))
    said = "plan name arguments answer reason Found Error finish decline"
    return frozenset(word for word in _WORD.findall(f"{tools} {prompts} {chat_template()} {said}") if word)
