"""Models on a server that speaks OpenAI's chat completions: vLLM, SGLang, llama.cpp, Ollama and others."""

from autoagent.models.remote.model import RemoteModel
from autoagent.models.remote.session import RemoteSession

__all__ = ["RemoteModel", "RemoteSession"]
