"""One pass over some rows: each is seen to by a thread of its own, when the planner says so.

The main thread reads rows, 64 ahead or four for each actor, so that the planner can choose among
them, and settles those that need no actors itself. The videos that will be next are leased and have
their prompts encoded while others are still sampled, so that no actor waits for that.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from jobs.booking import Booking
from jobs.floor import Floor
from jobs.planned_work import PlannedWork
from jobs.triage import ToRender
from pipeline.errors import PausedError
from pipeline.planning.read_ahead import num_ahead

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jobs.desk import Desk
    from jobs.estimate import Pace
    from jobs.studio import Studio
    from jobs.triage import Triaged
    from pipeline.planning.task import VideoTask

# Places that nodes took with them may be found elsewhere; one looks so often.
LOOK_AROUND_S: Final = 10.0
# For threads that are told to end: a store that doesn't answer may hold one up.
END_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class _Ended:
    """A row's thread has come to its end."""

    video_id: str
    error: BaseException | None


@dataclass(slots=True)
class Shift:
    """Sees to rows until all are settled, or the job can't go on."""

    desk: Desk
    studio: Studio
    pace: Pace | None
    _floor: Floor = field(init=False)
    _work: PlannedWork = field(init=False)
    _news: queue.SimpleQueue[VideoTask | _Ended] = field(default_factory=queue.SimpleQueue)
    _rows: dict[str, tuple[ToRender, VideoTask]] = field(default_factory=dict)
    _threads: dict[str, threading.Thread] = field(default_factory=dict)
    _paused: PausedError | None = None

    def __post_init__(self) -> None:
        self._floor = Floor(self.studio.gather, self._news.put)
        wanted = self.desk.job.config.gang.actors_per_video
        gang = None if wanted == "auto" else wanted
        self._work = PlannedWork(self.pace, time.time, time.monotonic, gang)

    def see_to(self, rows: Iterable[Triaged]) -> None:
        """Settle every row that can be had.

        Raises:
            PausedError: the job was to pause, and has.
            NightreelError: the job can't go on.
        """
        coming = iter(rows)
        try:
            while True:
                self._read_ahead(coming)
                self._start_upcoming()
                if not self._rows and not self._threads:
                    break
                self._heed_news()
        except BaseException:
            self._stop()
            raise
        if self._paused is not None:
            raise self._paused

    def _read_ahead(self, coming: Iterator[Triaged]) -> None:
        """Have the planner know of more rows; those that are settled are done with at once."""
        tasks = []
        while self._paused is None and len(self._rows) < num_ahead(self._floor.num_places):
            try:
                self.desk.orders.check()
                row = next(coming, None)
                if row is None:
                    break
                if not isinstance(row, ToRender):
                    self.desk.settle(row)
                    continue
            except PausedError as error:
                self._pause(error)
                return
            # How many are to be read depends on how many actors there are.
            self._floor.open()
            task = self._work.task(row.plan)
            self._rows[task.id] = row, task
            tasks.append(task)
        if tasks:
            self._floor.submit(tasks)

    def _start_upcoming(self) -> None:
        if self._paused is None:
            for video_id in self._floor.upcoming(self._floor.num_places):
                self._start(video_id)

    def _start(self, video_id: str) -> None:
        """Have a thread for a row, if it has none yet."""
        if video_id not in self._rows or video_id in self._threads:
            return
        row, task = self._rows.pop(video_id)
        thread = threading.Thread(
            target=self._render, args=(row, task), name=f"video-{video_id}", daemon=True
        )
        self._threads[video_id] = thread
        thread.start()

    def _render(self, row: ToRender, task: VideoTask) -> None:
        """What a row's thread does."""
        booking, ended = Booking(self.studio, self._floor, task), _Ended(task.id, None)
        try:
            self.desk.see_to(row, booking)
        except BaseException as error:  # noqa: BLE001  # the main thread raises it
            ended = _Ended(task.id, error)
        finally:
            booking.leave()
            self._news.put(ended)

    def _heed_news(self) -> None:
        """Wait for something to happen, and do what follows.

        Raises:
            NightreelError: the job can't go on.
        """
        try:
            news = self._news.get(timeout=LOOK_AROUND_S)
        except queue.Empty:
            self._floor.look_around(self.studio.nodes())
            return
        if not isinstance(news, _Ended):
            self._start(news.id)
            return
        self._threads.pop(news.video_id).join()
        if isinstance(news.error, PausedError):
            self._pause(news.error)
        elif news.error is not None:
            raise news.error

    def _pause(self, error: PausedError) -> None:
        """Begin no more videos; those that run come to their snapshots by themselves."""
        self._paused = self._paused or error
        for _, task in self._rows.values():
            self._floor.leave(task)
        self._rows.clear()

    def _stop(self) -> None:
        """End everything that runs."""
        self._floor.close()
        self.studio.dismiss()
        end_s = time.monotonic() + END_TIMEOUT_S
        for thread in self._threads.values():
            thread.join(max(0.0, end_s - time.monotonic()))
