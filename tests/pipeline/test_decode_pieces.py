"""Pieces of a video: what each reads and keeps, and when they are exact."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.decode_options import DecodeOptions
from pipeline.decode_pieces import PieceDecoder, cut_into_pieces, pieces_of
from pipeline.errors import ConfigError
from tests.plans import MODES, small_gaussian, small_plan


@given(total=st.integers(1, 500), longest=st.integers(1, 90), warmup=st.integers(1, 40))
def test_pieces_keep_every_latent_frame_once(total: int, longest: int, warmup: int) -> None:
    pieces = cut_into_pieces(total, longest, warmup)
    assert (pieces[0].kept.start, pieces[-1].kept.stop) == (0, total)
    assert all(left.kept.stop == right.kept.start for left, right in pairwise(pieces))
    lengths = [len(piece.kept) for piece in pieces]
    assert max(lengths) <= longest
    assert max(lengths) - min(lengths) <= 1
    for piece in pieces:
        assert piece.read.start == max(0, piece.kept.start - warmup)


@pytest.mark.parametrize("piece_latent_frames", [1, 3, 8])
def test_the_oracle_s_pieces_are_its_stream(piece_latent_frames: int) -> None:
    engine = small_gaussian()
    latents = torch.randn(17, 4, 2, 4, generator=torch.Generator().manual_seed(1))
    whole = np.concatenate(list(engine.stream_decoder().push(latents)))
    reach = engine.spec.decode_reach_latent_frames
    parts = []
    for piece in cut_into_pieces(17, piece_latent_frames, reach):
        decoder = PieceDecoder(engine, piece)
        parts += list(decoder.push(latents[piece.read.start : piece.read.stop]))
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("mode", MODES)
def test_copies_are_joined_first_and_decoded_as_a_stream(mode: str) -> None:
    plan = small_plan(small_gaussian(), 402, mode=mode)
    options = DecodeOptions(parallel=True, piece_latent_frames=16)
    expected = 7 if mode in {"halo", "consensus"} else 1
    assert len(pieces_of(plan, options)) == expected
    assert len(pieces_of(plan, DecodeOptions(piece_latent_frames=16))) == 1


def test_what_is_exact() -> None:
    assert DecodeOptions().is_exact_for(38)
    assert DecodeOptions(parallel=True).is_exact_for(38)
    assert DecodeOptions(parallel=True, warmup_latent_frames=38).is_exact_for(38)
    assert not DecodeOptions(parallel=True, warmup_latent_frames=37).is_exact_for(38)
    assert DecodeOptions(warmup_latent_frames=1).is_exact_for(38)
    assert not DecodeOptions(tiled=True).is_exact_for(38)
    assert DecodeOptions(parallel=True, warmup_latent_frames=90).warmup_for(38) == 38


@pytest.mark.parametrize("key", ["piece_latent_frames", "warmup_latent_frames"])
def test_nothing_can_t_be_decoded_and_needs_a_warm_up(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"decode\.{key} = 0: expected at least 1"):
        DecodeOptions(**{key: 0})
