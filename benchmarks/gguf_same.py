"""The embedded model in llama.cpp beside transformers: the same ids of a text, the same tokens chosen?

    python benchmarks/gguf_same.py                # minutes for each of f32, f16 and q8_0
    python benchmarks/gguf_same.py --count 4 f32  # fewer demonstrations
    python benchmarks/gguf_same.py --singly q8_0  # where its kernels for several tokens at once crash

The model is exported as ``autoagent models export --gguf-type`` does, and llama-cpp-python reads the file.
Counted are

- texts that both cut into the same ids: the lines of the documentation, and random ones of all of Unicode;
- demonstrations of the gate's frozen sample that both render and cut alike, template and tools included;
- places in them where the model speaks at which both choose the same token, given the same ids before;
- first replies that are the same to the last token when each goes on from what it chose itself.

The status is 0 when all texts and demonstrations are cut alike and, in f32, all choices and replies are the
same; in f16 and q8_0 other weights are computed with, so choices may differ.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from gguf_file import load_gguf
from transformers import AutoModelForCausalLM, AutoTokenizer

from autoagent.models.export import export
from autoagent.models.gguf_file import Kind
from autoagent.models.versions import Versions
from autoagent.nano.data import demonstrations
from autoagent.nano.earlier import demonstration_sample
from autoagent.nano.expert import Demonstration

DOCS = Path(__file__).resolve().parent.parent / "docs"
KINDS: tuple[Kind, ...] = ("f32", "f16", "q8_0")
LONGEST = 64  # tokens of a reply


class Both:
    """One model, read by transformers from its folder and by llama.cpp from its file."""

    def __init__(self, folder: Path, batch: int) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self.llama = load_gguf(folder / "embedded.gguf", n_ctx=4096, n_batch=batch, logits_all=True)

    def cut_alike(self, text: str) -> bool:
        """Whether the ids of a text are the same."""
        ours: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return bool(self.llama.tokenize(text.encode(), add_bos=True, special=True) == ours)

    def rendered_alike(self, shown: Demonstration) -> bool:
        """Whether the chat template in the file says what that in the folder says."""
        messages = [message.for_template() for message in shown.messages]
        ours = self.tokenizer.apply_chat_template(messages, tools=list(shown.tools), tokenize=False)
        template = self.llama.metadata["tokenizer.chat_template"]
        theirs = llama_renders(template, messages, shown.tools)
        return bool(ours == theirs) and self.cut_alike(ours)

    def choices(self, ids: Sequence[int]) -> tuple[list[int], list[int]]:
        """The likeliest next token after each of ``ids``, (T,), of transformers and of llama.cpp."""
        with torch.inference_mode():
            ours = self.model(torch.tensor([list(ids)])).logits[0].argmax(-1).tolist()
        self.llama.reset()
        self.llama.eval(list(ids))
        return ours, self.llama.scores[: len(ids)].argmax(-1).tolist()

    def replies(self, prompt: list[int]) -> tuple[list[int], list[int]]:
        """What each says greedily after a prompt, to the end of its turn."""
        ends = self.tokenizer.eos_token_id
        with torch.inference_mode():
            whole = self.model.generate(torch.tensor([prompt]), max_new_tokens=LONGEST, do_sample=False)
        self.llama.reset()
        theirs: list[int] = []
        for token in islice(self.llama.generate(prompt, temp=0.0), LONGEST):
            theirs.append(token)
            if token == ends:
                break
        return whole[0, len(prompt) :].tolist(), theirs


def llama_renders(template: str, messages: Any, tools: Any) -> str:
    """A chat template as llama-cpp-python renders it."""
    from llama_cpp.llama_chat_format import Jinja2ChatFormatter

    formatter = Jinja2ChatFormatter(template, eos_token="", bos_token="", add_generation_prompt=False)
    return str(formatter(messages=messages, tools=list(tools)).prompt)


def compare(kind: Kind, count: int, batch: int) -> bool:
    """Print how far the two agree; whether that is as far as it must be."""
    with TemporaryDirectory() as name:
        folder = Path(name) / "out"
        export(Versions(Path(name) / "home"), "embedded", folder, gguf=kind)
        both = Both(folder, batch)
        sample = demonstration_sample(folder, count=count)
    texts = [*_lines(), *_random(2_000)]
    cut = sum(both.cut_alike(text) for text in texts)
    rendered = sum(both.rendered_alike(each) for each in demonstrations("gate sample", count))
    alike = places = replies = 0
    for each in sample:
        ours, theirs = both.choices(each.ids)
        spoken = [place - 1 for place, trained in enumerate(each.mask) if trained]
        alike += sum(ours[place] == theirs[place] for place in spoken)
        places += len(spoken)
        mine, its = both.replies(list(each.ids[: spoken[0] + 1]))
        replies += mine == its
    print(
        f"{kind}: texts cut alike {cut} of {len(texts)}, demonstrations rendered alike {rendered} of {count},"
    )
    print(f"      same choices {alike} of {places}, same first replies {replies} of {count}", flush=True)
    exact = (alike, replies) == (places, count)
    return (cut, rendered) == (len(texts), count) and (exact or kind != "f32")


def _lines() -> Iterator[str]:
    for page in sorted(DOCS.glob("*.md")):
        yield from page.read_text(encoding="utf-8").splitlines(keepends=True)


def _random(count: int) -> Iterator[str]:
    """Texts of up to 40 characters; every second one of what meets at the edges of words."""
    dice, near = random.Random(0), "aéZ'sStTlLdD  \n\r\t\u00a0\u3000\u0661½.,!<|>_"
    for number in range(count):
        size = dice.randint(1, 40)
        if number % 2:
            yield "".join(dice.choices(near, k=size))
        else:
            yield "".join(
                chr(dice.randrange(*dice.choice(((32, 0x3000), (0x10000, 0x1FC00))))) for _ in range(size)
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="f32, f16 or q8_0; all where none is named")
    parser.add_argument("--count", type=int, default=64, help="demonstrations")
    parser.add_argument("--singly", action="store_true", help="llama.cpp computes one token at a time")
    options = parser.parse_args()
    torch.set_num_threads(1)
    batch = 1 if options.singly else 512
    return 0 if all([compare(kind, options.count, batch) for kind in options.kinds or KINDS]) else 1


if __name__ == "__main__":
    sys.exit(main())
