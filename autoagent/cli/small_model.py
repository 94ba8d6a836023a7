"""What is said where the model that comes with the program did not get there: there are larger ones."""

from __future__ import annotations

from autoagent.cli import console
from autoagent.cli.model_names import behind
from autoagent.cli.parts import Parts
from autoagent.trajectory import Trajectory

_BEYOND = ("declined", "stuck", "max_steps", "max_tokens", "timeout", "format_errors")
_NOTE = (
    "The embedded model is small; `autoagent models info embedded` names the card that says what it can do. "
    "A larger model: --model FOLDER, or --model openai:NAME for one on a server."
)


def tell_of_larger(run: Trajectory, model: str | None, parts: Parts) -> None:
    """Print a line on standard error where the embedded model did not reach a goal and did not say so.

    Args:
        run: How it went.
        model: What ``--model`` said.
        parts: Knows the settings, and the version in use.
    """
    missed = run.ending in _BEYOND or run.verdict.status == "refuted"
    if missed and "--model" not in (run.answer or "") and _is_embedded(model, parts):
        console.err().print(_NOTE, style="dim", soft_wrap=True)


def _is_embedded(model: str | None, parts: Parts) -> bool:
    from autoagent.models.versions import EMBEDDED

    return parts.load is None and behind(parts.home, model or parts.config["model"]) == EMBEDDED
