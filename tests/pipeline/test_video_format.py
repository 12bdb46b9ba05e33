"""Rates and lengths are exact."""

from __future__ import annotations

from fractions import Fraction

import pytest

from pipeline.errors import EncodeError
from tests.pipeline.clips import video


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
