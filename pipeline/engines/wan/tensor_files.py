"""Files of tensors: safetensors, and what ``torch.save`` wrote.

Both are memory-mapped: a tensor's bytes are read when it is copied to its device. Files of
``torch.save`` are pickles; they are loaded with ``weights_only``, which makes nothing but tensors
and plain containers.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pipeline.engines.wan.weights import SAFETENSORS, read_header
from pipeline.engines.wan.wrappers import section
from pipeline.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor in a file, by the name and shape that it has there."""

    path: Path
    name: str
    shape: tuple[int, ...]


def stored_tensors(path: Path) -> list[StoredTensor]:
    """What a file of either kind holds.

    Raises:
        WeightsError: it is damaged, of another kind, or wants more than tensors to be made.
    """
    if path.suffix == SAFETENSORS:
        return [StoredTensor(path, entry.name, entry.shape) for entry in read_header(path)]
    return [
        StoredTensor(path, name, tuple(tensor.shape)) for name, tensor in _torch_file(path).items()
    ]


def read_tensors(path: Path, names: Collection[str]) -> Iterator[tuple[str, Tensor]]:
    """Names and memory-mapped tensors of a file.

    Raises:
        WeightsError: as ``stored_tensors``.
    """
    if path.suffix != SAFETENSORS:
        tensors = _torch_file(path)
        for name in names:
            yield name, tensors[name]
        return
    try:
        file: Any = safe_open(path, framework="pt")
    except SafetensorError as error:
        raise WeightsError(f"{path}: not a valid safetensors file: {error}") from error
    with file:
        for name in names:
            yield name, file.get_tensor(name)


def _torch_file(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of ``torch.save``, mapped if it is of the newer, zipped kind."""
    try:
        values = torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file") from None
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"{path}: can't be read as a torch file of tensors alone: {reason}"
        ) from error
    if not isinstance(values, Mapping):
        raise WeightsError(f"{path}: got {type(values).__name__}, expected names and tensors")
    tensors = section(values)
    others = sorted(str(name) for name, value in tensors.items() if not isinstance(value, Tensor))
    if others or not tensors:
        raise WeightsError(f"{path}: got {others[:8]}, expected nothing but tensors, and some")
    return {str(name): tensor for name, tensor in tensors.items()}
