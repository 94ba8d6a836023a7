"""The embedded model against its limits: tokens per second on one core, seconds per episode, size on disk.

    python benchmarks/embedded.py                            # the embedded model, a minute or two
    python benchmarks/embedded.py --model FOLDER --out FILE.json
    python benchmarks/embedded.py --quick                    # seconds: only whether it works

One thread, pinned to one core where the system can do that (Linux).

Speed. The context is 2,000 tokens: system prompt, twelve built-in tools, and a goal with English text from
Python's own help topics. Our side is what users have, ``load_model(...).open(...)`` and greedy
``generate(Text())``; beside it plain transformers ``generate`` on the same folder, the same ids and in the
same number format. The sides take turns, ``--repeat`` times over, and medians are compared. A model that was
taught to be brief would end its turn after a few tokens, so both are kept from ending it: the end-of-turn
tokens are masked, on our side in the table of tokens that may be said at all, on the other in a logits
processor. So each reply has exactly ``--tokens`` tokens, and they are compared. The clock runs from the first
of them to the last: reading the prompt does not count. After each reply our session is rewound to the
2,000-token mark.

Episodes. Every task of the smoke suite, one after the other: seconds of the whole task, its workspace, plan,
tools and check included.

What is held to the targets are seconds of the processor, which other programs on the machine disturb less;
seconds by the clock stand beside them. The exit status is 1 when a target is missed (``--quick``: never).
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"  # before torch is imported

import argparse
import json
import sys
import time
import warnings
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pydoc_data import topics
from statistics import median
from typing import Any, NamedTuple, Protocol

import torch
from transformers import AutoModelForCausalLM, LogitsProcessor, LogitsProcessorList
from transformers.generation.streamers import BaseStreamer
from transformers.utils import logging as hub_logging

from autoagent.config import Sampling
from autoagent.conversation import opening_messages
from autoagent.evals import TaskResult, run_suite
from autoagent.models.load import load_model
from autoagent.models.local import LocalModel
from autoagent.models.protocol import Text, complete
from autoagent.nano.habits import HABITS, PROMPTS, known_builtins
from autoagent.nano.suites import smoke

CONTEXT = 2_000  # tokens
RATE, EPISODE, SIZE = 150, 5.0, 40  # targets: tokens per second, seconds, MB
GREEDY = Sampling(temperature=0)
GOAL = "What does this text say about names?"


class Took(NamedTuple):
    """Seconds for the tokens of a reply after its first."""

    cpu: float
    clock: float


class Side(Protocol):
    """One way to say a reply after the context."""

    def say(self, tokens: int) -> tuple[list[int], Took]:
        """The tokens, and what those after the first took."""
        ...


class Since:
    """How long it is since this was made."""

    def __init__(self) -> None:
        self._began = time.process_time(), time.perf_counter()

    def took(self) -> Took:
        return Took(time.process_time() - self._began[0], time.perf_counter() - self._began[1])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="embedded", help="as for autoagent run; a folder or a version")
    parser.add_argument("--tokens", type=int, default=256, help="generated per reply")
    parser.add_argument("--repeat", type=int, default=5, help="replies per side")
    parser.add_argument("--core", type=int, help="the core to use; by default the first that is allowed")
    parser.add_argument("--quick", action="store_true", help="one short reply per side, no episodes")
    parser.add_argument("--out", type=Path, help="write all figures there, as JSON")
    options = parser.parse_args(arguments)
    if options.tokens < 2 or options.repeat < 1:
        parser.error("--tokens must be at least 2 and --repeat at least 1")
    tokens, repeat = (32, 1) if options.quick else (options.tokens, options.repeat)
    core = _pin(options.core)
    _be_quiet()
    model = load_model(options.model, device="cpu")
    if not isinstance(model, LocalModel):
        parser.error("--model has to be a model on this machine")
    report = {"model": model.version, "core": core} | _size(model.engine.folder)
    report["speed"] = _race(model, tokens, repeat)
    report["episodes"] = {} if options.quick else _episodes(model)
    met = _print(report)
    if options.out:
        options.out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0 if met or options.quick else 1


def _pin(core: int | None) -> int | None:
    """Keep to one core and one thread; None where the system does not pin."""
    torch.set_num_threads(1)
    if not hasattr(os, "sched_setaffinity"):
        return None
    chosen = min(os.sched_getaffinity(0)) if core is None else core
    os.sched_setaffinity(0, {chosen})
    return chosen


def _be_quiet() -> None:
    hub_logging.set_verbosity_error()
    hub_logging.disable_progress_bar()
    warnings.simplefilter("ignore")


def _size(folder: Path) -> dict[str, Any]:
    files = {file.name: file.stat().st_size for file in sorted(folder.iterdir()) if file.is_file()}
    return {"bytes": sum(files.values()), "files": files}


@dataclass
class Ours:
    """A session at the 2,000-token mark."""

    model: LocalModel

    def __post_init__(self) -> None:
        self.context = self._opened("")  # to count what stands around the text
        words = " ".join(" ".join(text.split()) for _, text in sorted(topics.topics.items())).split(" ")
        room = CONTEXT - len(self.context)
        lengths = range(min(len(words), room))
        fits = bisect_right(lengths, room, key=lambda count: self.model.count(" ".join(words[:count])))
        self.context = self._opened(" ".join(words[: fits - 1]))

    def _opened(self, text: str) -> list[int]:
        """Open the session with this text in the goal, and read it; the ids of the context."""
        opening = opening_messages(f"{GOAL}\n\n{text}", PROMPTS)
        shown = [tool.schema for tool in known_builtins()][: HABITS.shown_tools]
        self.session = self.model.open(opening, shown)
        self.mark = self.session.mark()
        reply = complete(self.session.generate(Text(), sampling=GREEDY, max_tokens=1))
        assert reply.trace is not None
        self.session.rewind(self.mark)
        return list(reply.trace.prompt_ids)

    def say(self, tokens: int) -> tuple[list[int], Took]:
        stream = self.session.generate(Text(), sampling=GREEDY, max_tokens=tokens)
        next(stream)  # the first token
        since = Since()
        reply = complete(stream)
        took = since.took()
        assert reply.trace is not None
        self.session.rewind(self.mark)
        return list(reply.trace.completion_ids), took


class Barred(LogitsProcessor):
    """What our engine never says, and the end of a turn, kept from transformers as well."""

    def __init__(self, tokens: list[int]) -> None:
        self._tokens = tokens

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        scores[:, self._tokens] = -torch.inf
        return scores


class FirstToken(BaseStreamer):
    """Notes when the first token was there."""

    since: Since | None = None
    _told = 0

    def put(self, value: torch.Tensor) -> None:
        self._told += 1  # the prompt is told first
        if self._told == 2:
            self.since = Since()

    def end(self) -> None: ...


class Theirs:
    """transformers: ``generate`` on the same ids."""

    def __init__(self, model: LocalModel, context: list[int]) -> None:
        own = model.engine.model
        self.model: Any = AutoModelForCausalLM.from_pretrained(model.engine.folder, dtype=own.dtype).eval()
        self.context = torch.tensor([context])
        barred = [token for token, free in enumerate(model.vocabulary.permitted.tolist()) if not free]
        self.processors = LogitsProcessorList([Barred(barred)])

    def say(self, tokens: int) -> tuple[list[int], Took]:
        first = FirstToken()
        out = self.model.generate(
            self.context,
            attention_mask=torch.ones_like(self.context),
            max_new_tokens=tokens,
            do_sample=False,
            logits_processor=self.processors,
            streamer=first,
        )
        assert first.since is not None
        return out[0, self.context.shape[1] :].tolist(), first.since.took()


@contextmanager
def _endless(model: LocalModel) -> Iterator[None]:
    """Meanwhile no turn can be ended."""
    vocabulary = model.vocabulary
    ends = list(vocabulary.ends)
    vocabulary.permitted[ends] = False
    try:
        yield
    finally:
        vocabulary.permitted[ends] = True


def _race(model: LocalModel, tokens: int, repeat: int) -> dict[str, Any]:
    with _endless(model):
        ours = Ours(model)
        sides: dict[str, Side] = {"autoagent": ours, "transformers": Theirs(model, ours.context)}
        took: dict[str, list[Took]] = {name: [] for name in sides}
        for lap in range(repeat):
            said = {}
            for name, side in list(sides.items())[:: 1 if lap % 2 else -1]:
                said[name], spent = side.say(tokens)
                took[name].append(spent)
                if len(said[name]) != tokens:
                    raise RuntimeError(f"{name} said {len(said[name])} tokens instead of {tokens}")
            same = sum(a == b for a, b in zip(*said.values(), strict=True))
            told = ", ".join(f"{name} {times[-1].cpu:.2f} s" for name, times in took.items())
            print(f"{lap + 1}/{repeat}: {told}", file=sys.stderr, flush=True)
    rates = {name: _rates(times, tokens) for name, times in took.items()}
    text = model.engine.tokenizer.decode(ours.context)
    return {
        "context": len(ours.context),
        "tokens": tokens,
        "same": same,
        "characters_per_token": round(len(text) / len(ours.context), 2),
        "parameters": model.engine.model.num_parameters(),
        "dtype": str(model.engine.model.dtype).removeprefix("torch."),
        "rates": rates,
    }


def _rates(times: Sequence[Took], tokens: int) -> dict[str, list[float]]:
    """Tokens per second of every reply, by the processor and by the clock."""
    rows = zip(*(((tokens - 1) / each.cpu, (tokens - 1) / each.clock) for each in times), strict=True)
    cpu, clock = ([round(rate, 1) for rate in row] for row in rows)
    return {"cpu": cpu, "clock": clock}


def _episodes(model: LocalModel) -> dict[str, Any]:
    took: list[Took] = []
    since = Since()

    def note(result: TaskResult) -> None:
        nonlocal since
        took.append(since.took())
        since = Since()

    done = run_suite(smoke, model=model, on_result=note)
    longest, seconds = max(zip(done.results, took, strict=True), key=lambda each: each[1].cpu)
    return {
        "n": done.n,
        "reached": done.passed,
        "cpu": {"median": round(median(each.cpu for each in took), 3), "most": round(seconds.cpu, 3)},
        "clock": {
            "median": round(median(each.clock for each in took), 3),
            "most": round(max(each.clock for each in took), 3),
        },
        "longest": {"task": longest.task, "steps": longest.steps, "tokens": longest.tokens},
        "seconds": {
            each.task: {"cpu": round(spent.cpu, 3), "clock": round(spent.clock, 3)}
            for each, spent in zip(done.results, took, strict=True)
        },
    }


def _print(report: dict[str, Any]) -> bool:
    """Print the figures; whether all targets are met."""
    speed, episodes = report["speed"], report["episodes"]
    where = "one thread, not pinned" if report["core"] is None else f"one thread on core {report['core']}"
    print(f"{speed['parameters'] / 1e6:.2f}M parameters in {speed['dtype']}, {where}")
    context = f"{speed['context']:,} tokens of {speed['characters_per_token']} characters each"
    print(f"\ntokens per second, {speed['tokens']} after a context of {context}")
    print(f"{'':24}{'processor':>10}{'least':>8}{'most':>8}{'clock':>8}")
    rates = {name: {kind: median(each) for kind, each in of.items()} for name, of in speed["rates"].items()}
    for name, of in speed["rates"].items():
        least, most = min(of["cpu"]), max(of["cpu"])
        print(f"{name:24}{rates[name]['cpu']:10.0f}{least:8.0f}{most:8.0f}{rates[name]['clock']:8.0f}")
    ours, theirs = rates["autoagent"]["cpu"], rates["transformers"]["cpu"]
    print(f"ratio of medians {ours / theirs:.2f}; the same tokens: {speed['same']} of {speed['tokens']}")
    print(f"target: {RATE} tokens per second: {_met(ours >= RATE)}")
    small = report["bytes"] <= SIZE * 1e6
    print(f"\nfolder of the model: {report['bytes'] / 1e6:.1f} MB; target: at most {SIZE}: {_met(small)}")
    if not episodes:
        return bool(ours >= RATE and small)
    return _print_episodes(episodes) and bool(ours >= RATE and small)


def _print_episodes(episodes: dict[str, Any]) -> bool:
    cpu, clock, longest = episodes["cpu"], episodes["clock"], episodes["longest"]
    print(f"\nepisodes of the smoke suite: {episodes['n']}, of which {episodes['reached']} reach their goal")
    print(f"{'':24}{'processor':>10}{'clock':>8}")
    for name in ("median", "most"):
        print(f"{name + ', in seconds':24}{cpu[name]:10.2f}{clock[name]:8.2f}")
    print(f"longest: {longest['task']}, {longest['steps']} steps, {longest['tokens']:,} tokens")
    print(f"target: at most {EPISODE:.0f} s each: {_met(cpu['most'] <= EPISODE)}")
    return bool(cpu["most"] <= EPISODE)


def _met(met: bool) -> str:
    return "met" if met else "missed"


if __name__ == "__main__":
    raise SystemExit(main())
