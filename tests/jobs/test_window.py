"""The window of a job: by the wall clock, once a day, on the two nights of the year too."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from jobs.window import closing, is_open, next_opening
from pipeline.errors import ConfigError
from storage.job_request import NightWindow

PARIS = ZoneInfo("Europe/Paris")


def night(start: str, end: str, zone: str = "Europe/Paris") -> NightWindow:
    return NightWindow(
        not_before=time.fromisoformat(start), not_after=time.fromisoformat(end), timezone=zone
    )


def paris(text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=PARIS, fold=fold)


def test_the_start_is_part_of_the_window_and_the_end_is_not() -> None:
    window = night("22:00", "07:00")
    assert not is_open(window, paris("2026-06-01T21:59:59"))
    assert is_open(window, paris("2026-06-01T22:00"))
    assert is_open(window, paris("2026-06-02T06:59:59"))
    assert not is_open(window, paris("2026-06-02T07:00"))
    assert next_opening(window, paris("2026-06-02T07:00")) == paris("2026-06-02T22:00")
    assert closing(window, paris("2026-06-01T23:00")) == paris("2026-06-02T07:00")


def test_an_open_window_opens_now() -> None:
    moment = paris("2026-06-02T03:00")
    assert next_opening(night("01:00", "07:00"), moment) == moment


def test_equal_times_are_all_day() -> None:
    window = night("07:00", "07:00")
    moment = paris("2026-03-29T03:30")
    assert is_open(window, moment)
    assert next_opening(window, moment) == moment
    assert closing(window, moment) is None


def test_a_start_that_a_spring_night_leaves_out_is_the_first_instant_after_the_gap() -> None:
    window = night("02:30", "07:00")
    assert next_opening(window, paris("2026-03-29T01:00")) == datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert not is_open(window, datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC))
    assert is_open(window, datetime(2026, 3, 29, 1, tzinfo=UTC))


def test_a_window_that_lies_in_the_gap_does_not_open_that_day() -> None:
    window = night("02:10", "02:50")
    assert next_opening(window, paris("2026-03-28T12:00")) == paris("2026-03-30T02:10")


def test_an_hour_that_comes_twice_opens_and_closes_once() -> None:
    begins, ends = night("02:30", "07:00"), night("01:00", "02:30")
    second = paris("2026-10-25T02:10", fold=1)
    assert is_open(begins, second)
    assert not is_open(ends, second)
    assert closing(ends, paris("2026-10-25T01:00")) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_a_gap_of_half_an_hour_and_one_of_a_day() -> None:
    howe = night("02:10", "05:00", "Australia/Lord_Howe")
    # At 2:00 of the first Sunday in October, UTC+10:30, clocks go on to 2:30, UTC+11.
    assert next_opening(howe, datetime(2026, 10, 3, 12, tzinfo=UTC)) == datetime(
        2026, 10, 3, 15, 30, tzinfo=UTC
    )
    apia = night("10:00", "12:00", "Pacific/Apia")  # had no 2011-12-30
    assert next_opening(apia, datetime(2011, 12, 30, 9, tzinfo=UTC)) == datetime(
        2011, 12, 30, 20, tzinfo=UTC
    )


@pytest.mark.parametrize(
    "zone", ["America/New_York", "Europe/Paris", "Australia/Lord_Howe", "America/Santiago"]
)
@pytest.mark.parametrize(("start", "end"), [("22:00", "07:00"), ("01:45", "02:15")])
def test_minute_by_minute_it_opens_and_closes_as_announced(zone: str, start: str, end: str) -> None:
    """Two days around every change of the clocks of a year, each minute asked."""
    window, tz = night(start, end, zone), ZoneInfo(zone)
    hour = timedelta(hours=1)
    hours = [datetime(2026, 1, 1, tzinfo=UTC) + n * hour for n in range(365 * 24)]
    changes = [
        moment
        for moment in hours
        if moment.astimezone(tz).utcoffset() != (moment + hour).astimezone(tz).utcoffset()
    ]
    assert len(changes) == 2
    for change in changes:
        moments = [change + timedelta(minutes=n) for n in range(-24 * 60, 24 * 60)]
        states = [is_open(window, moment) for moment in moments]
        nights = []
        for now, was, moment in zip(states[1:], states, moments[1:], strict=False):
            if now and not was:
                nights.append(moment.astimezone(tz).date())
                assert next_opening(window, moment - timedelta(minutes=1)) == moment
            if was and not now:
                assert closing(window, moment - timedelta(minutes=1)) == moment
        assert nights
        assert len(nights) == len(set(nights))


def test_an_unknown_zone_is_named() -> None:
    with pytest.raises(ConfigError, match="'Europe/Pariss' is not known"):
        is_open(night("22:00", "07:00", "Europe/Pariss"), paris("2026-06-01T21:00"))
