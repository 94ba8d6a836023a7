"""Vectors from a folder of sentence-transformers, run by transformers alone.

Such a folder is an encoder, a pooling and mostly a normalisation, which is twenty lines here; the library of
that name would bring scikit-learn and scipy for them. Folders with other parts are refused, not guessed at.
Prompts that a model wants before a query or a passage are not written.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autoagent.errors import UsageError
from autoagent.memory.embedder import Vectors

if TYPE_CHECKING:
    import torch

BATCH = 32  # texts in one forward pass
POOLINGS = ("mean", "cls", "max", "mean_sqrt_len_tokens", "lasttoken")
_COUNT_FROM_PADDING = ("roberta", "xlm-roberta", "camembert", "mpnet")  # two positions are none
_PARTS = frozenset({"Transformer", "Pooling", "Normalize"})
# No two of these belong together: what a model makes of them is its cosine of unrelated texts.
_UNRELATED = (
    "The kettle is boiling in the kitchen.", "Invoices are paid within thirty days.",
    "She plays the violin every evening.", "The database was restored from a backup.",
    "Snow is expected in the mountains.", "His passport expires next year.",
    "Bees make honey in the old barn.", "The meeting was moved to the second floor.",
    "Please reset my password.", "A train leaves for the coast at noon.",
    "The tomatoes need more water.", "Voters went to the polls on Sunday.",
)  # fmt: skip


class SentenceEmbedder:
    """A folder of sentence-transformers as an ``Embedder``; torch is loaded at the first text."""

    def __init__(self, folder: Path) -> None:
        """Look at the folder; weights are read later.

        Raises:
            UsageError: it is no such folder, or has parts that are not supported.
        """
        self._folder = folder
        if not folder.is_dir():
            raise UsageError(f"memory_embedder {folder} is no folder: name one of sentence-transformers")
        config = self._json("config.json")
        if not list(folder.glob("*.safetensors")):
            raise UsageError(f"memory_embedder {folder} has no weights: *.safetensors is missing")
        self._modes, self._length = self._pooling(), self._longest(config)
        self.dimension = int(config.get("hidden_size") or config.get("dim") or 0) * len(self._modes)
        self.name = self._named()

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one row of length 1 per text, (N, dimension)."""
        rows = np.zeros((len(texts), self.dimension), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda n: len(texts[n]))  # alike in length: little padding
        for start in range(0, len(order), BATCH):
            part = order[start : start + BATCH]
            rows[part] = self._forward([texts[n] for n in part])
        return rows

    @cached_property
    def sure(self) -> float:
        """The cosine above nearly all of unrelated texts: some models put everything above 0.7."""
        vectors = self.embed(_UNRELATED)
        cosines = (vectors @ vectors.T)[np.triu_indices(len(_UNRELATED), 1)]
        return float(min(0.95, cosines.mean() + 4 * cosines.std()))

    def _forward(self, texts: list[str]) -> Vectors:
        import torch

        tokenizer, model = self._loaded
        tokens = tokenizer(texts, padding=True, truncation=True, max_length=self._length, return_tensors="pt")
        with torch.inference_mode():
            states = model(**tokens).last_hidden_state.float()  # (B, T, D)
            mask = tokens["attention_mask"].unsqueeze(-1).float()  # (B, T, 1)
            pooled = torch.cat([_pool(states, mask, mode) for mode in self._modes], dim=1)
            vectors: Vectors = torch.nn.functional.normalize(pooled, dim=1).numpy()
        return vectors

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        bar = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            tokenizer = AutoTokenizer.from_pretrained(self._folder, local_files_only=True)
            model = AutoModel.from_pretrained(self._folder, local_files_only=True, use_safetensors=True)
        except Exception as error:  # transformers, tokenizers and safetensors each have their own
            first = str(error).strip().partition("\n")[0]
            raise UsageError(f"memory_embedder {self._folder} cannot be loaded: {first}") from error
        finally:
            if bar:
                logging.enable_progress_bar()
        return tokenizer, model.eval()

    def _pooling(self) -> list[str]:
        """The ways of pooling, mostly one; a plain encoder without modules.json gets the mean."""
        pooling: dict[str, Any] = {}
        if (self._folder / "modules.json").exists():
            for module in self._json("modules.json"):
                part = str(module["type"]).rpartition(".")[2]
                if part not in _PARTS:
                    raise UsageError(
                        f"memory_embedder {self._folder} has a {part} layer, which is not supported"
                    )
                if part == "Pooling":
                    pooling = self._json(f"{module['path']}/config.json")
        given = pooling.get("pooling_mode")
        modes = [given] if isinstance(given, str) else list(given or [])
        short = {"cls_token": "cls", "max_tokens": "max", "mean_tokens": "mean"}
        for key, value in pooling.items():
            if key.startswith("pooling_mode_") and value is True:
                mode = key.removeprefix("pooling_mode_")
                modes.append(short.get(mode, mode))
        for mode in modes:
            if mode not in POOLINGS:
                raise UsageError(f"memory_embedder {self._folder} pools by {mode}, which is not supported")
        return modes or ["mean"]

    def _longest(self, config: dict[str, Any]) -> int:
        """The longest input in tokens: the least of what three files say."""
        limits = [config.get("max_position_embeddings")]
        if isinstance(limits[0], int) and str(config.get("model_type")) in _COUNT_FROM_PADDING:
            limits[0] -= 2
        for name, key in (
            ("sentence_bert_config.json", "max_seq_length"),
            ("tokenizer_config.json", "model_max_length"),
        ):
            if (self._folder / name).exists():
                limits.append(self._json(name).get(key))
        return min((limit for limit in limits if isinstance(limit, int)), default=512)

    def _named(self) -> str:
        """The folder's name and a hash of its configuration and of samples of its weights."""
        digest = hashlib.sha256(repr((self._modes, self._length)).encode())
        for file in sorted([*self._folder.glob("*.json"), *self._folder.glob("*.safetensors")]):
            size = file.stat().st_size
            with file.open("rb") as data:
                for place in range(0, size, max(4096, size // 64)):
                    data.seek(place)
                    digest.update(data.read(4096))
        plain = re.sub(r"[^a-z0-9]+", "-", self._folder.resolve().name.lower()).strip("-")[:28].strip("-")
        return f"{plain or 'model'}-{digest.hexdigest()[:8]}"

    def _json(self, name: str) -> Any:
        try:
            return json.loads((self._folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise UsageError(f"memory_embedder {self._folder} has no readable {name}") from None


def _pool(states: torch.Tensor, mask: torch.Tensor, mode: str) -> torch.Tensor:
    """One vector a text, (B, D), of states (B, T, D), where mask (B, T, 1) is 1 for real tokens."""
    if mode == "cls":
        return states[:, 0]
    if mode == "max":
        return states.masked_fill(mask == 0, -1e9).amax(dim=1)
    if mode == "lasttoken":
        last = (mask.squeeze(-1).cumsum(dim=1)).argmax(dim=1)  # the first place with the highest count
        return states[range(len(states)), last]
    total = mask.sum(dim=1).clamp(min=1)
    return (states * mask).sum(dim=1) / (total if mode == "mean" else total.sqrt())
