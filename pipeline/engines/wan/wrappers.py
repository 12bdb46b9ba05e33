"""What trainers and programs put around a model's own tensor names, taken off again.

Sources: torch (``_fsdp_wrapped_module`` of FSDP, ``_checkpoint_wrapped_module`` of activation
checkpointing, ``_orig_mod`` of ``torch.compile``, ``module`` of DDP); Self-Forcing and
Causal-Forcing (``generator``, ``generator_ema``); rCM and TurboDiffusion (``net``, ``net_ema``);
ComfyUI and diffusers' single files (``model.diffusion_model``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipeline.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterable

# Anywhere in a name.
_INNER = re.compile(r"(?:^|(?<=\.))(?:_fsdp_wrapped_module|_checkpoint_wrapped_module|_orig_mod)\.")
# Before every name of a model; the longer first.
PREFIXES = ("model.diffusion_model.", "diffusion_model.", "module.", "model.", "net_ema.", "net.")
# Weights averaged over training are what is published to be used; they stand beside the others.
_AVERAGED, _LAST = "net_ema.", "net."
# Dictionaries in a file's dictionary, the best first.
SECTIONS = ("generator_ema", "generator", "ema", "state_dict", "model", "module")


def unwrapped(names: Iterable[str]) -> dict[str, str]:
    """The model's own names, each with its name in the file.

    Of a file with averaged weights (``net_ema``) beside the last ones (``net``) the averaged count.

    Raises:
        WeightsError: two names become one.
    """
    pairs = [(_INNER.sub("", name), name) for name in names]
    while prefix := _common_prefix([own for own, _ in pairs]):
        pairs = [(own.removeprefix(prefix), name) for own, name in pairs if own.startswith(prefix)]
    found: dict[str, str] = {}
    for own, name in pairs:
        if own in found:
            raise WeightsError(f"got {found[own]!r} and {name!r}, expected {own!r} once")
        found[own] = name
    return found


def section(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The dictionary of tensors in what ``torch.load`` gave: itself, or one of its sections."""
    for name in SECTIONS:
        inner = values.get(name)
        if isinstance(inner, Mapping):
            return section(inner)
    return values


def _common_prefix(names: list[str]) -> str | None:
    for prefix in PREFIXES:
        if names and all(name.startswith(prefix) for name in names):
            return prefix
    if any(name.startswith(_AVERAGED) for name in names) and all(
        name.startswith((_AVERAGED, _LAST)) for name in names
    ):
        return _AVERAGED
    return None
