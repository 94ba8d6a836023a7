"""What a model was trained with, from the ``autoagent.json`` in its folder; see ``config.Habits``."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from autoagent.config import Habits
from autoagent.errors import ModelError
from autoagent.prompts import ABOUT, about


def habits_of(folder: Path | None) -> Habits:
    """The habits of the model in a folder; those that fit any model where the folder says nothing.

    Raises:
        UsageError: its ``autoagent.json`` is damaged or says something unknown.
    """
    try:
        return Habits.model_validate(about(folder).get("habits", {}))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ModelError(f"{folder}/{ABOUT}: habits.{key}: {first['msg'].lower()}") from None
