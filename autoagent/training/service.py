"""What the agent's ``finetune`` tool calls: the function behind command and API, answering in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoagent.errors import AutoagentError, StoreError, ToolError, UsageError
from autoagent.evals import FamilyReport
from autoagent.models.versions import Version, Versions
from autoagent.store import Store
from autoagent.tools import Context
from autoagent.training.finetune import FinetuneConfig, FinetuneResult, finetune
from autoagent.training.forgetting import Earlier
from autoagent.training.gate import GateReport, SuiteSource
from autoagent.training.jobs import Busy
from autoagent.training.learning import Learning, Method
from autoagent.training.moments import is_age
from autoagent.training.selection import Selected, Selection, select
from autoagent.training.sft import FinetuneProgress, Stage, Trained

STAGES: dict[Stage, str] = {
    "train": "training",
    "gate old": "measuring the old model",
    "gate new": "measuring the new model",
    "gate old elsewhere": "other goals, the old model",
    "gate new elsewhere": "other goals, the new model",
}
_METHODS: dict[Method, str] = {
    "sft": "imitate verified runs",
    "dpo": "prefer verified runs to refuted ones of the same goal",
    "kto": "prefer verified runs to refuted ones",
}


@dataclass(frozen=True)
class FinetuneService:
    """For ``Agent(services={"finetune": ...})``: trains and measures, and says in words what came of it.

    A run that calls it goes on with the new version, if that was promoted and the run follows the version in
    use; else with the model it has.
    """

    home: Path
    suite: SuiteSource | None
    config: FinetuneConfig
    earlier: Earlier | None = None

    def __call__(
        self, method: Method = "sft", runs: str = "", note: str = "", *, ctx: Context | None = None
    ) -> str:
        """Train, and put in use what the gate finds better; its figures in a few lines.

        Raises:
            ToolError: it cannot be done; one line for the model, with what to do instead.
        """
        config = self._told(method, runs, note)
        try:
            result = finetune(
                self.home,
                suite=self.suite,
                config=config,
                earlier=self.earlier,
                on_progress=None if ctx is None else lambda progress: _report(progress, ctx),
            )
        except Busy as problem:
            raise ToolError(f"{problem}; nothing was trained now: try again later") from problem
        except (UsageError, StoreError) as problem:
            raise ToolError(_for_the_model(str(problem))) from problem
        return "\n".join([*told(result), _what_is_used(result, ctx)])

    def preview(self, method: Method = "sft", runs: str = "", note: str = "") -> str:
        """What would be done, in plain words, for the person who is asked."""
        try:
            selected = self._selected(self._told(method, runs, note).selection)
            if not self.config.outside:
                selected.need_positives()
            versions = Versions(self.home)
            return "\n".join(self._foretold(method, selected, versions.current(), versions.list()))
        except AutoagentError as problem:
            return f"this will fail: {problem}"

    def _told(self, method: Method, runs: str, note: str) -> FinetuneConfig:
        """The usual settings with what the model said.

        Raises:
            ToolError: it named runs that are not there.
        """
        try:
            learning = Learning.model_validate({**self.config.learning.model_dump(), "method": method})
        except ValueError as problem:
            raise ToolError(
                f"method={method!r} does not go with the trainer {self.config.learning.trainer}"
            ) from problem
        try:
            selection = _chosen(self.config.selection, runs)
            if runs.strip():
                self._selected(selection)
        except UsageError as problem:
            raise ToolError(
                f"runs={runs!r}: {problem}; leave runs empty to learn from all of them"
            ) from problem
        return self.config.model_copy(update={"learning": learning, "selection": selection, "note": note})

    def _selected(self, selection: Selection) -> Selected:
        store = Store(self.home)
        try:
            return select(store, selection)
        finally:
            store.close()

    def _foretold(
        self, method: Method, selected: Selected, base: str, versions: tuple[Version, ...]
    ) -> Iterator[str]:
        runs = f"{len(selected.positives)} verified"
        runs += "" if method == "sft" else f" and {len(selected.negatives)} refuted"
        yield f"learn from {runs} runs, starting from {base}; {method}: {_METHODS[method]}"
        if self.suite is None:
            yield "no suite measures the result: it is kept, but not used"
        else:
            name = getattr(self.suite, "name", "") or getattr(self.suite, "__name__", "")
            name = name or self.config.named_suite
            yield f"held-out goals of the suite {name} decide whether the result is used from then on"
        seconds = _as_before(versions, len(selected.positives))
        yield "how long it takes is not known yet" if seconds is None else f"takes {_about(seconds)}"


def finetune_service(
    home: Path,
    suite: SuiteSource | None,
    config: FinetuneConfig | None = None,
    earlier: Earlier | None = None,
) -> FinetuneService:
    """A service for ``Agent(services={"finetune": ...})``; the arguments are those of ``finetune``."""
    return FinetuneService(home, suite, config or FinetuneConfig(), earlier)


def told(result: FinetuneResult) -> list[str]:
    """The result in a few lines with its numbers: what was learned from, training, gate, decision."""
    lines = [
        f"Made {result.version} from {result.parent}: {result.sheet.summary()}.",
        _trained(result.trained),
    ]
    if result.gate is not None:
        lines.append(_measured(result.gate))
    return [*lines, f"{result.reason[:1].upper()}{result.reason[1:]}."]


def _trained(trained: Trained) -> str:
    losses, held = trained.train_loss, trained.validation_loss
    line = f"Training ({trained.method}): {trained.steps} steps in {trained.seconds:.0f} s, "
    line += f"loss {losses.before:.3f} → {losses.after:.3f}"
    line += f", on goals held out {held.before:.3f} → {held.after:.3f}" if held else ""
    return "".join([line, *(f", {name} {value:.3g}" for name, value in trained.metrics.items()), "."])


def _measured(gate: GateReport) -> str:
    line = f"Gate ({gate.suite}): old {_share(gate.old)}, new {_share(gate.new)}"
    if gate.forgetting is not None:
        line += f"; elsewhere old {_share(gate.forgetting.old)}, new {_share(gate.forgetting.new)}"
    return f"{line}."


def _share(found: FamilyReport) -> str:
    return f"{found.passed}/{found.n}"


def _what_is_used(result: FinetuneResult, ctx: Context | None) -> str:
    if not result.promoted:
        return "The model in use stays."
    if ctx is None or "renew" not in ctx.services:
        return "It is in use from the next run on."
    return f"It is in use now. {ctx.services['renew']()}"


def _for_the_model(problem: str) -> str:
    """What a person is told on the command line, for a model that has a tool."""
    if problem.startswith("no verified runs"):
        return "nothing was trained: there are no verified runs to learn from yet"
    if "--method sft" in problem:
        return problem.replace("learn with --method sft", 'call finetune with method="sft"')
    return f"{problem}; nothing was trained: tell the user"


def _report(progress: FinetuneProgress, ctx: Context) -> None:
    """Pass on where a training stands."""
    if progress.note:
        ctx.report(progress.note)
    if not progress.total:
        return
    figures: dict[str, Any] = {
        "loss": progress.loss,
        "held out": progress.validation_loss,
        "tokens/s": progress.tokens_per_second,
    }
    ctx.report(
        STAGES[progress.stage],
        progress.step,
        progress.total,
        seconds_left=progress.seconds_left,
        figures={name: value for name, value in figures.items() if value is not None},
    )


def _chosen(usual: Selection, runs: str) -> Selection:
    """The runs that were named, by ids or by age, or the usual ones."""
    named = tuple(runs.replace(",", " ").split())
    if not named:
        return usual
    by_age = len(named) == 1 and is_age(named[0])
    return Selection(**usual.model_dump() | ({"since": named[0]} if by_age else {"runs": named}))


def _as_before(versions: tuple[Version, ...], runs: int) -> float | None:
    """Seconds that so many runs may take, as the latest version made here did; None where there is none."""
    for version in reversed(versions):
        data = version.data or {}
        seconds = (data.get("trained") or {}).get("seconds")
        before = len((data.get("sheet") or {}).get("runs") or ())
        if seconds and before:
            return float(seconds) * runs / before + float((version.gate or {}).get("seconds", 0))
    return None


def _about(seconds: float) -> str:
    """``about 40 s``, ``about 12 min``."""
    return f"about {max(1, round(seconds))} s" if seconds < 90 else f"about {round(seconds / 60)} min"
