"""When a job with a window may run: pure functions, right on the two nights of the year too.

A window is one stretch of time a day, from the instant at which the wall clock first shows its
start to that at which it first shows its end. A start that a spring night leaves out begins at the
first instant after the gap; an autumn night's repeated hour neither opens nor closes it again. A
window that lies in the gap whole does not open that day.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from jobs.wall_clock import instant_of, zone_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from storage.job_request import NightWindow

_DAY = timedelta(days=1)
# A window is at most a day long; the gap of a day that a zone once left out, and one day more.
_DAYS_AHEAD = 4


def is_open(window: NightWindow, moment: datetime) -> bool:
    """Whether a job may run at a moment (aware).

    Raises:
        ConfigError: the window's time zone is not known.
    """
    return _is_all_day(window) or _current(window, moment) is not None


def next_opening(window: NightWindow, moment: datetime) -> datetime:
    """When a job may run next, in UTC: ``moment`` itself if the window is open.

    Raises:
        ConfigError: the window's time zone is not known.
    """
    if is_open(window, moment):
        return moment.astimezone(UTC)
    return next(start for start, _ in _stretches(window, moment) if start > moment)


def opened_at(window: NightWindow, moment: datetime) -> datetime | None:
    """When the window that is open at ``moment`` opened, in UTC; ``None`` if it is shut.

    A window of all day never opened either.

    Raises:
        ConfigError: the window's time zone is not known.
    """
    stretch = None if _is_all_day(window) else _current(window, moment)
    return None if stretch is None else stretch[0]


def closing(window: NightWindow, moment: datetime) -> datetime | None:
    """When the window that is open at ``moment`` ends, in UTC; ``None`` if it never does.

    Raises:
        ConfigError: the window's time zone is not known.
        ValueError: it is not open.
    """
    if _is_all_day(window):
        return None
    stretch = _current(window, moment)
    if stretch is None:
        raise ValueError(f"{window} is not open at {moment.isoformat()}")
    return stretch[1]


def _is_all_day(window: NightWindow) -> bool:
    zone_of(window.timezone)
    return window.not_before == window.not_after


def _current(window: NightWindow, moment: datetime) -> tuple[datetime, datetime] | None:
    stretches = _stretches(window, moment)
    return next(((start, end) for start, end in stretches if start <= moment < end), None)


def _stretches(window: NightWindow, moment: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Start and end, in UTC, of the windows around a moment, oldest first."""
    today = moment.astimezone(zone_of(window.timezone)).date()
    for days in range(-2, _DAYS_AHEAD):
        start, end = _stretch(window, today + days * _DAY)
        if start < end:
            yield start, end


def _stretch(window: NightWindow, day: date) -> tuple[datetime, datetime]:
    zone = zone_of(window.timezone)
    last_day = day if window.not_before < window.not_after else day + _DAY
    return (
        instant_of(datetime.combine(day, window.not_before), zone),
        instant_of(datetime.combine(last_day, window.not_after), zone),
    )
