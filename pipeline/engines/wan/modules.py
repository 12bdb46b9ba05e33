"""Loads the networks of a Wan checkpoint: diffusers' and transformers' classes, safetensors only.

Precision is diffusers' own policy: the transformer in the precision asked for, but for what
``WanTransformer3DModel`` lists in ``_keep_in_fp32_modules``; the autoencoder in fp32 throughout, as
diffusers' documentation of Wan has it.

diffusers' ``from_pretrained`` refuses a model with such a list unless ``accelerate`` is installed,
so its networks are built without storage, and each tensor goes from the memory-mapped file straight
to its device and precision: host memory never holds a second copy of the weights.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed, WanTransformer3DModel
from safetensors import SafetensorError, safe_open
from transformers.models.umt5.configuration_umt5 import UMT5Config
from transformers.models.umt5.modeling_umt5 import UMT5EncoderModel
from transformers.utils import logging as transformers_logging

from pipeline.engines.wan.weights import TensorEntry, check_tensors, read_header, weight_files
from pipeline.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

# One tensor under two names; files hold it under either or both.
TIED_EMBEDDINGS = ("shared.weight", "encoder.embed_tokens.weight")


def load_transformer(folder: Path, device: torch.device, dtype: torch.dtype) -> Any:
    """The ``WanTransformer3DModel`` in ``folder``, in evaluation mode.

    Raises:
        WeightsError: the configuration describes no network, or tensors are missing, unknown or of
            another shape.
    """
    model = _build(WanTransformer3DModel, folder)
    # The rotary table is computed when the network is built and is in no file.
    model.rope = WanRotaryPosEmbed(
        model.config.attention_head_dim, model.config.patch_size, model.config.rope_max_seq_len
    ).to(device)
    return _fill(model, folder, device, dtype)


def load_vae(folder: Path, device: torch.device) -> Any:
    """The ``AutoencoderKLWan`` in ``folder``, in fp32 and evaluation mode.

    Raises:
        WeightsError: as for ``load_transformer``.
    """
    return _fill(_build(AutoencoderKLWan, folder), folder, device, torch.float32)


def load_text_encoder(folder: Path, device: torch.device, dtype: torch.dtype) -> Any:
    """The ``UMT5EncoderModel`` in ``folder``, in evaluation mode.

    Raises:
        WeightsError: as for ``load_transformer``.
    """
    with _described(folder), torch.device("meta"):
        blank = UMT5EncoderModel(UMT5Config.from_pretrained(folder, local_files_only=True))
    entries = _entries(folder, "model")
    if not any(entry.name in TIED_EMBEDDINGS for entry in entries):
        raise WeightsError(f"{folder}: missing tensors: one of {list(TIED_EMBEDDINGS)}")
    check_tensors(_shapes(blank), entries, optional=TIED_EMBEDDINGS)
    with _no_progress_bar():
        model = UMT5EncoderModel.from_pretrained(
            folder, dtype=dtype, local_files_only=True, use_safetensors=True
        )
    return model.eval().requires_grad_(requires_grad=False).to(device)


def _build(network: Any, folder: Path) -> Any:
    """The network that ``config.json`` describes, without storage for its tensors."""
    with _described(folder), torch.device("meta"):
        return network.from_config(network.load_config(folder))


@contextmanager
def _described(folder: Path) -> Iterator[None]:
    """Name the file when values in it break the network's constructor in whatever way."""
    try:
        yield
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as error:
        raise WeightsError(f"{folder / 'config.json'}: describes no network: {error}") from error


def _fill(model: Any, folder: Path, device: torch.device, dtype: torch.dtype) -> Any:
    """Give ``model``, built without storage, the tensors of ``folder``."""
    ignored = model._keys_to_ignore_on_load_unexpected or []  # noqa: SLF001 - diffusers' own policy
    entries = [
        entry
        for entry in _entries(folder, "diffusion_pytorch_model")
        if not any(re.search(pattern, entry.name) for pattern in ignored)
    ]
    check_tensors(_shapes(model), entries)
    kept_fp32 = set(model._keep_in_fp32_modules or [])  # noqa: SLF001 - diffusers' own policy
    tensors: dict[str, Tensor] = {}
    for name, tensor in _read(entries):
        kept = not kept_fp32.isdisjoint(name.split("."))
        # Always a copy: where in a mapped file a tensor starts would decide its last bits.
        tensors[name] = tensor.to(device, torch.float32 if kept else dtype, copy=True)
    model.load_state_dict(tensors, strict=True, assign=True)
    return model.eval().requires_grad_(requires_grad=False)


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Keep transformers from drawing on stderr; an actor's stderr is a log."""
    was_enabled = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            transformers_logging.enable_progress_bar()


def _entries(folder: Path, stem: str) -> list[TensorEntry]:
    return [entry for path in weight_files(folder, stem) for entry in read_header(path)]


def _shapes(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def _read(entries: list[TensorEntry]) -> Iterator[tuple[str, Tensor]]:
    """Names and memory-mapped tensors, one file open at a time."""
    for path in dict.fromkeys(entry.path for entry in entries):
        try:
            file: Any = safe_open(path, framework="pt")
        except SafetensorError as error:
            raise WeightsError(f"{path}: not a valid safetensors file: {error}") from error
        with file:
            for entry in entries:
                if entry.path == path:
                    yield entry.name, file.get_tensor(entry.name)
