"""Models: the seam to any GPT. Light to import; ``local`` brings torch in when a local model is loaded."""

from autoagent.models.protocol import Calls, Expect, Json, Model, Session, Text, ToolSchema, complete
from autoagent.models.scripted import ScriptedModel

__all__ = ["Calls", "Expect", "Json", "Model", "ScriptedModel", "Session", "Text", "ToolSchema", "complete"]
