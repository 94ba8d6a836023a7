"""Which weights of a model are trained: all, the last layers, or low-rank adapters (peft) on its layers."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoagent.errors import UsageError
from autoagent.training.learning import AdapterConfig

if TYPE_CHECKING:
    from torch import nn


class Prepared:
    """A model of transformers of which the wanted weights are trained, and how to write it afterwards.

    ``model`` is the very object that was prepared: adapters are put into it, and taken out again by
    :meth:`merge`.
    """

    def __init__(
        self,
        model: Any,
        config: AdapterConfig,
        wrapped: Any = None,
        exact: Mapping[str, nn.Linear] | None = None,
    ) -> None:
        self.model, self.config = model, config
        self._wrapped = wrapped  # by peft, while the adapters are in
        self._exact = exact or {}  # layers by name as they were before they were put into 4 bits

    @property
    def trainable(self) -> int:
        """How many numbers are trained."""
        return sum(weight.numel() for weight in self.model.parameters() if weight.requires_grad)

    def merge(self) -> Any:
        """Add the adapters into the weights; the plain model, which is ``model`` itself."""
        if self._wrapped is None:
            return self.model
        if self._exact:
            _merge_into(self._exact, self.model)
        else:
            with _older_names():
                self._wrapped.merge_and_unload()
        for leftover in ("peft_config", "active_adapter"):
            self.model.__dict__.pop(leftover, None)
        self._wrapped = None
        return self.model

    def finish(self, folder: Path, *, base: str = "") -> None:
        """Write the merged model, or with ``merge=False`` the adapter alone, to ``folder``.

        Models of 100M parameters and more are written in bf16. An adapter names its ``base``: by default
        where that was loaded from.
        """
        import torch

        from autoagent.models.loading import SMALL

        if self._wrapped is not None and not self.config.merge:
            if base:
                self._wrapped.peft_config["default"].base_model_name_or_path = base
            with _older_names():
                self._wrapped.save_pretrained(str(folder), save_embedding_layers=False)
            return
        model = self.merge()
        if model.num_parameters() >= SMALL:
            model = model.to(torch.bfloat16)
        model.save_pretrained(folder)


def prepare(model: Any, config: AdapterConfig, *, seed: int = 0) -> Prepared:
    """Make the weights that ``config`` names trainable, and no others.

    Args:
        model: A causal language model of transformers, loaded; it is changed in place.
        config: What to train.
        seed: Of the adapters' first values.

    Raises:
        UsageError: the model has fewer layers, or a library or device for the adapters is missing.
    """
    if config.what == "qlora":
        _refuse_without_4_bit()
    for weight in model.parameters():
        if weight.is_floating_point():
            weight.requires_grad_(config.what == "full")
    if config.what.startswith("last:"):
        _thaw(model, int(config.what.removeprefix("last:")))
    if not config.low_rank:
        _drop(model, config.dropout)
        return Prepared(model, config)
    _need_peft()
    exact = _quantise(model, "cuda") if config.what == "qlora" else {}
    return Prepared(model, config, _with_adapters(model, config, seed), exact)


def _thaw(model: Any, count: int) -> None:
    """Train the last layers and the norm after them; embedding and output stay."""
    holder, layers = _layers(model)
    if count > len(layers):
        raise UsageError(f"cannot train the last {count} layers: the model has {len(layers)}")
    after = [each for each in holder.children() if "norm" in type(each).__name__.lower()]
    for module in (*layers[len(layers) - count :], *after):
        module.requires_grad_(True)


def _layers(model: Any) -> tuple[nn.Module, nn.ModuleList]:
    """The list of the model's layers, and the module that holds it."""
    from torch import nn

    count = model.config.get_text_config(decoder=True).num_hidden_layers
    for holder in model.modules():
        for child in holder.children():
            if isinstance(child, nn.ModuleList) and len(child) == count:
                return holder, child
    raise UsageError(f"cannot find the layers of a {type(model).__name__}: train all of it, or lora")


def _drop(model: Any, share: float) -> None:
    """Set the dropout of a model that is trained itself: its dropout layers, and that of the attention."""
    from torch import nn

    if share == 0:
        return
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = share
        elif isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = share


def _need_peft() -> None:
    if importlib.util.find_spec("peft") is None:
        raise UsageError("training adapters needs peft: pip install 'autoagent[train]', or train last:N")


def _with_adapters(model: Any, config: AdapterConfig, seed: int) -> Any:
    import torch
    from peft import LoraConfig, get_peft_model

    wanted = LoraConfig(
        task_type="CAUSAL_LM",
        target_modules="all-linear",  # but the output
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
    )
    with torch.random.fork_rng(), _older_names():
        torch.manual_seed(seed)
        return get_peft_model(model, wanted)


@contextmanager
def _older_names() -> Iterator[None]:
    """peft 0.21 uses names that transformers 5.23 warns of; its user can do nothing about it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _refuse_without_4_bit() -> None:
    import torch

    missing = [] if torch.cuda.is_available() else ["a CUDA device"]
    missing += [] if importlib.util.find_spec("bitsandbytes") else ["bitsandbytes (pip install bitsandbytes)"]
    if missing:
        raise UsageError(f"qlora needs {' and '.join(missing)}, not found here: train lora instead")


def _quantise(model: Any, device: str) -> dict[str, nn.Linear]:
    """Put every linear layer but the output into 4 bits (NF4) on ``device``; the ones before, by name."""
    import bitsandbytes
    import torch
    from torch import nn

    output = model.get_output_embeddings()
    exact: dict[str, nn.Linear] = {
        name: module
        for name, module in model.named_modules()
        if type(module) is nn.Linear and module is not output
    }
    for name, linear in exact.items():
        small = bitsandbytes.nn.Linear4bit(
            linear.in_features,
            linear.out_features,
            bias=linear.bias is not None,
            compute_dtype=torch.bfloat16,
            quant_type="nf4",
        )
        small.weight = bitsandbytes.nn.Params4bit(
            linear.weight.detach(), requires_grad=False, quant_type="nf4"
        )
        if linear.bias is not None:
            small.bias = nn.Parameter(linear.bias.detach(), requires_grad=False)
        _put(model, name, small.to(device))  # packed by moving it
    return exact


def _merge_into(exact: Mapping[str, nn.Linear], model: Any) -> None:
    """Put the exact layers back, each with what its adapter adds."""
    import torch

    for name, linear in exact.items():
        adapted = model.get_submodule(name)
        with torch.no_grad():
            change = adapted.get_delta_weight("default")
            weight = linear.weight.to(change.device)
            linear.weight = torch.nn.Parameter((weight.float() + change.float()).to(weight.dtype))
            if linear.bias is not None:
                linear.bias = torch.nn.Parameter(linear.bias.to(change.device))
        _put(model, name, linear)


def _put(model: Any, name: str, module: nn.Module) -> None:
    holder, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(holder), leaf, module)
