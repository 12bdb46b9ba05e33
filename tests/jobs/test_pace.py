"""The time that is left, and how a clock shows it."""

from __future__ import annotations

import pytest

from jobs.pace import Pace, clock_text


def test_what_is_left_follows_the_mean_pace_and_counts_down() -> None:
    pace = Pace(start_s=100, mark_s=110, done=2, total=6)
    assert [pace.remaining_s(now_s) for now_s in (110, 115, 130, 200)] == [20, 15, 0, 0]


@pytest.mark.parametrize("pace", [Pace(100, 100, 1, 6), Pace(100, 110, 0, 6)])
def test_without_a_pace_nothing_is_foretold(pace: Pace) -> None:
    assert pace.remaining_s(120) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (0.2, "0:01"),
        (59.5, "1:00"),
        (754, "12:34"),
        (10_800, "3:00:00"),
        (90_061, "1 d 1:01:01"),
    ],
)
def test_clock_text(seconds: float, text: str) -> None:
    assert clock_text(seconds) == text
