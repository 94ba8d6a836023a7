"""The model a training starts from: by a name that stays true, whole, and of a kind that can be trained."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoagent.errors import ModelError, UsageError
from autoagent.models.adapter import is_adapter
from autoagent.models.versions import EMBEDDED, Versions
from autoagent.training.learning import AdapterConfig


@dataclass(frozen=True)
class Start:
    """The model to start from, without its weights.

    Attributes:
        name: A version's whole name, ``embedded``, an absolute folder, or a hub id, as lineages tell it.
        folder: Where its files are.
        tokenizer: Of transformers.
        window: Tokens it can take at once.
    """

    name: str
    folder: Path
    tokenizer: Any
    window: int


def start_from(versions: Versions, base: str | None, adapter: AdapterConfig) -> Start:
    """Find the model that ``base`` means, by default the version in use.

    Raises:
        UsageError: it is not there, or damaged, or cannot be trained as ``adapter`` wants it.
    """
    source = versions.resolve(base)
    from transformers import AutoConfig
    from transformers.utils.hub import cached_file

    from autoagent.models.loading import check_folder, load_tokenizer

    name = _name(versions, source)
    if isinstance(source, Path):
        if name == source.name:
            versions.verify(name)
        check_folder(source)
        if adapter.low_rank and not adapter.merge and is_adapter(source):
            raise UsageError(
                f"{name} is an adapter itself, and an adapter of an adapter cannot be kept apart: merge it "
                f"first (`autoagent models merge {name}`), or train without --keep-adapter"
            )
    tokenizer = load_tokenizer(source, local=isinstance(source, Path))
    folder = source if isinstance(source, Path) else Path(str(cached_file(source, "config.json"))).parent
    settings = AutoConfig.from_pretrained(folder, local_files_only=True).get_text_config(decoder=True)
    return Start(name, folder, tokenizer, int(getattr(settings, "max_position_embeddings", 4096)))


def _name(versions: Versions, source: Path | str) -> str:
    """What a model is called that was found in this place."""
    if not isinstance(source, Path):
        return source
    with contextlib.suppress(ModelError):  # no embedded model in this installation
        if source == versions.resolve(EMBEDDED):
            return EMBEDDED
    return source.name if _is(source.parent, versions.folder) else str(source.absolute())


def _is(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()
