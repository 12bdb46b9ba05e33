"""Rates and lengths are exact."""

from __future__ import annotations

from fractions import Fraction

import pytest

from pipeline.encoding.video_format import VideoFormat
from pipeline.errors import EncodeError
from pipeline.request import VideoRequest
from tests.pipeline.encoding.clips import HEIGHT, WIDTH, video


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
def test_rates_that_are_none_are_named(fps: float) -> None:
    with pytest.raises(EncodeError, match="expected a positive finite number"):
        video(1, 16, fps)


@pytest.mark.parametrize(
    ("fps", "rate"),
    [(12.5, "25/2"), (29.97, "30000/1001"), (59.94, "60000/1001"), (23.98, "24000/1001"), (5, "5")],
)
def test_rates_mean_what_people_mean(fps: float, rate: str) -> None:
    assert video(1, 16, fps).rate == Fraction(rate)


def test_retime_keeps_the_duration_of_whole_seconds() -> None:
    form = video(160, 16, 24)
    assert (form.num_output_frames, form.duration_s) == (240, Fraction(10))


def test_format_of_a_request_keeps_both_rates() -> None:
    request = VideoRequest(
        id="fox",
        prompt="a fox",
        events=(),
        negative_prompt="",
        seed=1,
        num_frames=81,
        width=WIDTH,
        height=HEIGHT,
        fps=24,
        engine_fps=16,
        num_inference_steps=20,
        guidance_scale=5,
        flow_shift=3,
    )
    assert VideoFormat.of(request) == video(81, 16, 24)
