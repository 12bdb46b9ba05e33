"""All schedules of a queue, each as numbered create-only revisions: the newest is in force.

    schedules/<name>/<number>.json
    schedule-runs/<name>/<time>/<number>.json      see storage.schedule_runs

Runs lie elsewhere because schedulers list the schedules every few seconds, for years. Nothing is
changed or removed: a schedule that was removed is one whose newest revision says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.errors import StoreError, UserError
from storage import numbered
from storage.keys import numbered as key_of
from storage.schedule import Schedule, check_name, from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from storage.stored import StoreWithListing

SCHEDULES: Final = "schedules/"


class NoSuchScheduleError(UserError):
    """The queue knows no such schedule."""


class Schedules:
    """Schedules under one URI. Any number of processes may share it."""

    def __init__(self, store: StoreWithListing) -> None:
        self._store = store

    def names(self) -> list[str]:
        """Names of all schedules, removed ones too, in alphabetical order."""
        keys = self._store.list_keys(SCHEDULES)
        return sorted({key.split("/")[1] for key in keys if key.count("/") == 2})

    def revisions(self, name: str, known: tuple[Schedule, ...] = ()) -> tuple[Schedule, ...]:
        """Every revision of a schedule, oldest first; ``known`` are not read again.

        Raises:
            StoreError: the store refused, or a revision is damaged.
        """
        check_name(name)
        prefix = _revisions_of(name)
        found = list(known)
        for number in numbered.numbers(self._store, prefix)[len(known) :]:
            key = key_of(prefix, number)
            found.append(from_json(self._store.get_bytes(key), f"{self._store.uri}/{key}"))
        return tuple(found)

    def latest(self, name: str) -> Schedule:
        """The revision of a schedule that is in force.

        Raises:
            NoSuchScheduleError: there is no such schedule, or it was removed.
            StoreError: the store refused, or a revision is damaged.
        """
        revisions = self.revisions(name)
        if not revisions or revisions[-1].state == "removed":
            raise NoSuchScheduleError(f"{self._store.uri}: no schedule {name!r}")
        return revisions[-1]

    def all(self) -> Iterator[Schedule]:
        """The revisions in force of all schedules that were not removed."""
        for name in self.names():
            schedule = self.revisions(name)[-1]
            if schedule.state != "removed":
                yield schedule

    def revise(self, name: str, change: Callable[[Schedule | None], Schedule]) -> Schedule:
        """Write the next revision: ``change`` makes it from the one in force, and may refuse.

        Raises:
            StoreError: the store refused.
        """
        for _ in range(numbered.MAX_LOST_RACES):
            revisions = self.revisions(name)
            in_force = revisions[-1] if revisions and revisions[-1].state != "removed" else None
            revised = change(in_force)
            if revised == in_force:
                return revised
            number = len(revisions) + 1
            if numbered.create(self._store, _revisions_of(name), number, to_json(revised)):
                return revised
        raise StoreError(f"{self._store.uri}/{_revisions_of(name)}: others were always quicker")


def _revisions_of(name: str) -> str:
    return f"{SCHEDULES}{name}/"
