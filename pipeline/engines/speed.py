"""What may make a model faster on one device.

All of it is off by default, since all of it may change the last bits of a prediction: what is on
belongs to a video's fingerprint. Nothing is loaded here: whether a machine has what is asked for,
the engine finds out when it is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pipeline.errors import ConfigError

NATIVE: Final = "native"
# diffusers' own names (huggingface/diffusers 0.42, models/attention_dispatch.py). Left out: those
# that end in "hub", which download a kernel when they are first called; those of devices that are
# neither CPU nor CUDA; and "flex", which holds every score of a window at once.
ATTENTION_BACKENDS: Final = (
    *(NATIVE, "_native_flash", "_native_cudnn", "_native_efficient", "_native_math"),
    *("flash", "flash_varlen", "_flash_3", "_flash_varlen_3", "sage", "sage_varlen"),
    *("_sage_qk_int8_pv_fp8_cuda", "_sage_qk_int8_pv_fp8_cuda_sm90"),
    *("_sage_qk_int8_pv_fp16_cuda", "_sage_qk_int8_pv_fp16_triton", "xformers"),
)
_DOWNLOADED: Final = "hub"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedOptions:
    """Faster, with other last bits.

    Attributes:
        attention_backend: who computes attention, by diffusers' name; ``native`` leaves the choice
            to torch.
        compile: whether the transformer's blocks are compiled, at a first window's expense.
        fuse_projections: whether query, key and value are one matrix product.
        batch_guidance: whether a window's predictions with and without its prompt are one batch of
            two: its activations take twice the memory.
    """

    attention_backend: str = NATIVE
    compile: bool = False
    fuse_projections: bool = False
    batch_guidance: bool = False

    def __post_init__(self) -> None:
        name = self.attention_backend
        if name in ATTENTION_BACKENDS:
            return
        known = ", ".join(ATTENTION_BACKENDS)
        reason = f"expected one of {known}"
        if name.endswith(_DOWNLOADED):
            reason = f"downloads its kernel, and nothing is downloaded here; {reason}"
        raise ConfigError(f"engine.speed.attention_backend = {name!r}: {reason}")

    @property
    def changes(self) -> dict[str, str | bool]:
        """The options that are not as they are by default, by name."""
        usual = SpeedOptions()
        names = ("attention_backend", "compile", "fuse_projections", "batch_guidance")
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value != getattr(usual, name)}
