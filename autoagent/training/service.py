"""What the agent's ``finetune`` tool calls: the function behind command and API, answering in sentences."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from autoagent.errors import ToolError, UsageError
from autoagent.training.finetune import FinetuneConfig, FinetuneResult, finetune
from autoagent.training.forgetting import Earlier
from autoagent.training.gate import SuiteSource


def finetune_service(
    home: Path,
    suite: SuiteSource | None,
    config: FinetuneConfig | None = None,
    earlier: Earlier | None = None,
) -> Callable[..., str]:
    """A service for ``Agent(services={"finetune": ...})``.

    The run that calls it goes on with the old model; the next one starts with the new, if that was promoted.
    """

    def service(note: str = "") -> str:
        chosen = (config or FinetuneConfig()).model_copy(update={"note": note})
        try:
            return told(finetune(home, suite=suite, config=chosen, earlier=earlier))
        except UsageError as problem:
            raise ToolError(str(problem)) from problem

    return service


def told(result: FinetuneResult) -> str:
    """The result in a few sentences with its numbers."""
    learned = f"Made {result.version} from {result.parent}: {result.sheet.summary()}."
    use = "It is in use from the next run on." if result.promoted else "The model in use stays."
    return f"{learned} {result.reason[:1].upper()}{result.reason[1:]}. {use}"
