"""What the agent's ``finetune`` tool calls: the function behind command and API, answering in sentences."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from autoagent.errors import ToolError, UsageError
from autoagent.training.finetune import FinetuneConfig, FinetuneResult, finetune
from autoagent.training.forgetting import Earlier
from autoagent.training.gate import SuiteSource
from autoagent.training.learning import Method
from autoagent.training.moments import is_age
from autoagent.training.selection import Selection


def finetune_service(
    home: Path,
    suite: SuiteSource | None,
    config: FinetuneConfig | None = None,
    earlier: Earlier | None = None,
) -> Callable[..., str]:
    """A service for ``Agent(services={"finetune": ...})``.

    The run that calls it goes on with the old model; the next one starts with the new, if that was promoted.
    """

    def service(method: Method = "sft", runs: str = "", note: str = "") -> str:
        try:
            usual = config or FinetuneConfig()
            learning = usual.learning.model_copy(update={"method": method})
            selection = _chosen(usual.selection, runs)
            chosen = usual.model_copy(update={"learning": learning, "selection": selection, "note": note})
            return told(finetune(home, suite=suite, config=chosen, earlier=earlier))
        except UsageError as problem:
            raise ToolError(str(problem)) from problem

    return service


def _chosen(usual: Selection, runs: str) -> Selection:
    """The runs that were named, by ids or by age, or the usual ones."""
    named = tuple(runs.replace(",", " ").split())
    if not named:
        return usual
    by_age = len(named) == 1 and is_age(named[0])
    return Selection(**usual.model_dump() | ({"since": named[0]} if by_age else {"runs": named}))


def told(result: FinetuneResult) -> str:
    """The result in a few sentences with its numbers."""
    learned = f"Made {result.version} from {result.parent}: {result.sheet.summary()}."
    use = "It is in use from the next run on." if result.promoted else "The model in use stays."
    return f"{learned} {result.reason[:1].upper()}{result.reason[1:]}. {use}"
