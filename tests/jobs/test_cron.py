"""Due times over two years in five time zones, against a derivation of our own."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest

from jobs.cron import check_cron, nominal_times
from jobs.placeholders import check, fill
from pipeline.errors import ConfigError
from tests.due_times import END, START, ZONES, due_times


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("at", ["01:00", "01:30", "02:15", "02:30", "00:00", "23:45"])
def test_a_daily_time_comes_once_every_day_of_two_years(zone: str, at: str) -> None:
    hour, minute = at.split(":")
    times = nominal_times(f"{int(minute)} {int(hour)} * * *", zone, START)
    assert list(takewhile(lambda time: time <= END, times)) == due_times(zone, at)


def changes(name: str) -> list[tuple[datetime, timedelta]]:
    """When, to the hour, a zone changes its clocks in the two years, and by how much."""
    zone, hour = ZoneInfo(name), timedelta(hours=1)
    hours = [START + n * hour for n in range(int((END - START) / hour))]
    offsets = [(moment, moment.astimezone(zone).utcoffset()) for moment in hours]
    return [(a, to - was) for (a, was), (_, to) in pairwise(offsets) if was != to and was and to]


def test_the_zones_are_odd_ones() -> None:
    """Autumn and spring nights of an hour and of half an hour, at two and at midnight, and none."""
    shifts = {name: Counter(shift for _, shift in changes(name)) for name in ZONES}
    hour, half = timedelta(hours=1), timedelta(minutes=30)
    assert shifts.pop("Asia/Kolkata") == {}
    assert shifts.pop("Australia/Lord_Howe") == {half: 2, -half: 2}
    assert all(found == {hour: 2, -hour: 2} for found in shifts.values())


@pytest.mark.parametrize("zone", ZONES[:-1])
def test_what_runs_every_quarter_of_an_hour_runs_on_through_both_nights(zone: str) -> None:
    for change, _ in changes(zone):
        times = nominal_times("*/15 * * * *", zone, change - timedelta(hours=4))
        found = [next(times) for _ in range(4 * 8)]
        assert {b - a for a, b in pairwise(found)} == {timedelta(minutes=15)}


@pytest.mark.parametrize("seconds", [0, 1, 900, 1799, 1800, 3599, 3600, 5000])
def test_a_scheduler_that_starts_in_an_autumn_night_goes_on_where_it_is(seconds: int) -> None:
    """Whenever asked, the next time is the one that a list from the year's start has."""
    zone = "Europe/Paris"
    start = datetime(2026, 10, 25, 0, 0, tzinfo=UTC) + timedelta(seconds=seconds)
    for minute in (0, 30, 59):
        expected = next(time for time in due_times(zone, f"02:{minute:02d}") if time > start)
        assert next(nominal_times(f"{minute} 2 * * *", zone, start)) == expected


def test_two_times_of_one_gap_are_one_run() -> None:
    times = nominal_times("15,45 2 * * *", "Europe/Paris", datetime(2026, 3, 28, 23, tzinfo=UTC))
    assert [next(times) for _ in range(2)] == [
        datetime(2026, 3, 29, 1, tzinfo=UTC),
        datetime(2026, 3, 30, 0, 15, tzinfo=UTC),
    ]


@pytest.mark.parametrize(
    ("expression", "timezone", "message"),
    [
        ("0 1 * *", "UTC", "expected five fields"),
        ("0 0 1 * * *", "UTC", "expected five fields"),
        ("0 25 * * *", "UTC", "Bad hour"),
        ("0 1 30 2 *", "UTC", "Bad day-of-month"),
        ("0 1 * * *", "Europe/Pariss", "not known"),
        ("0 1 * * *", "../etc/passwd", "not known"),
    ],
)
def test_what_is_wrong_is_said(expression: str, timezone: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_cron(expression, timezone)


def test_placeholders() -> None:
    template = "s3://b/{year}/{month}/{day}/{date}-{time}/{schedule}/{run_id}.csv"
    check(template, "--manifest")
    nominal = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    filled = fill(template, nominal=nominal, schedule="nightly", run_id="nightly-1")
    assert filled == "s3://b/2026/01/02/2026-01-02-0304/nightly/nightly-1.csv"
    for wrong in ("{dat}", "{}", "{date", "date}", "{date:%Y}", "{schedule.name}"):
        with pytest.raises(ConfigError, match=r"--manifest .*there are \{date\}"):
            check(f"s3://b/{wrong}", "--manifest")
