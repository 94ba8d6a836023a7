"""The agent asked to retrain its own model."""

from __future__ import annotations

from autoagent.evals.task import Expected
from autoagent.nano.families.base import Action, Episode, Kind, Maker


def learn(make: Maker) -> Episode:
    goal = make.say(
        "[Retrain|Fine-tune|Finetune|Improve|Train] [yourself|your model|your own model]"
        "[| on your runs| on your verified runs]",
        "[Learn|Get better] from your [verified |past |]runs",
        "[Run|Start] [the finetune tool|a fine-tuning|the fine-tuning]",
    )
    return make.episode(goal, Action("finetune", {}), expected=Expected(calls=("finetune",)))


FAMILIES: dict[str, Kind] = {
    "learn": Kind(learn, 0.7, "memory"),
}
