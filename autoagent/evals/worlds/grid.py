"""BabyAI and MiniGrid levels in words, as BabyAI-Text puts them: what is in view, where, and in hand."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from autoagent.evals.worlds.library import check_name, library

# MiniGrid's own encoding of a cell: (object, colour, state of a door). minigrid.core.constants
_NOTHING = (0, 1, 3)  # not in view, empty, floor
_WALL, _DOOR = 2, 4
_OBJECTS = {_DOOR: "door", 5: "key", 6: "ball", 7: "box", 8: "goal", 9: "lava", 10: "agent"}
_PLAIN = (8, 9)  # objects that always have the same colour
_COLOURS = ("red", "green", "blue", "purple", "yellow", "grey")
_DOOR_STATES = ("open", "closed", "locked")
_DIRECTIONS = ("east", "south", "west", "north")

_ACTIONS = {
    "turn_left": "Turn left on the spot",
    "turn_right": "Turn right on the spot",
    "go_forward": "Go one step forward",
    "pick_up": "Pick up the object 1 step ahead",
    "drop": "Put down what is carried, 1 step ahead",
    "toggle": "Open or close the door or box 1 step ahead",
    "done": "Say that the mission is fulfilled",
}
_NUMBERS = {name: number for number, name in enumerate(_ACTIONS)}  # as in MiniGrid's Actions
_UNUSED = {"BabyAI-": "done"}  # BabyAI sees by itself when a mission is fulfilled

Cells = Sequence[Sequence[Sequence[int]]]  # (column, row, 3): 0, 0 is far left; the agent is bottom middle


class GridWorld:
    """One level of BabyAI or MiniGrid. Reward as MiniGrid gives it: 1 − 0.9 × steps / most steps, or 0.

    Attributes:
        grid: The environment of gymnasium.
    """

    enough = 0.05  # a mission that is fulfilled brings at least 0.1, any other 0

    def __init__(self, level: str) -> None:
        self.grid = _gymnasium().make(level, disable_env_checker=True)
        unused = [name for prefix, name in _UNUSED.items() if level.startswith(prefix)]
        self.actions = {name: meaning for name, meaning in _ACTIONS.items() if name not in unused}

    def reset(self, *, seed: int) -> tuple[str, Mapping[str, Any]]:
        seen, _ = self.grid.reset(seed=seed)
        mission = str(seen["mission"])
        return _view(seen), {"goal": f"{mission[:1].upper()}{mission[1:]}."}

    def step(self, action: str) -> tuple[str, float, bool, bool, Mapping[str, Any]]:
        seen, reward, ended, cut, info = self.grid.step(_NUMBERS[action])
        return _view(seen), float(reward), bool(ended), bool(cut), info

    def close(self) -> None:
        self.grid.close()


def check_level(level: str) -> None:
    """Refuse a level that does not exist.

    Raises:
        UsageError: it does not, or minigrid is not installed.
    """
    check_name(level, _gymnasium().registry, "level")


def _gymnasium() -> Any:
    """Gymnasium, the levels of minigrid registered with it."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # pygame greets on stdout, where reports go
    library("minigrid")
    # It prints, also to stdout, whenever it draws a level anew.
    library("minigrid.envs.babyai.core.roomgrid_level").print = _say_nothing
    return library("gymnasium")


def _say_nothing(*words: object) -> None: ...


def _view(seen: Mapping[str, Any]) -> str:
    return view_in_words(seen["image"].tolist(), int(seen["direction"]))


def view_in_words(cells: Cells, direction: int) -> str:
    """What an agent that faces ``direction`` (0: east, clockwise) sees, nearest first, and what it carries.

    >>> floor = [[[1, 0, 0]] * 3 for _ in range(3)]
    >>> floor[0][1] = [6, 0, 0]
    >>> view_in_words(floor, 3)
    'You face north and carry nothing. You see a red ball 1 step ahead and 1 step to the left.'
    """
    middle, bottom = len(cells) // 2, len(cells[0]) - 1
    carried = _thing(cells[middle][bottom]) or "nothing"
    places = [
        (abs(column - middle) + bottom - row, thing, _where(bottom - row, column - middle))
        for column, line in enumerate(cells)
        for row, cell in enumerate(line)
        if (column, row) != (middle, bottom) and (thing := _thing(cell))
    ]
    walls = [(ahead + abs(right), "a wall", _where(ahead, right)) for ahead, right in _walls(cells)]
    things = [f"{thing} {where}" for _, thing, where in sorted([*places, *walls], key=lambda each: each[0])]
    seen = "; ".join(things) or "nothing but floor"
    return f"You face {_DIRECTIONS[direction]} and carry {carried}. You see {seen}."


def _thing(cell: Sequence[int]) -> str:
    """An object with its article; empty for walls and where there is none."""
    kind, colour, state = cell
    if kind in _NOTHING or kind == _WALL:
        return ""
    words = [_OBJECTS.get(kind, "thing")]
    if kind not in _PLAIN:
        words.insert(0, _COLOURS[colour])
    if kind == _DOOR:
        words.insert(0, _DOOR_STATES[state])
    return f"{'an' if words[0][0] in 'aeiou' else 'a'} {' '.join(words)}"


def _walls(cells: Cells) -> Iterator[tuple[int, int]]:
    """The nearest wall straight ahead, to the left and to the right, as (steps ahead, steps to the right)."""
    middle, bottom = len(cells) // 2, len(cells[0]) - 1
    lines = (
        [(ahead, 0) for ahead in range(1, bottom + 1)],
        [(0, -left) for left in range(1, middle + 1)],
        [(0, right) for right in range(1, len(cells) - middle)],
    )
    for line in lines:
        hits = (place for place in line if cells[middle + place[1]][bottom - place[0]][0] == _WALL)
        yield from [first] if (first := next(hits, None)) else []


def _where(ahead: int, right: int) -> str:
    parts = [_steps(ahead, "ahead")] if ahead else []
    parts += [_steps(abs(right), "to the right" if right > 0 else "to the left")] if right else []
    return " and ".join(parts)


def _steps(number: int, where: str) -> str:
    return f"{number} step{'s' if number > 1 else ''} {where}"
