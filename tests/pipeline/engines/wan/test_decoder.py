"""Streaming against decoding at once, and decoders that share one autoencoder."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffusers.pipelines.wan.pipeline_wan import WanPipeline
    from numpy.typing import NDArray
    from torch import Tensor

    from pipeline.engines.wan.decoder import WanStreamDecoder
    from pipeline.engines.wan.engine import WanEngine

NUM_LATENT_FRAMES = 9


@pytest.fixture(scope="module")
def latents(engine: WanEngine) -> Tensor:
    shape = engine.spec.latent_shape(engine.spec.width, engine.spec.height)
    return torch.randn(NUM_LATENT_FRAMES, *shape, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def whole(engine: WanEngine, latents: Tensor) -> NDArray[np.uint8]:
    return decode(engine.stream_decoder(), latents, [NUM_LATENT_FRAMES])


def decode(decoder: WanStreamDecoder, latents: Tensor, chunks: list[int]) -> NDArray[np.uint8]:
    pieces = torch.split(latents, chunks)
    return np.concatenate([frames for piece in pieces for frames in decoder.push(piece)])


@torch.no_grad()
def test_streaming_equals_decoding_at_once(
    stock: WanPipeline, latents: Tensor, whole: NDArray[np.uint8]
) -> None:
    vae = stock.vae
    z_BCTHW = latents.transpose(0, 1)[None]
    mean = torch.tensor(vae.config.latents_mean).view(1, -1, 1, 1, 1)
    inverse_std = 1.0 / torch.tensor(vae.config.latents_std).view(1, -1, 1, 1, 1)
    pixels = vae.decode(z_BCTHW / inverse_std + mean).sample
    images = stock.video_processor.postprocess_video(pixels, output_type="pil")[0]
    np.testing.assert_array_equal(whole, np.stack([np.asarray(image) for image in images]))


def test_first_latent_frame_holds_one_frame(
    engine: WanEngine, latents: Tensor, whole: NDArray[np.uint8]
) -> None:
    shapes = [frames.shape for frames in engine.stream_decoder().push(latents)]
    size = (engine.spec.height, engine.spec.width, 3)
    assert shapes == [(1, *size)] + [(engine.spec.temporal_compression, *size)] * 8
    assert whole.dtype == np.uint8
    assert np.abs(np.diff(whole.astype(int), axis=0)).mean() > 2


@settings(deadline=None, max_examples=5)
@given(cuts=st.sets(st.integers(1, NUM_LATENT_FRAMES - 1)))
def test_chunks_do_not_matter(
    engine: WanEngine, latents: Tensor, whole: NDArray[np.uint8], cuts: set[int]
) -> None:
    edges = [0, *sorted(cuts), NUM_LATENT_FRAMES]
    chunks = [end - start for start, end in pairwise(edges)]
    np.testing.assert_array_equal(decode(engine.stream_decoder(), latents, chunks), whole)


def test_two_videos_in_alternation(
    engine: WanEngine, latents: Tensor, whole: NDArray[np.uint8]
) -> None:
    first, second = engine.stream_decoder(), engine.stream_decoder()
    backwards_TCHW = latents.flip(0)
    alone = decode(engine.stream_decoder(), backwards_TCHW, [NUM_LATENT_FRAMES])
    streams: list[Iterator[NDArray[np.uint8]]] = [
        first.push(latents),
        second.push(backwards_TCHW),
    ]
    taken: list[list[NDArray[np.uint8]]] = [[], []]
    for frames in zip(*streams, strict=True):
        for pile, piece in zip(taken, frames, strict=True):
            pile.append(piece)
    np.testing.assert_array_equal(np.concatenate(taken[0]), whole)
    np.testing.assert_array_equal(np.concatenate(taken[1]), alone)


def test_memory_does_not_grow(engine: WanEngine, latents: Tensor) -> None:
    decoder = engine.stream_decoder()
    sizes = []
    for _ in decoder.push(latents):
        kept = [entry for entry in decoder._causal[0].cache if isinstance(entry, torch.Tensor)]
        sizes.append(sum(tensor.numel() for tensor in kept))
        assert all(tensor.untyped_storage().nbytes() == tensor.nbytes for tensor in kept)
    assert sizes[2:] == [sizes[2]] * (NUM_LATENT_FRAMES - 2)


def test_frames_that_nobody_took_are_noticed(engine: WanEngine, latents: Tensor) -> None:
    decoder = engine.stream_decoder()
    next(decoder.push(latents[:3]))
    with pytest.raises(AssertionError, match="2 latent frames of the last push"):
        decoder.push(latents[3:])
