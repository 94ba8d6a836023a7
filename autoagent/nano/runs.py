"""The folder of a training run: its settings beside its checkpoint, and a new run that anneals another."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoagent.errors import UsageError
from autoagent.nano.datasheet import ABOUT_DATA, hash_files, read_about_data, write_json
from autoagent.nano.tokenizer import load_tokenizer, tokenizer_hash
from autoagent.training.batches import Shards
from autoagent.training.checkpoint import FILE, read_checkpoint, save_checkpoint
from autoagent.training.trainer import TrainerConfig

if TYPE_CHECKING:
    from autoagent.nano.train import NanoTraining

SETTINGS = "nano.json"  # of a run
SHAPE = ("size", "hidden", "layers", "heads")
RATES = ("muon_learning_rate", "learning_rate", "warmup", "decay")
FIXED = (*SHAPE, "batch_tokens", "context_weight", "seed", *RATES)
NOT_SAVED = {"data", "tokenizer", "out", "threads", "processes", "device", "compile", "precision"}


def read_settings(run: Path) -> dict[str, Any]:
    """What the run in this folder was started with. Raises :class:`UsageError` where there is none."""
    try:
        settings: dict[str, Any] = json.loads((run / SETTINGS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"no checkpoint in {run}: train there first") from None
    except ValueError as fault:
        raise UsageError(f"cannot read {run / SETTINGS}: {fault}") from None
    return settings


def open_run(config: NanoTraining) -> None:
    """Keep settings and tokenizer beside the checkpoint.

    Raises :class:`UsageError`, with nothing written, where the data are missing or of another tokenizer, and
    where the folder holds a run of other settings.
    """
    wanted = config.model_dump(mode="json", exclude=NOT_SAVED)
    hashed = tokenizer_hash(config.tokenizer)
    data = _describe(config, hashed)
    if (config.out / FILE).exists():
        if not (config.out / SETTINGS).exists():
            raise UsageError(f"{config.out} holds a run without its {SETTINGS}: choose another folder")
        saved = read_settings(config.out)
        for key in FIXED:
            if saved.get(key) != wanted[key]:
                was = f"{key}={saved.get(key)}, not {wanted[key]}"
                raise UsageError(f"{config.out} holds a run with {was}: choose another folder")
        if not (kept := config.out / "tokenizer").is_dir() or tokenizer_hash(kept) != hashed:
            raise UsageError(f"{config.out} holds a run with another tokenizer: choose another folder")
        if "earlier" in saved:
            wanted["earlier"] = saved["earlier"]
    else:
        config.out.mkdir(parents=True, exist_ok=True)
        shutil.copytree(config.tokenizer, config.out / "tokenizer", dirs_exist_ok=True)
    wanted["budget"] = {key: wanted.pop(key) for key in ("minutes", "tokens")}
    write_json(config.out / SETTINGS, wanted | {"data": data, "tokenizer": hashed})


def _describe(config: NanoTraining, tokenizer: str) -> dict[str, Any]:
    """What is said about the training data: by folder, its share and what its maker noted down."""
    described = {}
    for folder, share in config.data.items():
        Shards(folder).files(0)  # so that there are some
        about = read_about_data(folder)
        if "tokenizer" not in about:
            raise UsageError(
                f"{folder} does not say what tokenizer its training data were made with ({ABOUT_DATA}): "
                "make them again"
            )
        if about["tokenizer"] != tokenizer:
            raise UsageError(f"the training data in {folder} was made with another tokenizer: make it again")
        described[folder.name] = {"share": share} | about
    return described


def note_data(config: NanoTraining) -> None:
    """Add to the settings how much data there was in the end, and its hash."""
    settings = read_settings(config.out)
    for folder in config.data:
        shards = sorted(folder.glob("shard-*.npz"))
        settings["data"][folder.name] |= {"shards": len(shards), "hash": hash_files(shards)}
    write_json(config.out / SETTINGS, settings)


def start_annealing(source: Path, out: Path, *, peak: float | None = None) -> dict[str, Any]:
    """Make ``out`` a run that goes on from ``source`` while the rate falls to 0, unless it is one already.

    Returns the settings both share. The rate begins where that of ``source`` stood at its last checkpoint, or
    at the share ``peak`` of its highest.
    """
    if source == out:
        raise UsageError(f"{out.name} is the run to go on from: choose another --name")
    if peak is not None and not 0 < peak <= 1:
        raise UsageError(f"--peak {peak:g}: it is a share of the highest rate, above 0 and at most 1")
    if (out / FILE).exists():
        settings = read_settings(out)
        if settings.get("earlier", {}).get("run") != source.name:
            raise UsageError(f"{out} holds a run that does not anneal {source.name}: choose another --name")
        return settings
    settings, state = read_settings(source), read_checkpoint(source)
    if state is None:
        raise UsageError(f"no checkpoint in {source}: train there first")
    before = TrainerConfig(**state["config"])
    share = before.rate(state["fraction"]) if peak is None else peak
    if share <= 0:
        raise UsageError(
            f"the rate of {source} has fallen to 0: train with --decay 0, or say --peak, like --peak 0.35"
        )
    rates: dict[str, float] = {"warmup": 0.0, "decay": 1.0}
    for name in ("learning_rate", "muon_learning_rate"):
        rates[name] = getattr(before, name) * share
    load_tokenizer(source / "tokenizer")
    out.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source / "tokenizer", out / "tokenizer", dirs_exist_ok=True)
    earlier = settings.pop("earlier", {})
    told = {"run": source.name} | {key: settings[key] for key in ("data", "budget", *RATES)}
    chain = [*earlier.get("runs", ()), told | {"tokens": state["tokens"]}]
    settings |= rates | {"earlier": {"run": source.name, "runs": chain} | _used(state, earlier)}
    write_json(out / SETTINGS, settings)
    fresh = {"step": 0, "tokens": 0, "seconds": 0.0, "fraction": 0.0, "first_loss": math.nan}
    save_checkpoint(out, state | fresh | {"config": before.model_copy(update=rates).model_dump()})
    return settings


def _used(state: dict[str, Any], earlier: dict[str, Any]) -> dict[str, Any]:
    """What a run and those before it have used."""
    return {key: state[key] + earlier.get(key, 0) for key in ("step", "tokens", "seconds")}


def spent(run: Path, state: dict[str, Any]) -> dict[str, Any]:
    """Steps, tokens and seconds of the run whose checkpoint is ``state``, those it went on from included."""
    return _used(state, read_settings(run).get("earlier", {}))


def parse_shares(names: Sequence[str], root: Path) -> dict[Path, float]:
    """``shards human=0.3`` as folders and shares: those without a number divide what is left of 1."""
    given: dict[str, float | None] = {}
    for text in names:
        name, _, share = text.partition("=")
        try:
            given[name] = float(share) if share else None
        except ValueError:
            raise UsageError(f"--data {text}: write it as NAME or NAME=SHARE, like human=0.3") from None
    rest = 1 - sum(share for share in given.values() if share is not None)
    open_ones = sum(share is None for share in given.values())
    if open_ones and rest <= 0:
        raise UsageError("the shares of --data leave nothing for the folders without one")
    return {root / name: rest / open_ones if share is None else share for name, share in given.items()}
