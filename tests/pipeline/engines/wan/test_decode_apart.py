"""Decoding in parts: against diffusers' whole video, by pieces with a warm-up, and in tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from pipeline.decode_pieces import PieceDecoder, cut_into_pieces
from pipeline.embedded import weights_folder
from pipeline.engines.registry import EngineOptions, read_spec
from pipeline.engines.wan.causal import CausalDecoder
from pipeline.engines.wan.engine import WanEngine
from pipeline.engines.wan.modules import load_vae
from pipeline.engines.wan.reach import reach_latent_frames
from pipeline.tiling import Tiling
from tests.tiny_wan import _make_vae

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
    from numpy.typing import NDArray
    from torch import Tensor

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def autoencoder(name: str) -> AutoencoderKLWan:
    """The embedded one, or a tiny one of each kind with as many channels as the published have."""
    if name == "embedded":
        return load_vae(weights_folder() / "vae", torch.device("cpu"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _make_vae(name, 48 if name == "2.2-5b" else 16)


def latents_of(vae: AutoencoderKLWan, num_latent_frames: int, side: int = 2) -> Tensor:
    shape = (1, vae.config.z_dim, num_latent_frames, side, side)
    return torch.randn(shape, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("name", ["2.1", "2.2-5b", "embedded"])
@torch.no_grad()
def test_streaming_is_diffusers_whole_decode_but_for_rounding(name: str) -> None:
    """It runs the first, pointwise convolution on all latent frames at once: other roundings."""
    vae = autoencoder(name)
    z_BCTHW = latents_of(vae, 7, side=3)
    decoder = CausalDecoder(vae)
    pixels = torch.cat([decoder.decode(z_BCTHW[:, :, t : t + 1]) for t in range(7)], dim=2)
    whole = vae.decode(z_BCTHW).sample
    error = float((pixels.clamp(-1, 1) - whole).norm() / whole.norm())
    print(f"{name}: relative error {error:.1e}")
    assert error < 1e-5
    assert whole.std() > 0.05


@pytest.mark.parametrize(
    ("num_res_blocks", "doubles_time", "reach"),
    [(2, [True, True, False], 38), (1, [True, True, False], 30), (1, [True, True], 28)],
)
def test_the_reach_of_published_tiny_and_embedded_decoders(
    num_res_blocks: int, doubles_time: list[bool], reach: int
) -> None:
    assert reach_latent_frames(num_res_blocks, doubles_time) == reach


@pytest.mark.parametrize("name", ["2.1", "2.2-5b", "embedded"])
def test_a_warm_up_of_the_reach_is_exact_and_one_less_is_not(name: str) -> None:
    vae = autoencoder(name)
    doubles_time = [*vae.config.temperal_downsample][::-1]
    reach = reach_latent_frames(vae.config.num_res_blocks, doubles_time)
    z_BCTHW = latents_of(vae, reach + 4)
    # Loud, so that what is heard of it at the very end of the reach is not lost in rounding.
    z_BCTHW[:, :, 3] *= 1e4
    whole = last_pixels(vae, z_BCTHW)
    assert torch.equal(last_pixels(vae, z_BCTHW[:, :, 3:]), whole)
    assert not torch.equal(last_pixels(vae, z_BCTHW[:, :, 4:]), whole)


def last_pixels(vae: AutoencoderKLWan, z_BCTHW: Tensor) -> Tensor:
    decoder = CausalDecoder(vae)
    for latent in z_BCTHW.split(1, dim=2):
        pixels = decoder.decode(latent)
    return pixels


def test_specs_say_the_reach(engine: WanEngine) -> None:
    assert engine.spec.decode_reach_latent_frames == 30
    assert read_spec(EngineOptions()).decode_reach_latent_frames == 28


def test_pieces_are_the_stream_if_warm_and_near_it_if_not(engine: WanEngine) -> None:
    latents = torch.randn(
        32, engine.spec.channels, 1, 1, generator=torch.Generator().manual_seed(2)
    )
    whole = np.concatenate(list(engine.stream_decoder().push(latents)))
    errors = []
    for warmup in (1, 12, engine.spec.decode_reach_latent_frames):
        parts = by_pieces(engine, latents, warmup)
        assert parts.shape == whole.shape
        errors.append(float(np.square(parts.astype(float) - whole).mean()))
    assert errors[0] > 2 * errors[1] > 0
    assert errors[2] == 0.0


def by_pieces(engine: WanEngine, latents: Tensor, warmup: int) -> NDArray[np.uint8]:
    frames = []
    for piece in cut_into_pieces(len(latents), 31, warmup):
        decoder = PieceDecoder(engine, piece)
        frames += list(decoder.push(latents[piece.read.start : piece.read.stop]))
    return np.concatenate(frames)


# --- tiles ----------------------------------------------------------------------------------------

# Of 96 pixels a side: two tiles of 56.
SMALL = Tiling(tile_px=64, overlap_px=16)


@pytest.fixture(scope="module")
def embedded() -> WanEngine:
    return WanEngine.load(weights_folder(), device="cpu", dtype=torch.float32)


def test_a_tile_larger_than_the_picture_changes_nothing(engine: WanEngine) -> None:
    latents = torch.randn(5, engine.spec.channels, 4, 6, generator=torch.Generator().manual_seed(4))
    plain = np.concatenate(list(engine.stream_decoder().push(latents)))
    tiled = np.concatenate(list(engine.stream_decoder(Tiling()).push(latents)))
    np.testing.assert_array_equal(tiled, plain)


@pytest.mark.slow
def test_tiles_are_near_the_whole_picture_however_they_are_handed_over(
    embedded: WanEngine,
) -> None:
    """At a mean error of some grey values, most of it where a tile sees less than the picture."""
    latents = smooth_latents(embedded, 6, 12)
    plain = np.concatenate(list(embedded.stream_decoder().push(latents))).astype(float)
    at_once = list(embedded.stream_decoder(SMALL).push(latents))
    assert [len(frames) for frames in at_once] == [1, 4, 4, 4, 4, 4]
    decoder = embedded.stream_decoder(SMALL)
    parts = [frames for part in latents.split([1, 5]) for frames in decoder.push(part)]
    np.testing.assert_array_equal(np.concatenate(parts), np.concatenate(at_once))
    squared_HW = np.square(np.concatenate(parts) - plain).mean(axis=(0, 3))
    near = np.zeros(96, dtype=bool)
    near[24:72] = True  # the overlap of both tiles and two latent pixels beside it
    away = squared_HW[np.ix_(~near, ~near)].mean()
    print(f"mean squared error {squared_HW.mean():.2f}, away from the overlap {away:.2f}")
    assert 0 < away < squared_HW.mean() < 40.0


def smooth_latents(engine: WanEngine, num_latent_frames: int, side: int) -> Tensor:
    """Noise without its fine detail: more like a picture than white noise is."""
    generator = torch.Generator().manual_seed(6)
    coarse = torch.randn(num_latent_frames, engine.spec.channels, 4, 4, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
