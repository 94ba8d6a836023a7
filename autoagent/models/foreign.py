"""What a model folder from elsewhere must not hold: pickles as weights, names and links that lead out of it.

A pickle is a program: loading it runs what its maker wrote. Not covered: flaws of the libraries that read
safetensors, tokenizers and templates; a folder given by name may itself be a link.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

from autoagent.errors import ModelError
from autoagent.models.fingerprint import shaping_files

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_OF_TRAINING = ("optimizer", "scheduler", "scaler", "rng_state", "training_args")  # beside the weights
_INDEX = "*.safetensors.index.json"


def check_weights(folder: Path) -> None:
    """Raise ModelError where a folder has no safetensors, or their index names anything else."""
    if not any(folder.glob("*.safetensors")):
        pickles = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLES)
        found = [name for name in pickles if not name.startswith(_OF_TRAINING)]
        if found:
            raise ModelError(_refusal(folder / found[0]))
        raise ModelError(f"no weights in {folder}: *.safetensors is missing (other formats are not loaded)")
    for index in sorted(folder.glob(_INDEX)):
        for name in sorted(_named(index)):
            if PurePosixPath(name).name != name or not name.endswith(".safetensors"):
                raise ModelError(f"{index} names {name!r}: weights are *.safetensors files beside it")
            if not (folder / name).is_file():
                raise ModelError(f"the weights in {folder} are incomplete: {name} is missing")


def check_file(path: Path) -> None:
    """Raise ModelError for a file that was given as a model; a pickle is told from others."""
    if path.suffix in _PICKLES:
        raise ModelError(_refusal(path))
    raise ModelError(f"{path} is a file; a model is a folder with config.json, *.safetensors and a tokenizer")


def check_links(folder: Path) -> None:
    """Raise ModelError where a file of a folder is a link out of it, but for the hub cache's own."""
    inside = [folder.resolve()]
    if folder.resolve().parent.name == "snapshots":  # the hub cache: snapshots/HASH/config.json -> blobs/…
        inside.append(folder.resolve().parent.parent / "blobs")
    for path in shaping_files(folder):
        if path.is_symlink() and not any(path.resolve().is_relative_to(each) for each in inside):
            raise ModelError(f"{path} is a link to a file elsewhere: put the file itself there")


def _refusal(path: Path) -> str:
    return (
        f"{path} is a pickle, which can run any program when it is loaded, so it is not: "
        "convert it to safetensors where you trust its maker (transformers: save_pretrained)"
    )


def _named(index: Path) -> set[str]:
    try:
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        return {str(name) for name in names}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise ModelError(f"{index} is damaged ({problem}): copy or download it again") from None
