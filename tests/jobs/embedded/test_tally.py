"""Counting right answers."""

import math

import pytest

from jobs.embedded.tally import Tally, mean_share, tally_attribute


def test_wilsons_interval_is_the_published_one():
    # Newcombe (1998), table I, method 3: 81 of 263 and 15 of 148.
    assert Tally(81, 263).interval == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert Tally(15, 148).interval == pytest.approx((0.0624, 0.1605), abs=1e-4)


def test_the_interval_stays_within_bounds():
    assert Tally(0, 20).interval[0] == 0.0
    assert Tally(20, 20).interval[1] == pytest.approx(1.0)
    assert Tally(0, 0).interval == (0.0, 1.0)
    assert math.isnan(Tally(0, 0).share)


def test_the_hardest_value_and_what_it_is_taken_for():
    pairs = [("ball", "ball")] * 9 + [("ball", "cube")]
    pairs += [("star", "heart")] * 3 + [("star", "none")] + [("star", "star")]
    counted = tally_attribute("shape", pairs)
    assert counted is not None
    assert counted.tally == Tally(10, 15)
    assert counted.hardest.value == "star"
    assert counted.hardest.tally == Tally(1, 5)
    assert counted.hardest.mistaken_for == "heart"


def test_nothing_counted_is_none_and_attributes_count_the_same():
    assert tally_attribute("shape", []) is None
    small = tally_attribute("shape", [("ball", "ball")])
    large = tally_attribute("colour", [("red", "pink")] * 100)
    assert small is not None
    assert large is not None
    assert mean_share([small, large]) == 0.5
    assert small.hardest.mistaken_for == ""
