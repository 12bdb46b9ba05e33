"""What each memory profile takes, against its estimate, and that it renders what it should.

Measured on a CPU: the bytes of all tensors alive while an engine makes a video. What is loaded by
way of the machine's memory, and the buffers of blocks that stay there, is on the machine's account;
everything else on the device's. Only a GPU can tell what its allocator and its kernels take besides
(``test_on_a_gpu``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from pipeline.engines.protocol import NoiseLevel, WindowImage
from pipeline.engines.wan import block_stream, networks
from pipeline.engines.wan.checkpoint import Checkpoint
from pipeline.engines.wan.engine import WanEngine
from pipeline.engines.wan.estimator import Estimator
from pipeline.engines.wan.memory_profile import PROFILES
from pipeline.engines.wan.paired import PairedWanEngine
from pipeline.engines.wan.storage_meter import StorageMeter
from tests.pipeline.engines.wan.wide_wan import make_wide_wan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from pipeline.engines.wan.memory_profile import MemoryProfile

# On either side of the boundary between two experts.
LEVELS = (NoiseLevel(sigma=0.95, timestep=950.0), NoiseLevel(sigma=0.5, timestep=500.0))
TOLERANCE = 0.2
# Two experts; an image by channels and by CLIP; a residual autoencoder, one timestep per token.
LAYOUTS = ("2.2-a14b", "2.1-i2v", "2.2-5b")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("wide_wan")
    return {layout: make_wide_wan(root / layout, layout) for layout in LAYOUTS}


@pytest.fixture(scope="module")
def estimators(folders: dict[str, Path]) -> dict[str, Estimator]:
    return {
        layout: Estimator.of_checkpoint(Checkpoint.open(folder), torch.float32, "cpu")
        for layout, folder in folders.items()
    }


@dataclass
class Account:
    """Tells apart whose memory a tensor is in, by where in the code it is made."""

    device: StorageMeter = field(default_factory=lambda: StorageMeter("cpu"))
    host: StorageMeter = field(default_factory=lambda: StorageMeter("cpu"))

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        for name in ("load_transformer", "load_text_encoder"):
            patch.setattr(networks, name, self._loading(getattr(networks, name)))
        patch.setattr(block_stream, "_Block", self._on_host(block_stream._Block))
        patch.setattr(networks, "store_as_fp8", self._on_host(networks.store_as_fp8))

    def _on_host(self, make: Callable[..., Any]) -> Callable[..., Any]:
        def made(*args: Any, **kwargs: Any) -> Any:
            with self.device.paused(), self.host:
                return make(*args, **kwargs)

        return made

    def _loading(self, load: Callable[..., Any]) -> Callable[..., Any]:
        def loaded(folder: Path, device: torch.device, dtype: torch.dtype) -> Any:
            by_way = device is networks.HOST
            return (self._on_host(load) if by_way else load)(folder, device, dtype)

        return loaded


@dataclass
class Session:
    """A video's making, phase by phase: the most that each took, and what it gave."""

    peaks: dict[str, int] = field(default_factory=dict)
    host_peak: int = 0
    made: list[Any] = field(default_factory=list)

    @classmethod
    def of(cls, folder: Path, memory: MemoryProfile, patch: pytest.MonkeyPatch) -> Session:
        account, session = Account(), cls()
        account.watch(patch)
        with account.device as meter:
            engine = WanEngine.load(folder, device="cpu", dtype=torch.float32, profile=memory)
            for name, make in _phases(engine):
                session.made += make()
                session.peaks[name] = meter.peak_bytes
                meter.restart()
        session.host_peak = account.host.peak_bytes
        return session


def _phases(engine: WanEngine) -> list[tuple[str, Callable[[], list[Any]]]]:
    spec = engine.spec
    shape = spec.window_latent_frames, *spec.latent_shape(spec.width, spec.height)
    latents_TCHW = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    pixels_HWC = np.full((spec.height, spec.width, 3), 90, dtype=np.uint8)
    told: list[Any] = [None, None]

    def load() -> list[Tensor]:
        return []

    def text() -> list[Tensor]:
        (told[0],) = engine.encode_prompts(["a red ball"])
        return [told[0]]

    def image() -> list[Tensor]:
        embeds = engine.encode_image(pixels_HWC)
        told[1] = WindowImage(embeds, at_start=True)
        return [embeds.latents_TCHW]

    def denoise() -> list[Tensor]:
        return [engine.predict(latents_TCHW, level, *told) for level in (*LEVELS, *LEVELS)]

    def decode() -> list[Any]:
        return list(engine.stream_decoder().push(latents_TCHW[:4]))

    phases = {"load": load, "text": text, "image": image, "denoise": denoise, "decode": decode}
    return [(n, p) for n, p in phases.items() if n != "image" or spec.image != "none"]


CASES = [("2.2-a14b", name) for name in PROFILES] + [
    ("2.1-i2v", "text-freed"),
    ("2.2-5b", "offloaded"),
]


@pytest.mark.parametrize(("layout", "name"), CASES)
def test_a_profile_takes_what_its_estimate_says(
    folders: dict[str, Path],
    estimators: dict[str, Estimator],
    monkeypatch: pytest.MonkeyPatch,
    layout: str,
    name: str,
) -> None:
    estimate = estimators[layout].of(PROFILES[name])
    session = Session.of(folders[layout], PROFILES[name], monkeypatch)
    expected = {phase.name: phase.num_bytes for phase in estimate.phases}
    print(f"\n{layout} {name}: peak in '{estimate.peak.name}'")
    for phase in ("load", "text", "denoise", "decode"):
        ratio = session.peaks[phase] / expected[phase]
        print(f"  {phase}: {session.peaks[phase]} bytes, estimate {expected[phase]}: {ratio:.3f}")
        assert abs(ratio - 1) < TOLERANCE
    assert abs(max(session.peaks.values()) / estimate.peak.num_bytes - 1) < TOLERANCE
    print(f"  machine: {session.host_peak} bytes, estimate {estimate.host_bytes}")
    assert session.host_peak <= (1 + TOLERANCE) * estimate.host_bytes


def test_guidance_in_one_batch_is_counted(
    folders: dict[str, Path], estimators: dict[str, Estimator]
) -> None:
    folder, layout = folders["2.2-a14b"], "2.2-a14b"
    checkpoint = Checkpoint.open(folder)
    profile = PROFILES["text-freed"]
    estimator = Estimator.of_checkpoint(checkpoint, torch.float32, "cpu", batch=2)
    two, one = (
        {phase.name: phase.num_bytes for phase in each.of(profile).phases}["denoise"]
        for each in (estimator, estimators[layout])
    )
    spec = checkpoint.spec
    shape = spec.window_latent_frames, *spec.latent_shape(spec.width, spec.height)
    with StorageMeter("cpu") as meter:
        engine = PairedWanEngine.load(folder, device="cpu", dtype=torch.float32, profile=profile)
        first_SD, second_SD = engine.encode_prompts(["a red ball", "rain"])
        window_TCHW = torch.zeros(shape)
        meter.restart()
        engine.predict_pair(window_TCHW, LEVELS[0], (first_SD, second_SD))
    print(f"batch of two: {meter.peak_bytes} bytes, estimate {two}; of one {one}")
    assert two > 1.2 * one
    assert abs(meter.peak_bytes / two - 1) < TOLERANCE
