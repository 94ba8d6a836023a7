"""A run goes on with a model version that was put in use while it worked, in the same conversation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from autoagent.models.live import Fixed, Source
from autoagent.models.protocol import Model, Session
from autoagent.store import RunRecord

Reopen = Callable[[Model], Session]  # a session with all that was said so far


@dataclass
class Renewal:
    """Lent to the tools of a run as the service ``renew``, and asked by its loop after each step.

    Args:
        source: Where the run's model comes from.
        named: What the user called the model; None where that is the version in use.
        record: Where it is written down which version answers from which step on.
        reopen: Opens the recorded conversation with another model.
    """

    source: Source
    named: Model | Source | str | Path | None
    record: RunRecord
    reopen: Reopen
    _next: Model | None = field(default=None, init=False)

    def __call__(self) -> str:
        """Take the version that is in use by now; in a sentence, what the run goes on with."""
        before = self.source.model()
        notes = self.source.renew()
        after = self.source.model()
        if after is not before:
            self._next = after
            return "This run goes on with it."
        if notes:
            return f"This run goes on with the old one: {notes[0]}."
        if isinstance(self.source, Fixed) and isinstance(self.named, (str, Path)):
            return f"This run goes on with {self.named}, the model that was named for it."
        return "This run goes on with the model it began with."

    def take_over(self, session: Session, step: int) -> tuple[Model, Session] | None:
        """The model that answers from ``step`` on, and its session, where there is another one now."""
        model, self._next = self._next, None
        if model is None:
            return None
        adopt = getattr(model, "take_over", None)  # token by token, where both have the same tokenizer
        taken = (adopt(session) if adopt else None) or self.reopen(model)
        self.record.answered_by(model.version, step)
        return model, taken
