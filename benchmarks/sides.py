"""The sides of the episode benchmark. Each says its replies through the decode path its users have."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from script import Script
from transformers import AutoModelForCausalLM, AutoTokenizer, LogitsProcessor, LogitsProcessorList

from autoagent.config import Sampling
from autoagent.models.engine import Engine, load_engine
from autoagent.models.local import LocalModel
from autoagent.models.protocol import Calls, Expect, Text, complete
from autoagent.trajectory import Counts, Message

LOUD = 1e4  # added to the logit of what the script says next: more than any logit is
GREEDY = Sampling(temperature=0)


class Side(Protocol):
    """One way to run the episode."""

    name: str

    def begin(self) -> None:
        """Forget the conversation."""

    def reply(self, step: int) -> list[int]:
        """Take in what was said since the last reply and say the next one; its tokens."""
        ...


class Dictated(Engine):
    """Our engine with a prompter: the logit of the script's next token is raised after each forward pass."""

    def __init__(self, engine: Engine, script: Script) -> None:
        super().__init__(engine.model, engine.tokenizer, engine.folder)
        self.script = script
        self.seconds = {"prefill": 0.0, "decode": 0.0}  # of the processor, in the forward passes

    def logits(self, ids: Sequence[int], cache: Any, *, keep: int) -> NDArray[np.float32]:
        began = time.process_time()
        rows = super().logits(ids, cache, keep=keep)
        self.seconds["decode" if len(ids) == 1 else "prefill"] += time.process_time() - began
        rows[-1, self.script.ids[cache.length]] += LOUD
        return rows


class Ours:
    """autoagent: the conversation's keys and values are kept, the grammar is on or off."""

    def __init__(self, folder: Path, script: Script, *, grammar: bool) -> None:
        engine = load_engine(folder, device="cpu", dtype="float32", trust_remote_code=False)
        self.engine = Dictated(engine, script)
        self.model, self.script = LocalModel(self.engine, "benchmark"), script
        self.expect: Expect = Calls(tuple(script.tools)) if grammar else Text()
        self.name = f"autoagent, grammar {'on' if grammar else 'off'}"
        self.counts = Counts()

    def begin(self) -> None:
        first = [Message(role=each["role"], content=each["content"]) for each in self.script.before(0)]
        self.session = self.model.open(first, self.script.tools)
        self.counts = Counts()
        self.engine.seconds = dict.fromkeys(self.engine.seconds, 0.0)

    def reply(self, step: int) -> list[int]:
        if step:
            self.session.append(Message(role="user", content=self.script.before(step)[-1]["content"]))
        length = len(self.script.replies[step])
        reply = complete(self.session.generate(self.expect, sampling=GREEDY, max_tokens=self.room(length)))
        self.counts += reply.counts
        assert reply.trace is not None
        return list(reply.trace.completion_ids)

    def room(self, length: int) -> int:
        """Tokens allowed: just enough without a grammar; with one, so many that it never hurries."""
        return length if isinstance(self.expect, Text) else 1_024


class Prompter(LogitsProcessor):  # type: ignore[misc]
    """The same prompter for transformers."""

    def __init__(self, ids: list[int]) -> None:
        self.ids = ids

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        scores[:, self.ids[input_ids.shape[1]]] += LOUD
        return scores


class Generate:
    """transformers: the full prompt through the template, the tokenizer and ``generate`` at every step."""

    name = "transformers.generate"

    def __init__(self, folder: Path, script: Script) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.script, self.prompters = script, LogitsProcessorList([Prompter(script.ids)])

    def begin(self) -> None:
        pass

    def reply(self, step: int) -> list[int]:
        prompt = self.prompt(step)
        length = len(self.script.replies[step])
        out = self.model.generate(
            **prompt, max_new_tokens=length, do_sample=False, logits_processor=self.prompters
        )
        said = out[0, prompt["input_ids"].shape[1] :].tolist()
        self.tokenizer.decode(said)
        return list(said)

    def prompt(self, step: int) -> Any:
        return self.tokenizer.apply_chat_template(
            self.script.before(step),
            tools=self.script.tools,
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )


class Smolagents:
    """smolagents: ``TransformersModel.generate`` with the arguments that its ToolCallingAgent gives."""

    name = "smolagents TransformersModel"

    def __init__(self, folder: Path, script: Script) -> None:
        import smolagents

        self.script, self.kinds = script, smolagents
        self.model = smolagents.TransformersModel(
            str(folder),
            device_map="cpu",
            torch_dtype="float32",
            do_sample=False,
            logits_processor=LogitsProcessorList([Prompter(script.ids)]),
        )
        self.tools = [self._tool(schema["function"]) for schema in script.tools]

    def _tool(self, function: dict[str, Any]) -> Any:
        values = {
            "name": function["name"],
            "description": function["description"],
            "inputs": function["parameters"]["properties"],
            "output_type": "string",
            "forward": lambda self, **arguments: "",
            "skip_forward_signature_validation": True,
        }
        return type("Shown", (self.kinds.Tool,), values)()

    def begin(self) -> None:
        pass

    def reply(self, step: int) -> list[int]:
        messages = [
            self.kinds.ChatMessage(each["role"], [{"type": "text", "text": each["content"]}])
            for each in self.script.before(step)
        ]
        wanted = self.script.replies[step]
        answer = self.model.generate(
            messages,
            stop_sequences=["Observation:", "Calling tools:"],
            tools_to_call_from=self.tools,
            max_new_tokens=len(wanted),
        )
        shown = self.model.tokenizer.decode(
            wanted, skip_special_tokens=True
        )  # all that it tells of the tokens
        return wanted if answer.content == shown and answer.token_usage.output_tokens == len(wanted) else []


class LlamaCpp:
    """llama.cpp through llama-cpp-python, which keeps the keys and values of the longest common prefix."""

    def __init__(self, folder: Path, script: Script, kind: str) -> None:
        import llama_cpp
        from gguf_file import load_gguf

        self.name = f"llama-cpp-python, {kind.upper()}"
        self.model = load_gguf(folder / f"{kind}.gguf")
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.script, self.prompters = script, llama_cpp.LogitsProcessorList([self._raise])

    @classmethod
    def where_it_runs(cls, folder: Path, script: Script, kind: str) -> LlamaCpp | None:
        """None where it is not built, or crashes: seen where AMX is compiled in but may not be used."""
        probe = [sys.executable, Path(__file__).parent / "gguf_file.py", folder, kind]
        ran = subprocess.run(probe, capture_output=True, check=False).returncode == 0
        return cls(folder, script, kind) if ran else None

    def _raise(self, ids: NDArray[np.intc], scores: NDArray[np.single]) -> NDArray[np.single]:
        scores[self.script.ids[len(ids)]] += LOUD
        return scores

    def begin(self) -> None:
        self.model.reset()

    def reply(self, step: int) -> list[int]:
        text = self.tokenizer.apply_chat_template(
            self.script.before(step), tools=self.script.tools, add_generation_prompt=True, tokenize=False
        )
        prompt = self.tokenizer.encode(text, add_special_tokens=False)
        said: list[int] = []
        for token in self.model.generate(prompt, temp=0.0, logits_processor=self.prompters):
            said.append(token)
            if len(said) == len(self.script.replies[step]):
                break
        self.tokenizer.decode(said)
        return said
