"""When a daily run is due, derived minute by minute from the time zone alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

START = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2028, 1, 1, tzinfo=UTC)
ZONES = (
    "America/New_York",
    "Europe/Paris",
    "Australia/Lord_Howe",
    "America/Santiago",
    "Asia/Kolkata",
)
_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@cache
def due_times(zone: str, at: str) -> list[datetime]:
    """The instants of (START, END] at which a run that is due daily ``at`` (local HH:MM) is due.

    Of each local day it is the first minute whose wall time is not before ``at``: where the wall
    clock jumps over it that is the first minute after the jump, and where it is shown twice, the
    first time.
    """
    tz = ZoneInfo(zone)
    found = []
    day = START.astimezone(tz).date() - _DAY
    while day <= END.astimezone(tz).date() + _DAY:
        moment = _first_minute(datetime.fromisoformat(f"{day.isoformat()}T{at}"), tz)
        if START < moment <= END:
            found.append(moment)
        day += _DAY
    return found


def _first_minute(wish: datetime, tz: ZoneInfo) -> datetime:
    """Three hours before it by the offset of that time; on a quiet night also three hours later."""
    early = (wish - 3 * _HOUR).replace(tzinfo=tz).astimezone(UTC)
    late = (wish + 3 * _HOUR).replace(tzinfo=tz).astimezone(UTC)
    if late - early == 6 * _HOUR:
        return early + 3 * _HOUR
    moment = early
    while moment.astimezone(tz).replace(tzinfo=None) < wish:
        moment += _MINUTE
    return moment
