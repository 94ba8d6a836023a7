"""What repeated runs say about learning from one's own successes: which goals are solved only sometimes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from pydantic import Field

from autoagent.trajectory import Data


class Solved(Data):
    """Of the goals with two judged runs or more: how many were always, sometimes, never verified."""

    always: int = 0
    sometimes: int = 0
    never: int = 0
    pass_1: float = Field(default=0.0, description="Mean over these goals of the share of runs verified.")

    @property
    def goals(self) -> int:
        """How many goals have two judged runs or more."""
        return self.always + self.sometimes + self.never

    @property
    def pass_k(self) -> float:
        """Share of these goals that at least one of their runs reached."""
        return (self.always + self.sometimes) / self.goals if self.goals else 0.0

    @property
    def teaches(self) -> bool | None:
        """Whether the model's own runs have something to teach it; None: no goal was run twice."""
        return self.sometimes > 0 if self.goals else None

    def sentence(self) -> str:
        """One line for people, with the numbers."""
        if not self.goals:
            return (
                "No goal has two judged runs, so it is unknown whether there are goals the model reaches "
                "only sometimes, which is what it can learn from its own runs."
            )
        counted = f"Of {self.goals} {_goals(self.goals)} with two judged runs or more, {self.always} were "
        if not self.sometimes:
            return (
                f"{counted}always reached, {self.never} never, none only sometimes: pass@k equals pass@1 "
                f"({self.pass_1:.0%}), so there is nothing the model can learn from its own runs here; "
                "corrected runs, practice or data from outside can teach it what it never does."
            )
        return (
            f"{counted}always reached, {self.sometimes} sometimes, {self.never} never: pass@1 is "
            f"{self.pass_1:.0%}, pass@k {self.pass_k:.0%}, and what lies between is what the model can learn "
            "from its own runs."
        )


def solved(judged: Iterable[tuple[str, bool]]) -> Solved:
    """Count goals by how often they were reached, from (goal, verified) of every judged run."""
    outcomes: defaultdict[str, list[bool]] = defaultdict(list)
    for goal, verified in judged:
        outcomes[goal].append(verified)
    shares = [sum(each) / len(each) for each in outcomes.values() if len(each) > 1]
    return Solved(
        always=shares.count(1.0),
        sometimes=sum(0 < share < 1 for share in shares),
        never=shares.count(0.0),
        pass_1=sum(shares) / len(shares) if shares else 0.0,
    )


def _goals(count: int) -> str:
    return "goal" if count == 1 else "goals"
