"""What an episode costs: the processor's seconds of the model side, ours beside what others run.

    python benchmarks/episode.py            # about ten minutes; needs `pip install -e '.[bench,bench-llama]'`
    python benchmarks/episode.py --quick    # small and without the others: are the tokens the same?

One randomly initialised Qwen3 of 30 million parameters, float32, one thread, 15 steps: a system prompt of
1,500 tokens, 60 tokens generated and 150 observed per step. A random model says nothing of use, so a prompter
makes everybody say the same calls: after each forward pass it raises one logit, that of the token the script
has at this place. On our side that happens in the engine, on the others' in a logits processor; it is one
addition everywhere, and everything else is each side's real path: template, tokenizer, forward passes, masks,
choosing, stopping, decoding. That all say the script, token for token, is checked at every step.

The sides take turns at every step, ``--repeat`` times over; medians are compared. Beside them stands the
physical limit of decoding: bytes of weights and of keys and values that one token has to read, over the
bandwidth of memory, measured by reading a block as large as the weights. Without the prompter, our greedy
tokens are compared with those of ``transformers.generate`` over a whole episode. The exit status is 0 when
the tokens are the same and, unless ``--quick``, both targets are met; 1 when not.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"  # before torch is imported

import argparse
import sys
import time
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from script import Lengths, Script, write_script
from sides import GREEDY, Generate, LlamaCpp, Ours, Side, Smolagents
from stand_in import write_stand_in
from transformers import AutoTokenizer
from transformers.utils import logging as hub_logging

from autoagent.models.local import LocalModel
from autoagent.models.protocol import Text, complete
from autoagent.trajectory import Message

OFF, ON = 2.8, 6.0  # targets: times as fast as smolagents, grammar off and on
Runs = dict[str, list[float]]  # side -> seconds of the processor per episode


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=5, help="episodes per side")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, only ours and transformers")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    hub_logging.set_verbosity_error()
    hub_logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    with TemporaryDirectory() as name:
        size = {"hidden": 64, "layers": 2} if options.quick else {"hidden": 512, "layers": 7}
        folder = write_stand_in(Path(name), **size)
        lengths = Lengths(steps=3, system=400) if options.quick else Lengths()
        script = write_script(AutoTokenizer.from_pretrained(folder), lengths)
        sides = _sides(folder, script, options.quick)
        same = _same_greedy(folder, script)
        runs = _race(sides, script, 1 if options.quick else options.repeat)
    met = _print(sides, script, runs)
    print(f"greedy tokens identical to transformers.generate: {same[0]} of {same[1]}")
    return 0 if same[0] == same[1] and (options.quick or met) else 1


def _sides(folder: Path, script: Script, quick: bool) -> list[Side]:
    sides: list[Side] = [Ours(folder, script, grammar=False), Ours(folder, script, grammar=True)]
    sides.append(Generate(folder, script))
    if quick:
        return sides
    if find_spec("smolagents"):
        sides.append(Smolagents(folder, script))
    else:
        print("smolagents: not installed; pip install -e '.[bench]'")
    for kind in ("f32", "q8_0"):
        side = LlamaCpp.where_it_runs(folder, script, kind)
        if side is not None:
            sides.append(side)
        else:
            print(f"llama-cpp-python, {kind.upper()}: not built, or it does not run on this machine")
    return sides


def _race(sides: list[Side], script: Script, repeat: int) -> Runs:
    """Run the episode with all sides, step by step in turn; RuntimeError where one says something else."""
    runs: Runs = {side.name: [] for side in sides}
    for lap in range(repeat):
        seconds = dict.fromkeys(runs, 0.0)
        for side in sides:
            side.begin()
        for step, wanted in enumerate(script.replies):
            first = (lap + step) % len(sides)
            for side in sides[first:] + sides[:first]:
                began = time.process_time()
                said = side.reply(step)
                seconds[side.name] += time.process_time() - began
                if said != wanted:
                    raise RuntimeError(f"{side.name} strays from the script at step {step}")
        for name in runs:
            runs[name].append(seconds[name])
        told = ", ".join(f"{name} {taken:.2f} s" for name, taken in seconds.items())
        print(f"{lap + 1}/{repeat}: {told}", file=sys.stderr, flush=True)
    return runs


def _same_greedy(folder: Path, script: Script) -> tuple[int, int]:
    """Say an episode freely; how many of our tokens ``generate`` says too, given the same ones before them.

    Tokens that we never let a model say (control tokens other than the end of a turn) are kept from both.
    """
    ours = LocalModel.load(folder, device="cpu", dtype="float32")
    theirs: Any = Generate(folder, script).model
    barred = [token for token, free in enumerate(ours.vocabulary.permitted.tolist()) if not free]
    first = [Message(role=each["role"], content=each["content"]) for each in script.before(0)]
    session, context, same, total = ours.open(first, script.tools), list[int](), 0, 0
    for step, wanted in enumerate(script.replies):
        if step:
            session.append(Message(role="user", content=script.before(step)[-1]["content"]))
        reply = complete(session.generate(Text(), sampling=GREEDY, max_tokens=len(wanted)))
        assert reply.trace is not None
        context = [*context[: reply.trace.kept], *reply.trace.prompt_ids]
        said = list(reply.trace.completion_ids)
        prompt = torch.tensor([context])
        out = theirs.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=len(wanted),
            do_sample=False,
            suppress_tokens=barred,
        )
        same += sum(a == b for a, b in zip(said, out[0, len(context) :].tolist(), strict=False))
        total += len(said)
        context += said
    return same, total


def _print(sides: list[Side], script: Script, runs: Runs) -> bool:
    """Print the table, the floor and what ours is made of; whether the targets are met."""
    medians = {name: median(seconds) for name, seconds in runs.items()}
    base = next((each.name for each in sides if isinstance(each, Smolagents)), "transformers.generate")
    print(f"\n{'':32}{'CPU s':>8}{'least':>8}{'most':>8}   times as fast as {base}")
    for name, seconds in runs.items():
        row = f"{medians[name]:8.2f}{min(seconds):8.2f}{max(seconds):8.2f}"
        print(f"{name:32}{row}{medians[base] / medians[name]:10.2f}")
    off, on = (each for each in sides if isinstance(each, Ours))
    said = on.counts.forced + on.counts.sampled
    print(f"\nforced by the grammar: {on.counts.forced} of {said} tokens, {on.counts.forced / said:.0%}")
    _print_floor(off, script)
    return medians[base] / medians[off.name] >= OFF and medians[base] / medians[on.name] >= ON


def _print_floor(side: Ours, script: Script) -> None:
    """Print the limit of decoding beside what ours took, without a grammar, in the last episode."""
    model = side.engine.model
    config, weights = (
        model.config,
        4 * model.num_parameters(),
    )  # bytes; the embedding is the output matrix too
    per_token = 2 * 4 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim
    places = _places(script)
    bandwidth = _bandwidth(weights)
    floor = sum(weights + place * per_token for place in places) / bandwidth
    prefill, decode = side.engine.seconds["prefill"], side.engine.seconds["decode"]
    print(
        f"memory read at {bandwidth / 1e9:.1f} GB/s; weights {weights / 1e6:.0f} MB, "
        f"keys and values {per_token / 1e3:.1f} kB a token"
    )
    print(
        f"decoding {len(places)} tokens one by one: at least {floor:.2f} s, "
        f"ours {decode:.2f} s ({decode / floor:.1f} times that)"
    )
    print(f"encoding {len(script.ids) - sum(map(len, script.replies))} tokens: {prefill:.2f} s")


def _places(script: Script) -> list[int]:
    """How many tokens are in memory as each token of the replies is fed alone; the last of a reply is not."""
    each = len(script.replies[0])
    period = (len(script.ids) - script.first) // len(script.replies)
    starts = range(script.first, len(script.ids), period)
    return [start + place for start in starts for place in range(each - 1)]


def _bandwidth(size: int) -> float:
    """Bytes per second that one thread reads from a block of ``size`` bytes, the best of several ways."""
    rows = size // 4 // 2048
    block, token = torch.ones(rows, 2048), torch.ones(2048)
    best = 0.0
    with torch.inference_mode():
        for read in (lambda: block @ token, lambda: block.sum()) * 8:
            began = time.process_time()
            read()
            best = max(best, 4 * block.numel() / (time.process_time() - began))
    return best


if __name__ == "__main__":
    raise SystemExit(main())
