"""From the clock on a wall to an instant, on the two nights of the year too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pipeline.errors import ConfigError

_SECOND = timedelta(seconds=1)


@lru_cache(maxsize=64)
def zone_of(name: str) -> ZoneInfo:
    """A time zone by its IANA name.

    Raises:
        ConfigError: there is none of this name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(
            f"time zone {name!r} is not known: expected an IANA name such as Europe/Paris"
        ) from error


def instant_of(local: datetime, zone: ZoneInfo) -> datetime:
    """The instant, in UTC, at which a clock on a wall in ``zone`` shows ``local`` (naive).

    In autumn an hour is shown twice: the first one counts. A time that a spring night leaves out
    is the first instant after the gap.
    """
    later = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if later.astimezone(zone).replace(tzinfo=None) == local:
        return later
    earlier = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return _change_between(earlier, later, zone)


def _change_between(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The first whole second at which the offset is that of ``after``; bisection."""
    offset = after.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = (before + (after - before) / 2).replace(microsecond=0)
        middle = max(middle, before + _SECOND)
        if middle.astimezone(zone).utcoffset() == offset:
            after = middle
        else:
            before = middle
    return after.replace(microsecond=0)
