"""Cron expressions in a time zone, as Debian's cron reads them on the two nights of the year too.

A time that a spring night leaves out is run at the first minute after the gap. A fixed time in an
autumn night's repeated hour is run once, the first time that the wall clock shows it; what runs
every so many minutes or every hour runs on through both. (cronsim; Debian's cron(8).)
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Final

from cronsim import CronSim, CronSimError

from jobs.wall_clock import zone_of
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIELDS: Final = "minute, hour, day of the month, month and day of the week"
_SOME_DAY: Final = datetime(2000, 1, 1, tzinfo=UTC)


def check_cron(expression: str, timezone: str) -> None:
    """Refuse what is no cron expression, never comes, or names a time zone that isn't.

    Raises:
        ConfigError: saying what is wrong.
    """
    if len(expression.split()) != 5:
        raise ConfigError(f"cron expression {expression!r}: expected five fields, {_FIELDS}")
    if not list(islice(nominal_times(expression, timezone, _SOME_DAY), 1)):
        raise ConfigError(f"cron expression {expression!r}: such a day never comes")


def nominal_times(expression: str, timezone: str, after: datetime) -> Iterator[datetime]:
    """The instants, in UTC and ascending, at which a run is due, each once; all later than a given.

    Raises:
        ConfigError: no cron expression, or no time zone.
    """
    try:
        times = CronSim(expression, after.astimezone(zone_of(timezone)))
    except CronSimError as error:
        raise ConfigError(
            f"cron expression {expression!r}: {error}; expected {_FIELDS}, such as '0 1 * * *'"
        ) from error
    return _ascending(times, after)


def _ascending(times: CronSim, after: datetime) -> Iterator[datetime]:
    """Two wall times of one gap are one instant, and the repeated hour lies behind its end."""
    last = after.astimezone(UTC)
    for local in times:
        moment = local.astimezone(UTC)
        if moment > last:
            yield moment
            last = moment
