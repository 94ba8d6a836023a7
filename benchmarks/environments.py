"""Outside environments: what BabyAI's bot, chance and a model reach on BabyAI levels and reasoning-gym tasks.

    python benchmarks/environments.py                                # the embedded model
    python benchmarks/environments.py --model PATH --count 50 --max-steps 64

All three go through the agent: the same tools, observations and check. The bot sees the whole grid; for a
question it is the data set's own answer. Chance takes actions at random; questions are not guessed.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterable, Sequence

from autoagent.config import Limits
from autoagent.evals import Report, run_suite, run_task
from autoagent.evals.environment import environment_suite
from autoagent.evals.worlds import GROUPS
from autoagent.evals.worlds.grid import GridWorld
from autoagent.evals.worlds.reasoning import reasoning_gym
from autoagent.models.load import load_model
from autoagent.models.protocol import Expect, Json, Model
from autoagent.models.scripted import Line, ScriptedModel
from autoagent.trajectory import Message, ToolCall

OVER = "The episode is over"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="embedded", help="who does it")
    parser.add_argument("--count", type=int, default=20, help="episodes of each environment")
    parser.add_argument("--max-steps", type=int, default=32, help="model calls of a run")
    parser.add_argument("names", nargs="*", default=list(GROUPS), help="environments or groups")
    options = parser.parse_args()
    model = load_model(options.model)
    limits = Limits(max_steps=options.max_steps, max_tokens=10**6)
    print(
        f"{options.count} episodes each, at most {options.max_steps} steps; {options.model}: {model.version}"
    )
    print("\n| environment | bot | chance | model | mean reward | lost, by kind |")
    print("|---|---:|---:|---:|---:|---|")
    for name in (each for group in options.names for each in GROUPS.get(group, (group,))):
        print(row(name, options.count, model, limits), flush=True)


def row(name: str, count: int, model: Model, limits: Limits) -> str:
    """One line of the table."""
    suite = environment_suite(name, count=count)
    puzzle = name.startswith("reasoning_gym/")
    play = right_answer if puzzle else bot
    best = sum(
        run_task(task, model=script(play(name, seed)), limits=limits).success
        for seed, task in enumerate(suite.tasks)
    )
    luck = "" if puzzle else share(run_suite(suite, model=chance(GridWorld(name).actions), limits=limits))
    found = run_suite(suite, model=model, limits=limits)
    lost = ", ".join(f"{number} {kind}" for kind, number in found.failures.items())
    mean = sum(result.verdict.score or 0 for result in found.results) / count
    return f"| {name} | {best}/{count} | {luck} | {share(found)} | {mean:.2f} | {lost} |"


def share(report: Report) -> str:
    return f"{report.passed}/{report.n}"


def script(calls: Sequence[ToolCall]) -> ScriptedModel:
    return ScriptedModel([["do it"], *calls], window=10**6)


def bot(level: str, seed: int) -> list[ToolCall]:
    """What BabyAI's own bot does."""
    from minigrid.utils.baby_ai_bot import BabyAIBot

    world = GridWorld(level)
    world.reset(seed=seed)
    player, names, over, action = BabyAIBot(world.grid), list(world.actions), False, None
    calls: list[ToolCall] = []
    while not over:
        action = player.replan(action)
        calls.append(act(names[int(action)]))
        _, _, ended, cut, _ = world.step(names[int(action)])
        over = ended or cut
    return [*calls, finish("done")]


def right_answer(name: str, seed: int) -> list[ToolCall]:
    """The data set's own answer."""
    return [finish(str(reasoning_gym(name.partition("/")[2], seed)[0]["answer"]))]


def chance(actions: Iterable[str]) -> ScriptedModel:
    """Actions at random, the same at each call of this program."""
    names, dice = list(actions), random.Random(0)

    def author(messages: Sequence[Message], expect: Expect) -> Line:
        if isinstance(expect, Json):
            return ["do it"]
        return finish("done") if OVER in messages[-1].content else act(dice.choice(names))

    return ScriptedModel(author, window=10**6)


def act(action: str) -> ToolCall:
    return ToolCall(name="act", arguments={"action": action})


def finish(answer: str) -> ToolCall:
    return ToolCall(name="finish", arguments={"answer": answer})


if __name__ == "__main__":
    main()
