"""Environments that come with the program, by name. What they need is the extra ``environments``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from autoagent.errors import UsageError

if TYPE_CHECKING:
    from autoagent.evals.environment import Environment

GROUPS = {
    "babyai": (
        "BabyAI-GoToRedBallNoDists-v0",
        "BabyAI-GoToRedBall-v0",
        "BabyAI-GoToObjS6-v1",
        "BabyAI-GoToLocalS6N2-v0",
        "BabyAI-OpenDoor-v0",
        "BabyAI-PickupLoc-v0",
    ),
    "reasoning_gym": (
        "reasoning_gym/basic_arithmetic",
        "reasoning_gym/chain_sum",
        "reasoning_gym/products",
        "reasoning_gym/decimal_chain_sum",
        "reasoning_gym/gcd",
        "reasoning_gym/calendar_arithmetic",
        "reasoning_gym/letter_counting",
        "reasoning_gym/spell_backward",
    ),
}


def members(name: str) -> tuple[str, ...]:
    """The environments of a group; of any other name, itself."""
    return GROUPS.get(name, (name,))


def maker(name: str) -> Callable[[], Environment]:
    """What makes an environment: a BabyAI or MiniGrid level, or a task of reasoning-gym.

    Raises:
        UsageError: there is none of that name, or what it needs is not installed.
    """
    if name.startswith(("BabyAI-", "MiniGrid-")):
        from autoagent.evals.worlds.grid import GridWorld, check_level

        check_level(name)
        return partial(GridWorld, name)
    library, _, task = name.partition("/")
    if library == "reasoning_gym" and task:
        from autoagent.evals.worlds.reasoning import Puzzle, check_puzzle, reasoning_gym

        check_puzzle(task)
        return partial(Puzzle, partial(reasoning_gym, task))
    known = ", ".join(GROUPS)
    raise UsageError(
        f"there is no environment {name}: name {known}, a level such as BabyAI-GoToObj-v0, "
        "or a task such as reasoning_gym/chain_sum"
    )
