"""GRPO with our own loop as the rollout and the check's score as the reward, by TRL's GRPOTrainer.

    python benchmarks/grpo.py                                  # a BabyAI level; needs `[trl,environments]`
    python benchmarks/grpo.py --suite builtin --family days_after --warm 0
    python benchmarks/grpo.py --updates 60 --out FILE.json --picture curve.png --save FOLDER
    python benchmarks/grpo.py --quick                          # a few minutes: only whether it works

GRPO learns from the differences within a group of runs of one goal. Where all of a group end alike there is
no gradient, so it needs a start that reaches a goal now and then: on a BabyAI level the model first imitates
a few episodes of the level's own bot (``--warm``). Then, update by update: some goals are drawn, each is run
several times at temperature 1 through the agent (the same loop, tools, observations and grammar as ever, with
the weights of that moment), and the score of each run's verdict is its reward. TRL is given the token ids as
they were seen and sampled; what the model did not sample (observations, forced tokens) is masked out of its
loss. Before and after, held-out episodes are run greedily, paired, in fresh worlds.

The likelihoods are those of the model itself, not of the model under the grammar's mask: a little off where
the mask takes much away. Continuous batching is TRL's, and off: it takes 12 GB on a CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

os.environ |= {"HF_HUB_DISABLE_TELEMETRY": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}  # before they are imported

from environments import bot

from autoagent.cli.eval_suites import chosen, find_suite
from autoagent.config import Limits, Sampling
from autoagent.evals import Report, Suite, Task, compare, run_suite, run_task
from autoagent.models.engine import Engine
from autoagent.models.load import load_model
from autoagent.models.local import LocalModel
from autoagent.models.protocol import ToolSchema
from autoagent.models.scripted import ScriptedModel, ScriptedSession
from autoagent.nano.data import as_text, encode
from autoagent.nano.expert import Demonstration
from autoagent.store import Store
from autoagent.training.dataset import Dataset, Example
from autoagent.training.examples import Gathering
from autoagent.training.learning import How
from autoagent.training.sft import FinetuneProgress, train, write_model
from autoagent.training.sheet import DataSheet
from autoagent.trajectory import Message, Trajectory

SHOWN = 10_000  # seed of the first episode that the bot shows; far from those of the suite


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    warnings.simplefilter("ignore")
    model = load_model(options.model, device=options.device, dtype="float32")
    if not isinstance(model, LocalModel):
        raise SystemExit("--model has to be a model on this machine")
    began = time.monotonic()
    practice, held_out = _suites(options)
    if options.warm:
        _warm_up(model, options)
    before = _measure(model, held_out, options, "before")
    rollouts = Rollouts(model, practice, options)
    _improve(model, rollouts, options)
    model.engine = Engine(model.engine.model, model.engine.tokenizer, model.engine.folder)
    after = _measure(model, held_out, options, "after")
    if options.save:
        options.save.mkdir(parents=True, exist_ok=True)
        write_model(model.engine, options.save)
    _print(options, rollouts, before, after, time.monotonic() - began)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--model", default="embedded", help="what to start from")
    add("--suite", default="env:BabyAI-GoToObjS6-v1", help="as for autoagent eval")
    add("--family", action="append", default=[], help="only these families of the suite")
    add("--warm", type=int, default=48, help="episodes of the bot to imitate first; BabyAI only; 0: none")
    add("--warm-epochs", type=int, default=4, help="passes over them")
    add("--goals", type=int, default=64, help="practised on")
    add("--held-out", type=int, default=60, help="episodes measured before and after")
    add("--updates", type=int, default=40, help="of the weights")
    add("--per-update", type=int, default=4, help="goals an update")
    add("--group", type=int, default=8, help="runs of each goal")
    add("--rate", type=float, default=5e-5, help="peak learning rate")
    add("--max-steps", type=int, default=16, help="model calls of a run")
    add("--device", default="auto", help="cpu, cuda")
    add("--seed", type=int, default=0)
    add("--quick", action="store_true", help="as little as shows that it works")
    add("--out", type=Path, help="write all figures there, as JSON")
    add("--picture", type=Path, help="draw the rewards there, .png or .svg; needs matplotlib")
    add("--save", type=Path, help="write the trained model there")
    options = parser.parse_args(arguments)
    if options.warm and not options.suite.startswith("env:BabyAI-"):
        parser.error("--warm needs a BabyAI level, whose bot shows the way: give --warm 0")
    if options.quick:
        options.warm, options.goals, options.held_out = min(options.warm, 8), 4, 4
        options.updates, options.per_update, options.group, options.max_steps = 2, 2, 3, 6
    return options


def _suites(options: argparse.Namespace) -> tuple[Suite, Suite]:
    """Goals to practise on, and others to measure on."""
    count = options.goals + options.held_out
    tasks: dict[str, Task] = {}
    found = chosen(find_suite(options.suite), {"family": options.family})
    for seed in range(1_000):
        made = found if isinstance(found, Suite) else found(seed)
        tasks |= {task.id: task for task in made.tasks}
        if isinstance(found, Suite) or len(tasks) >= count:
            break
    every = list(tasks.values())
    if len(every) < count:
        raise SystemExit(
            f"{options.suite} has {len(every)} goals, {count} are wanted: lower --goals or --held-out"
        )
    practice, rest = every[: options.goals], every[options.goals : count]
    return Suite(options.suite, tuple(practice)), Suite(options.suite, tuple(rest))


def _limits(options: argparse.Namespace) -> Limits:
    return Limits(max_steps=options.max_steps)


def _measure(model: LocalModel, suite: Suite, options: argparse.Namespace, when: str) -> Report:
    report = run_suite(suite, model=model, limits=_limits(options))
    print(f"{when}: {report.passed} of {report.n}", file=sys.stderr, flush=True)
    return report


@dataclass
class Shown:
    """The bot as a model with the learner's habits; its conversation is what the learner would have seen."""

    script: ScriptedModel
    folder: Path  # whose habits it has
    window: int = 10**6
    version: str = "bot"
    session: ScriptedSession | None = None

    def open(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> ScriptedSession:
        self.session = self.script.open(messages, tools)
        return self.session

    def count(self, text: str) -> int:
        return self.script.count(text)


def _warm_up(model: LocalModel, options: argparse.Namespace) -> None:
    """Imitate the bot in episodes that are neither practised on nor measured."""
    from autoagent.evals.environment import environment_suite

    level, tokenizer, examples = options.suite.removeprefix("env:"), model.engine.tokenizer, []
    for number in range(SHOWN, SHOWN + options.warm):
        (task,) = environment_suite(level, number, 1).tasks
        show = Shown(ScriptedModel([["do it"], *bot(level, number)]), model.engine.folder)
        if run_task(task, model=show, limits=Limits(max_steps=128, max_tokens=10**6)).success:
            assert show.session is not None
            told = Demonstration(tuple(show.session.messages), tuple(show.session.tools), "finished", "")
            ids, mask = encode(as_text(told, tokenizer), tokenizer)
            examples.append(Example(ids=tuple(ids), mask=tuple(mask), run_id="", goal=task.id))
    fit = [each for each in examples if len(each.ids) <= model.window]
    how = How(epochs=options.warm_epochs, device=options.device, seed=options.seed)
    done = train(model.engine, Dataset(tuple(fit), (), DataSheet()), how, _silent)
    model.engine = Engine(model.engine.model, tokenizer, model.engine.folder)
    losses = done.train_loss
    print(
        f"warm: {len(fit)} episodes of the bot, loss {losses.before:.3f} → {losses.after:.3f}",
        file=sys.stderr,
        flush=True,
    )


def _silent(progress: FinetuneProgress) -> None: ...


@dataclass
class Rollouts:
    """Runs of goals with the weights of the moment: what TRL asks for as ``rollout_func``."""

    model: LocalModel
    suite: Suite
    options: argparse.Namespace
    made: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)  # an update each

    def __post_init__(self) -> None:
        self.tasks = {task.id: task for task in self.suite.tasks}

    def __call__(self, prompts: Sequence[str], trainer: Any) -> dict[str, Any]:
        """One run for each prompt, which is a task's id and stands there as often as its group is large."""
        began, engine = time.monotonic(), self.model.engine
        self.model.engine = Engine(engine.model, engine.tokenizer, engine.folder)  # with the weights of now
        try:
            runs = [self._run(self.tasks[prompt]) for prompt in prompts]
        finally:
            engine.model.train()
        rewards = [run.verdict.score or 0.0 for run in runs]
        groups = [rewards[at : at + self.options.group] for at in range(0, len(rewards), self.options.group)]
        self.curve.append(
            {
                "reward": mean(rewards),
                "success": mean(run.verdict.status == "verified" for run in runs),
                "telling": mean(len(set(group)) > 1 for group in groups),
                "seconds": time.monotonic() - began,
            }
        )
        told = ", ".join(f"{name} {value:.2f}" for name, value in self.curve[-1].items())
        print(f"{len(self.curve)}/{self.options.updates}: {told}", file=sys.stderr, flush=True)
        return self._as_trl([self._tokens(run) for run in runs]) | {"reward": rewards}

    def _run(self, task: Task) -> Trajectory:
        self.made += 1
        with TemporaryDirectory(prefix="autoagent-grpo-") as folder:
            result = run_task(
                task,
                model=self.model,
                home=Path(folder),
                kept=False,
                limits=_limits(self.options),
                seed=self.options.seed * 1_000_003 + self.made,
                sampling=Sampling(temperature=1.0),
            )
            store = Store(Path(folder))
            try:
                return store.load(str(result.run_id))
            finally:
                store.close()

    def _tokens(self, run: Trajectory) -> tuple[Sequence[int], Sequence[int]]:
        """Ids and mask of what was sampled; of a run whose context was cut back, the longest piece."""
        gathering = Gathering(False, self.model.window, frozenset(), Counter())
        gathering.take(run, good=run.verdict.status == "verified")
        found = max((*gathering.good, *gathering.bad), key=lambda each: len(each.ids), default=None)
        return (found.ids, found.mask) if found else (self.model.audit.ends[:1] * 2, (0, 0))

    @staticmethod
    def _as_trl(pieces: Sequence[tuple[Sequence[int], Sequence[int]]]) -> dict[str, Any]:
        """The prompt ends where the first target begins; what is no target after it is masked."""
        cuts = [list(mask).index(1) if 1 in mask else 1 for _, mask in pieces]
        return {
            "prompt_ids": [list(ids[:cut]) for (ids, _), cut in zip(pieces, cuts, strict=True)],
            "completion_ids": [list(ids[cut:]) for (ids, _), cut in zip(pieces, cuts, strict=True)],
            "env_mask": [list(mask[cut:]) for (_, mask), cut in zip(pieces, cuts, strict=True)],
            "logprobs": None,  # on-policy: those of the weights that are trained
        }


def the_checks_score(completions: Sequence[str], reward: Sequence[float], **_: Any) -> list[float]:
    """The reward TRL asks for: it came with the rollout."""
    return list(reward)


def _improve(model: LocalModel, rollouts: Rollouts, options: argparse.Namespace) -> None:
    from datasets import Dataset as Table
    from transformers.trainer_callback import PrinterCallback
    from trl import GRPOConfig, GRPOTrainer

    from autoagent.training.placement import pick_device

    cpu = pick_device(options.device) == "cpu"
    with TemporaryDirectory(prefix="autoagent-grpo-") as folder:
        settings = GRPOConfig(
            output_dir=folder,
            max_steps=options.updates,
            num_generations=options.group,
            per_device_train_batch_size=options.group,
            gradient_accumulation_steps=options.per_update,
            learning_rate=options.rate,
            lr_scheduler_type="constant_with_warmup",
            warmup_steps=min(3, options.updates // 2),
            adam_beta2=0.95,
            temperature=1.0,
            bf16=False,
            gradient_checkpointing=False,
            use_transformers_continuous_batching=False,
            use_cpu=cpu,
            dataloader_pin_memory=not cpu,
            seed=options.seed,
            save_strategy="no",
            report_to="none",
            logging_strategy="no",
            disable_tqdm=True,
        )
        trainer = GRPOTrainer(
            model=model.engine.model,
            reward_funcs=the_checks_score,
            args=settings,
            train_dataset=Table.from_list([{"prompt": name} for name in rollouts.tasks]),
            processing_class=model.engine.tokenizer,
            rollout_func=rollouts,
        )
        trainer.remove_callback(PrinterCallback)  # it prints every log
        trainer.train()
    model.engine.model.__dict__.pop("forward", None)  # as TRL wrapped it


def _print(
    options: argparse.Namespace, rollouts: Rollouts, before: Report, after: Report, seconds: float
) -> None:
    curve, change = rollouts.curve, compare(before, after)
    print(f"{options.suite} {' '.join(options.family)}: {len(rollouts.tasks)} goals to practise on,")
    print(f"{options.group} runs of {options.per_update} of them an update, {rollouts.made} runs in all")
    print(f"\n{'updates':>10}{'reward':>10}{'success':>10}{'groups that tell':>20}{'s':>8}")
    size = max(1, len(curve) // 10)
    for at in range(0, len(curve), size):
        part = curve[at : at + size]
        means = {name: mean(each[name] for each in part) for name in part[0]}
        row = (
            f"{means['reward']:10.3f}{means['success']:10.3f}{means['telling']:20.2f}{means['seconds']:8.1f}"
        )
        print(f"{f'{at + 1}–{at + len(part)}':>10}{row}")
    print(f"\nheld out, greedy: {before.passed} → {after.passed} of {after.n}; {seconds / 60:.1f} minutes")
    print(
        f"change {change.difference:+.1%} ({change.low:+.1%} to {change.high:+.1%}), McNemar p {change.p:.3g}"
    )
    if options.picture:
        _draw(options.picture, curve)
    if options.out:
        found = {"options": {name: str(value) for name, value in vars(options).items()}, "curve": curve}
        found |= {"before": before.passed, "after": after.passed, "held_out": after.n, "seconds": seconds}
        found |= {"change": change.model_dump(mode="json", exclude={"families", "splits"})}
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _draw(path: Path, curve: Sequence[dict[str, float]]) -> None:
    from autoagent.training.curves import new_figure, smooth, write_figure

    figure = new_figure()
    panel = figure.subplots()
    for name in ("reward", "success"):
        points = smooth([(float(at), each[name]) for at, each in enumerate(curve, start=1)], window=5)
        panel.plot([x for x, _ in points], [y for _, y in points], label=f"{name}, mean of 5 updates")
    panel.set_xlabel("updates")
    panel.set_ylim(0, 1)
    panel.grid(visible=True, alpha=0.25)
    panel.legend()
    write_figure(figure, path)


if __name__ == "__main__":
    raise SystemExit(main())
