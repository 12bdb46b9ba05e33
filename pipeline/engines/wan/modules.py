"""Loads the networks of a Wan checkpoint: diffusers' and transformers' classes.

Precision is diffusers' own policy: the transformer in the precision asked for, but for what
``WanTransformer3DModel`` lists in ``_keep_in_fp32_modules``; the autoencoder in fp32 throughout, as
diffusers' documentation of Wan has it; the text encoder as transformers loads it.

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
from transformers.models.umt5.configuration_umt5 import UMT5Config
from transformers.models.umt5.modeling_umt5 import UMT5EncoderModel

from pipeline.engines.wan.json_file import JsonFile
from pipeline.engines.wan.lora import merged, read_loras
from pipeline.engines.wan.published_names import TEXT_ENCODER, TRANSFORMER, vae_names
from pipeline.engines.wan.state_dict import StateDict
from pipeline.engines.wan.tensor_files import stored_tensors
from pipeline.engines.wan.weights import weight_files
from pipeline.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

    from pipeline.engines.wan.name_table import NameTable
    from pipeline.engines.wan.tensor_files import StoredTensor

# One tensor under two names; files hold it under either or both.
TIED_EMBEDDINGS = ("shared.weight", "encoder.embed_tokens.weight")


def load_transformer(folder: Path, device: torch.device, dtype: torch.dtype) -> Any:
    """The ``WanTransformer3DModel`` in ``folder``, in evaluation mode, with its LoRAs merged.

    Raises:
        WeightsError: the configuration describes no network, or tensors are missing, unknown or of
            another shape.
    """
    model = _build(WanTransformer3DModel, folder)
    # The rotary table is computed when the network is built and is in no file.
    model.rope = WanRotaryPosEmbed(
        model.config.attention_head_dim, model.config.patch_size, model.config.rope_max_seq_len
    ).to(device)
    return fill(model, _tensors(model, folder, TRANSFORMER), device, dtype, kept_fp32(model))


def load_vae(folder: Path, device: torch.device) -> Any:
    """The ``AutoencoderKLWan`` in ``folder``, in fp32 and evaluation mode.

    Raises:
        WeightsError: as for ``load_transformer``.
    """
    model = _build(AutoencoderKLWan, folder)
    table = vae_names(JsonFile.read(folder / "config.json"))
    return fill(model, _tensors(model, folder, table), device, torch.float32, frozenset())


def load_text_encoder(folder: Path, device: torch.device, dtype: torch.dtype) -> Any:
    """The ``UMT5EncoderModel`` in ``folder``, in evaluation mode.

    Raises:
        WeightsError: as for ``load_transformer``.
    """
    with _described(folder), torch.device("meta"):
        model = UMT5EncoderModel(UMT5Config.from_pretrained(folder, local_files_only=True))
    found = StateDict.match(
        _stored(folder, "model"), _shapes(model), TEXT_ENCODER, optional=TIED_EMBEDDINGS
    )
    embeddings = [name for name in TIED_EMBEDDINGS if name in found.tensors]
    if not embeddings:
        raise WeightsError(f"{folder}: missing tensors: one of {list(TIED_EMBEDDINGS)}")
    tensors = {name: tensor for name, tensor in found.read() if name not in embeddings[1:]}
    tied = dict.fromkeys(TIED_EMBEDDINGS, embeddings[0])
    kept = kept_fp32_of_text(model, dtype)
    return fill(model, tensors.items(), device, dtype, kept, tied=tied)


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


def _tensors(model: Any, folder: Path, table: NameTable) -> Iterator[tuple[str, Tensor]]:
    """What the files of ``folder`` hold for ``model``, by its own names, LoRAs merged."""
    ignored = model._keys_to_ignore_on_load_unexpected or []  # noqa: SLF001 - diffusers' own policy
    stored = [
        tensor
        for tensor in _stored(folder, "diffusion_pytorch_model")
        if not any(re.search(pattern, tensor.name) for pattern in ignored)
    ]
    expected = _shapes(model)
    loras = read_loras(folder, expected, table)
    for name, tensor in StateDict.match(stored, expected, table).read():
        yield name, merged(name, tensor, loras)


def fill(
    model: Any,
    tensors: Iterable[tuple[str, Tensor]],
    device: torch.device,
    dtype: torch.dtype,
    kept_fp32: frozenset[str],
    *,
    tied: Mapping[str, str] | None = None,
) -> Any:
    """Give ``model``, built without storage, its tensors; one may go by several names."""
    placed: dict[str, Tensor] = {}
    for name, tensor in tensors:
        kept = not kept_fp32.isdisjoint(name.split("."))
        # Always a copy: where in a mapped file a tensor starts would decide its last bits.
        placed[name] = tensor.to(device, torch.float32 if kept else dtype, copy=True)
    placed |= {alias: placed[name] for alias, name in (tied or {}).items()}
    model.load_state_dict(placed, strict=True, assign=True)
    return model.eval().requires_grad_(requires_grad=False)


def kept_fp32_of_text(model: Any, dtype: torch.dtype) -> frozenset[str]:
    """The same of a text encoder."""
    # transformers keeps these only when the rest is fp16 (modeling_utils.py, dtype plan).
    kept = frozenset(model._keep_in_fp32_modules or ())  # noqa: SLF001 - transformers' own policy
    return kept if dtype == torch.float16 else frozenset()


def kept_fp32(model: Any) -> frozenset[str]:
    """Parts of names of a transformer's tensors that stay fp32 in any precision."""
    return frozenset(model._keep_in_fp32_modules or ())  # noqa: SLF001 - diffusers' own policy


def _stored(folder: Path, stem: str) -> list[StoredTensor]:
    return [tensor for path in weight_files(folder, stem) for tensor in stored_tensors(path)]


def _shapes(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
