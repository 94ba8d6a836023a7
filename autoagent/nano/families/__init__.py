"""The goal families of the embedded model, with their share of the training data."""

from __future__ import annotations

from autoagent.nano.families import asking, helpers, learning, plans, refusal, trouble
from autoagent.nano.families.base import (
    DECLINE,
    SPLITS,
    Action,
    Clause,
    Episode,
    Family,
    Kind,
    Maker,
    Part,
    Split,
)
from autoagent.nano.families.singles import SINGLES

FAMILIES: dict[str, Kind] = {
    **SINGLES,
    **plans.FAMILIES,
    **trouble.FAMILIES,
    **asking.FAMILIES,
    **helpers.FAMILIES,
    **refusal.FAMILIES,
    **learning.FAMILIES,
}

__all__ = [
    "DECLINE",
    "FAMILIES",
    "SPLITS",
    "Action",
    "Clause",
    "Episode",
    "Family",
    "Kind",
    "Maker",
    "Part",
    "Split",
]
