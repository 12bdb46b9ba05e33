"""Low-rank changes to a transformer's weights, merged into them when they are loaded.

``W + scale * alpha / rank * B A`` (Hu et al. 2106.09685, section 4.1; no alpha: alpha = rank), and
``W + scale * diff`` for changes that are stored whole. Names as trainers write them: peft and
diffusers (``lora_A``, ``lora_B``), kohya (``lora_unet_`` with underscores, ``lora_down``,
``lora_up``), the published layout (``diffusion_model.``), ``diff`` and ``diff_b`` as ComfyUI
extracts them.

Shape suffixes: O outputs, I inputs, R rank; a convolution's inputs are flattened.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from pipeline.engines.wan.json_file import JsonFile
from pipeline.engines.wan.tensor_files import read_tensors, stored_tensors
from pipeline.engines.wan.weights import LORAS, some
from pipeline.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from torch import Tensor

    from pipeline.engines.wan.name_table import NameTable

_PREFIX = re.compile(
    r"^(base_model\.model\.|model\.diffusion_model\.|diffusion_model\.|transformer\.|lora_unet_"
    r"|lora_transformer_)+"
)
# What a name ends in, and what that is.
_ENDINGS = {
    "down": re.compile(r"\.(lora_A|lora_down|lora\.down)(\.default)?\.weight$"),
    "up": re.compile(r"\.(lora_B|lora_up|lora\.up)(\.default)?\.weight$"),
    "up_bias": re.compile(r"\.lora_B(\.default)?\.bias$"),
    "alpha": re.compile(r"\.alpha$"),
    "diff": re.compile(r"\.diff$"),
    "diff_b": re.compile(r"\.diff_b$"),
}


@dataclass(frozen=True, slots=True)
class Lora:
    """The changes in one file.

    Attributes:
        scale: how much of them is added.
        changes: by module (or single parameter) of the network, what the file holds for it: some of
            ``down`` [R, I], ``up`` [O, R], ``up_bias`` [O], ``alpha``, ``diff``, ``diff_b``.
    """

    path: Path
    scale: float
    changes: Mapping[str, Mapping[str, Tensor]]

    @classmethod
    def read(cls, path: Path, scale: float, network: Iterable[str], table: NameTable) -> Lora:
        """Read a file for a network.

        Args:
            path: safetensors, or tensors that ``torch.save`` wrote.
            scale: how much of it is added.
            network: the network's tensor names.
            table: published names and canonical ones.

        Raises:
            WeightsError: names that belong to no module of the network, halves without their other
                half, or a file that can't be read.
        """
        targets = _targets(network, table)
        stored = [tensor.name for tensor in stored_tensors(path)]
        changes: dict[str, dict[str, Tensor]] = {}
        unknown = []
        for name, tensor in read_tensors(path, stored):
            module, kind = _split(name)
            target = targets.get(_PREFIX.sub("", module))
            if target is None or not kind:
                unknown.append(name)
            else:
                changes.setdefault(target, {})[kind] = tensor
        if unknown or not changes:
            raise WeightsError(
                f"{path}: got unknown tensors {some(sorted(unknown))} of {len(stored)}, expected "
                "low-rank changes (lora_A, lora_B, lora_down, lora_up, alpha, diff, diff_b) of "
                "the transformer's modules"
            )
        halves = sorted(
            name for name, parts in changes.items() if ("up" in parts) != ("down" in parts)
        )
        if halves:
            raise WeightsError(f"{path}: only one of two factors for {some(halves)}")
        return cls(path, scale, changes)

    def change(self, name: str, shape: torch.Size) -> Tensor | None:
        """What is added to a parameter, fp32, without the scale; ``None``: it stays as it is.

        Raises:
            WeightsError: the change is of another shape.
        """
        module, _, leaf = name.rpartition(".")
        parts = self.changes.get(module, {})
        found = [*_whole(self.changes.get(name, {}), "diff")]
        if leaf == "weight":
            found += [*_whole(parts, "diff"), *_product(parts)]
        elif leaf == "bias":
            found += [*_whole(parts, "diff_b"), *_whole(parts, "up_bias")]
        for tensor in found:
            if tensor.numel() != shape.numel():
                raise WeightsError(
                    f"{self.path}: a change of {list(tensor.shape)} for {name}, expected "
                    f"{list(shape)}"
                )
        return sum((t.reshape(shape) for t in found), torch.zeros(shape)) if found else None

    def check_used(self, network: Iterable[str]) -> None:
        """Refuse what would be dropped without a word: a change of a bias that isn't there.

        Raises:
            WeightsError: there is one.
        """
        known = set(network)
        lost = sorted(
            f"{module}.{kind}"
            for module, parts in self.changes.items()
            for kind in parts
            if kind in {"diff_b", "up_bias"} and f"{module}.bias" not in known
        )
        if lost:
            raise WeightsError(f"{self.path}: changes of biases that are not there: {some(lost)}")


def read_loras(folder: Path, network: Iterable[str], table: NameTable) -> list[Lora]:
    """The changes that ``loras.json`` in a network's folder names, in their order; often none.

    Raises:
        WeightsError: as ``Lora.read``, or ``loras.json`` is damaged.
    """
    path = folder / LORAS
    if not path.is_file():
        return []
    names, loras = [*network], []
    for entry in JsonFile.read(path).sequence("loras"):
        lora = Lora.read(folder / str(entry["file"]), float(entry["scale"]), names, table)
        lora.check_used(names)
        loras.append(lora)
    return loras


def merged(name: str, tensor: Tensor, loras: Iterable[Lora]) -> Tensor:
    """A parameter with all changes added, in fp32 where there are any.

    Raises:
        WeightsError: a change is of another shape.
    """
    for lora in loras:
        change = lora.change(name, tensor.shape)
        if change is not None:
            tensor = tensor.float() + lora.scale * change
    return tensor


def _targets(network: Iterable[str], table: NameTable) -> dict[str, str]:
    """Every way to write a module, or a parameter that has no module of its own, to its name."""
    targets: dict[str, str] = {}
    for name in network:
        module, _, leaf = name.rpartition(".")
        own = module if leaf in {"weight", "bias"} else name
        for spelling in (own, table.published(own) or own):
            targets[spelling] = own
            targets[spelling.replace(".", "_")] = own
    return targets


def _split(name: str) -> tuple[str, str]:
    for kind, ending in _ENDINGS.items():
        found = ending.search(name)
        if found:
            return name[: found.start()], kind
    return name, ""


def _whole(parts: Mapping[str, Tensor], kind: str) -> list[Tensor]:
    return [parts[kind].float()] if kind in parts else []


def _product(parts: Mapping[str, Tensor]) -> list[Tensor]:
    if "up" not in parts:
        return []
    up_OR, down_RI = parts["up"].float().flatten(1), parts["down"].float().flatten(1)
    rank: Any = len(down_RI)
    alpha = float(parts["alpha"]) if "alpha" in parts else rank
    return [alpha / rank * (up_OR @ down_RI)]
