"""What changes the picture belongs to the fingerprint, and nothing else does."""

from __future__ import annotations

from dataclasses import fields

import pytest

from jobs.config import load_config, numeric_options
from jobs.settings import JobConfig
from pipeline.encoding.encode_options import EncodeOptions

NUMERIC = [
    "engine.dtype=bfloat16",
    "engine.profile=fp8",
    "sampler.solver=euler",
    "boundary.mode=none",
    "boundary.mode=decay",
    "boundary.halo_latent_frames=3",
    "boundary.shift=false",
    "noise.shared_dc=0.2",
    "prompts.transition_s=0",
    "decode.tiled=true",
    "encode.codec=libx265",
    "encode.crf=30",
    "encode.preset=fast",
    "encode.pixel_format=yuv444p",
]
NOT_NUMERIC = [
    "gang.actors=2",
    "gang.threads_per_actor=2",
    "gang.steps_ahead=1",
    "decode.parallel=true",
    "decode.piece_latent_frames=32",
    "decode.warmup_latent_frames=8",
    "decode.tile_px=512",
    "encode.threads=1",
    "encode.faststart=false",
    "encode.crf=18",
    "encode.preset=medium",
    "output.keep_latents=always",
    "store.part_bytes=33554432",
    "ray.num_cpus=2",
    "boundary.overlap_frames=8",
    "noise.shared_dc_latent_frames=9",
    "engine.device=cpu",
    "engine.profile=in-turn",
    "engine.memory_limit_gb=20",
    "quality.gate=false",
    "quality.max_black_share=1",
    "engine.gaussian.channels=4",
]


@pytest.mark.parametrize("override", NUMERIC)
def test_what_changes_the_picture_is_numeric(override: str) -> None:
    assert numeric_options(load_config(overrides=[override])) != numeric_options(load_config())


@pytest.mark.parametrize("override", NOT_NUMERIC)
def test_what_does_not_change_the_picture_is_not(override: str) -> None:
    assert numeric_options(load_config(overrides=[override])) == numeric_options(load_config())


def test_the_oracle_counts_its_options_but_not_its_time() -> None:
    def options(*overrides: str) -> dict[str, object]:
        return {**numeric_options(load_config(preset="gaussian", overrides=overrides))}

    assert options("engine.gaussian.channels=4") != options()
    assert options("engine.gaussian.window_cost_s=1") == options()
    assert options("boundary.mode=decay")["boundary.overlap_frames"] == 16


def test_pieces_count_where_they_are_not_exact() -> None:
    def options(*overrides: str) -> dict[str, object]:
        return {**numeric_options(load_config(overrides=["decode.parallel=true", *overrides]))}

    assert options("decode.piece_latent_frames=32") == options()
    inexact = options("decode.warmup_latent_frames=8")
    assert inexact != options()
    assert options("decode.warmup_latent_frames=8", "decode.piece_latent_frames=32") != inexact


def test_every_section_is_sorted_into_numeric_or_not() -> None:
    """Whoever adds an option must decide whether it belongs to the fingerprint."""
    counted = {"sampler", "boundary", "noise", "prompts"}
    keys = numeric_options(load_config(preset="gaussian")).keys()
    for section in counted:
        for field in fields(getattr(JobConfig(), section)):
            assert f"{section}.{field.name}" in keys
    not_counted = {"threads", "faststart"}
    encode = {field.name for field in fields(EncodeOptions)}
    assert {key.removeprefix("encode.") for key in keys if key.startswith("encode.")} == (
        encode - not_counted
    )
