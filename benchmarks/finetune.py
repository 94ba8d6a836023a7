"""Fine-tuning: tokens a second and peak memory of our trainer, beside TRL's SFTTrainer on the same examples.

    python benchmarks/finetune.py                       # half an hour; needs `pip install -e '.[trl]'`
    python benchmarks/finetune.py --pairs 7 --out FILE.json
    python benchmarks/finetune.py --quick               # a minute: two sides, whether it works

The embedded model, its weights spoiled by noise so that there is something to learn, is trained on
demonstrations of the generated worlds: all sides get the same ids and loss masks, the same passes over them,
the same peak rate, its rise and fall, Adam with the same betas and decay, the same limit on the gradients,
and as many updates as whole examples allow. What is left to each side is how it computes:

autoagent   our trainer as `autoagent finetune` calls it: batches of like lengths by tokens, precision and
            threads measured
TRL         SFTTrainer as it comes: bf16 autocast, gradient checkpointing, examples in random order
TRL, tuned  the same without gradient checkpointing, examples of like lengths together; in bf16 and in fp32

Every training is a process of its own, from the import to the written model; the sides take turns. Tokens
per second are those of the training loop as each side counts them itself (padding is not counted); the clock
and the processor's seconds of the whole process stand beside them, and its peak memory as the system tells
it. The loss of every model made is measured afterwards, by one piece of code in fp32, on examples held out.
Ratios are of the two sides of one lap; the median, the least and the most of the laps are given.

Two threads that wait for each other crawl where other programs take turns with them: on a busy machine give
`--threads 1`, for all sides. The exit status is 1 when a target is missed against TRL as it comes (`--quick`:
never).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

# This process imports neither torch nor autoagent: on Linux a child's peak memory is at least its parent's.
SPEED, MEMORY, LOSS = 1.5, 1.0, 0.01  # targets: times as fast, times the memory, nats that count as equal
NOISE = 0.5  # of each matrix's spread, added to the weights at the start
WARMUP, DECAY, WEIGHT_DECAY = 0.02, 0.4, 0.01  # the defaults of `autoagent finetune`
OURS, PLAIN = "autoagent", "TRL"
TUNED = {"TRL, tuned, bf16": True, "TRL, tuned, fp32": False}
SIDES = (OURS, PLAIN, *TUNED)
COLUMNS = {
    "tokens_per_second": ("tokens/s", 10, 0),
    "memory": ("peak MB", 10, 0),
    "loss": ("held out", 10, 4),
    "clock": ("clock s", 9, 1),
    "cpu": ("CPU s", 9, 1),
    "steps": ("updates", 9, 0),
}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    if options.step:
        {"data": _make_data, "train": _train, "loss": _losses}[options.step](options)
        return 0
    if _version("trl") is None:
        print("TRL is not installed: pip install 'autoagent[trl]'", file=sys.stderr)
        return 2
    with TemporaryDirectory(prefix="autoagent-finetune-") as folder:
        options.work = Path(folder)
        _child(options, "data")
        laps = [_lap(options, number) for number in range(options.pairs)]
        _child(options, "loss")
        losses = json.loads((options.work / "losses.json").read_text(encoding="utf-8"))
    for number, lap in enumerate(laps):
        for side, found in lap.items():
            found["loss"] = losses[_name(number, side)]
    plan = losses["plan"] | {"loss before": losses["base"], "pairs": options.pairs}
    versions = {each: _version(each) for each in ("torch", "transformers", "trl")}
    report = {"plan": plan, "versions": versions, "laps": laps, "ratios": _ratios(laps)}
    met = _print(report)
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0 if met or options.quick else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=5, help="laps of all sides")
    parser.add_argument("--examples", type=int, default=320, help="to train on")
    parser.add_argument("--held-out", type=int, default=96, help="examples to measure the loss on")
    parser.add_argument("--epochs", type=int, default=3, help="passes over the examples")
    parser.add_argument("--batch-tokens", type=int, default=2048, help="tokens an update, padding counted")
    parser.add_argument("--rate", type=float, default=1e-3, help="peak learning rate")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: each side's own choice")
    parser.add_argument("--quick", action="store_true", help="one lap on few examples")
    parser.add_argument("--out", type=Path, help="write all figures there, as JSON")
    for own in ("--step", "--side", "--work", "--into"):  # of the processes that this one starts
        parser.add_argument(own, type=Path if own in ("--work", "--into") else str, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.quick:
        options.pairs, options.examples, options.held_out, options.epochs, options.threads = 1, 8, 4, 1, 1
    if min(options.pairs, options.examples, options.held_out, options.epochs) < 1:
        parser.error("--pairs, --examples, --held-out and --epochs must be at least 1")
    return options


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _name(number: int, side: str) -> str:
    return f"{number}-{SIDES.index(side)}"


def _lap(options: argparse.Namespace, number: int) -> dict[str, dict[str, Any]]:
    """Every side once; the next lap goes the other way round."""
    found = {}
    sides = SIDES[:2] if options.quick else SIDES
    for side in sides[:: -1 if number % 2 else 1]:
        into = options.work / _name(number, side)
        used = _child(options, "train", "--side", side, "--into", str(into))
        told = json.loads((into / "told.json").read_text(encoding="utf-8"))
        found[side] = told | used | {"tokens_per_second": told["tokens"] / told["seconds"]}
        speed, memory = found[side]["tokens_per_second"], found[side]["memory"]
        line = f"{number + 1}/{options.pairs} {side}: {speed:,.0f} tokens/s, {memory:,.0f} MB"
        print(line, file=sys.stderr, flush=True)
    return {side: found[side] for side in sides}


def _child(options: argparse.Namespace, step: str, *more: str) -> dict[str, float]:
    """Run a step in a process of its own: its seconds by clock and processor, and its peak memory in MB."""
    given = ("pairs", "examples", "held_out", "epochs", "batch_tokens", "rate", "threads", "work")
    flags = [word for name in given for word in (f"--{name.replace('_', '-')}", str(getattr(options, name)))]
    command = [sys.executable, __file__, "--step", step, *flags, *more]
    quiet = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TRANSFORMERS_VERBOSITY": "error"}
    log = options.work / f"{step}.log"
    began = time.perf_counter()
    with log.open("w", encoding="utf-8") as told:
        process = subprocess.Popen(command, env=os.environ | quiet, stdout=told, stderr=told)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        text = log.read_text(encoding="utf-8", errors="replace")
        raise SystemExit(f"{step} {' '.join(more)} ended with {process.returncode}:\n{text}")
    kilo = 1024 if sys.platform == "linux" else 1  # macOS counts bytes
    clock, cpu = time.perf_counter() - began, used.ru_utime + used.ru_stime
    return {"clock": clock, "cpu": cpu, "memory": used.ru_maxrss * kilo / 1e6}


def _make_data(options: argparse.Namespace) -> None:
    """The model to start from, the examples, and how many of them make an update."""
    from spoiled import spoil_weights
    from transformers import AutoTokenizer

    from autoagent.models.load import load_model
    from autoagent.nano.data import as_text, demonstrations, encode

    folder = load_model("embedded", device="cpu").engine.folder
    spoil_weights(folder, options.work / "base", NOISE, seed=0)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for name, count in (("train", options.examples), ("held", options.held_out)):
        shown = demonstrations(f"finetune {name}", count)
        made = [encode(as_text(each, tokenizer), tokenizer) for each in shown]
        (options.work / f"{name}.json").write_text(json.dumps(made), encoding="utf-8")


def _examples(options: argparse.Namespace, name: str) -> list[tuple[list[int], list[int]]]:
    """Ids and loss mask of each example."""
    read: list[tuple[list[int], list[int]]] = json.loads((options.work / f"{name}.json").read_text("utf-8"))
    return read


def _batches(options: argparse.Namespace) -> Any:
    from autoagent.training.batches import Batches, Examples

    source = Examples(_examples(options, "train"))
    return Batches(source, tokens=options.batch_tokens, max_length=4096)


def _train(options: argparse.Namespace) -> None:
    options.into.mkdir()
    side = _train_ours if options.side == OURS else _train_theirs
    told = side(options)
    (options.into / "told.json").write_text(json.dumps(told), encoding="utf-8")


def _train_ours(options: argparse.Namespace) -> dict[str, Any]:
    from autoagent.models.engine import load_engine
    from autoagent.training.learning import Learning
    from autoagent.training.sft import write_model
    from autoagent.training.trainer import TrainerConfig, fit

    engine = load_engine(options.work / "base", device="cpu", dtype="float32", trust_remote_code=False)
    usual, batches = Learning(), _batches(options)
    config = TrainerConfig(
        steps=options.epochs * batches.batches_per_pass(),
        learning_rate=options.rate,
        weight_decay=usual.weight_decay,
        warmup=usual.warmup,
        decay=usual.decay,
        device="cpu",
        threads=options.threads,
    )
    report = fit(engine.model, batches, config)
    write_model(engine, options.into)
    how = {"precision": report.precision, "threads": report.threads}
    return how | {"tokens": report.tokens, "steps": report.steps, "seconds": report.seconds}


def _train_theirs(options: argparse.Namespace) -> dict[str, Any]:
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    if options.threads:
        torch.set_num_threads(options.threads)
    examples = _examples(options, "train")
    rows = [
        {"input_ids": ids, "labels": [one if wanted else -100 for one, wanted in zip(ids, mask, strict=True)]}
        for ids, mask in examples
    ]
    size = round(len(rows) / _batches(options).batches_per_pass())
    steps = options.epochs * -(-len(rows) // size)
    tuned = {} if options.side == PLAIN else {
        "bf16": TUNED[options.side],
        "gradient_checkpointing": False,
        "train_sampling_strategy": "group_by_length",
    }  # fmt: skip
    config = SFTConfig(
        output_dir=str(options.into / "trainer"),
        use_cpu=True,
        num_train_epochs=options.epochs,
        per_device_train_batch_size=size,
        learning_rate=options.rate,
        weight_decay=WEIGHT_DECAY,
        adam_beta2=0.95,
        warmup_steps=round(WARMUP * steps),
        lr_scheduler_type="warmup_stable_decay",
        lr_scheduler_kwargs={"num_decay_steps": round(DECAY * steps), "decay_type": "linear"},
        max_length=None,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        **tuned,
    )
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(options.work / "base", dtype=torch.float32),
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(options.work / "base"),
    )
    done = trainer.train()
    trainer.save_model(str(options.into))
    return {
        "precision": "bf16 autocast" if config.bf16 else "fp32",
        "threads": torch.get_num_threads(),
        "tokens": options.epochs * sum(len(ids) for ids, _ in examples),
        "steps": done.global_step,
        "seconds": done.metrics["train_runtime"],
    }


def _losses(options: argparse.Namespace) -> None:
    """The loss of every model on the examples held out, in nats per target token."""
    from autoagent.models.engine import load_engine
    from autoagent.training.batches import Batches, Examples
    from autoagent.training.losses import mean_loss, token_loss

    held = Batches(Examples(_examples(options, "held")), tokens=8192, max_length=4096)
    found: dict[str, Any] = {}
    for folder in sorted(options.work.iterdir()):
        if (folder / "config.json").exists():
            engine = load_engine(folder, device="cpu", dtype="float32", trust_remote_code=False)
            found[folder.name] = mean_loss(engine.model, held, token_loss, "cpu")
    examples = _examples(options, "train")
    lengths = sorted(len(ids) for ids, _ in examples)
    found["plan"] = {
        "examples": len(examples),
        "tokens": sum(lengths),
        "targets": sum(sum(mask) for _, mask in examples),
        "lengths": [lengths[0], round(median(lengths)), lengths[-1]],
        "epochs": options.epochs,
        "batch_tokens": options.batch_tokens,
        "rate": options.rate,
        "parameters": engine.model.num_parameters(),
    }
    (options.work / "losses.json").write_text(json.dumps(found), encoding="utf-8")


def _ratios(laps: Sequence[dict[str, dict[str, Any]]]) -> dict[str, dict[str, list[float]]]:
    """Ours over each of the others, lap by lap; of the loss the difference."""
    return {
        side: {
            "speed": [lap[OURS]["tokens_per_second"] / lap[side]["tokens_per_second"] for lap in laps],
            "processor": [lap[side]["cpu"] / lap[OURS]["cpu"] for lap in laps],
            "memory": [lap[OURS]["memory"] / lap[side]["memory"] for lap in laps],
            "loss": [lap[OURS]["loss"] - lap[side]["loss"] for lap in laps],
        }
        for side in laps[0]
        if side != OURS
    }


def _print(report: dict[str, Any]) -> bool:
    """Print the figures; whether the targets are met against TRL as it comes."""
    plan, laps = report["plan"], report["laps"]
    shortest, middle, longest = plan["lengths"]
    print(
        f"{plan['parameters'] / 1e6:.2f}M parameters; {plan['examples']} examples of {shortest} to {longest}"
    )
    print(f"tokens (median {middle}), {plan['tokens']:,} in all, {plan['targets']:,} of them targets;")
    print(f"{plan['epochs']} passes, peak rate {plan['rate']:g}; loss before {plan['loss before']:.4f}")
    print(", ".join(f"{name} {number}" for name, number in report["versions"].items()))
    print(
        f"\nmedians of {len(laps)}{'':14}" + "".join(f"{head:>{wide}}" for head, wide, _ in COLUMNS.values())
    )
    for side in laps[0]:
        middles = {name: median(lap[side][name] for lap in laps) for name in COLUMNS}
        row = "".join(f"{middles[name]:{wide},.{digits}f}" for name, (_, wide, digits) in COLUMNS.items())
        how = laps[0][side]
        print(f"{side:24}{row}   {how['precision']}, threads: {how['threads']}")
    print(f"\nautoagent against{'':7}{'tokens/s':>20}{'CPU':>20}{'memory':>20}{'loss, difference':>28}")
    for side, ratios in report["ratios"].items():
        told = (_spread(ratios[name]) for name in ("speed", "processor", "memory"))
        print(f"{side:24}" + "".join(f"{each:>20}" for each in told) + f"{_spread(ratios['loss'], 4):>28}")
    return _targets(report["ratios"][PLAIN])


def _targets(ratios: dict[str, list[float]]) -> bool:
    speed, memory, loss = (median(ratios[name]) for name in ("speed", "memory", "loss"))
    equal = loss <= LOSS
    print(f"\ntargets against {PLAIN} as it comes: {SPEED} times its tokens/s: {_met(speed >= SPEED)};")
    print(f"at most {MEMORY} times its memory: {_met(memory <= MEMORY)};")
    print(f"at a loss not above its own by more than {LOSS}: {_met(equal)}")
    return bool(speed >= SPEED and memory <= MEMORY and equal)


def _spread(values: Sequence[float], digits: int = 2) -> str:
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}, {max(values):.{digits}f})"


def _met(met: bool) -> str:
    return "met" if met else "missed"


if __name__ == "__main__":
    raise SystemExit(main())
