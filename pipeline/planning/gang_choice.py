"""The gang of one video: the smallest that is done in time, now or when there is room for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.planning.free_gpus import FreeGpus
    from pipeline.planning.pace import Paces
    from pipeline.planning.releases import Releases
    from pipeline.planning.task import VideoTask, Work

# Who is late by a rounding error is in time.
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Choice:
    """A gang for a video.

    Attributes:
        gang: how many GPUs.
        waits_until_s: when there should be room for it; ``None``: there is.
        end_s: when the video should be done.
    """

    gang: int
    waits_until_s: float | None
    end_s: float


@dataclass(frozen=True, slots=True)
class GangChoice:
    """Chooses gangs, of the GPUs that are free or will be."""

    free: FreeGpus
    releases: Releases
    paces: Paces

    def seconds(self, work: Work, index: int) -> tuple[float, float]:
        """Of sampling and of decoding, on the gang with this index, corrected."""
        pace = self.paces.of(work.kind)
        return pace * work.sampling_s[index], pace * work.decode_s

    def choose(
        self, task: VideoTask, now_s: float, end_s: float, *, may_wait: bool = True
    ) -> Choice | None:
        """The smallest gang that is done by ``end_s``, or a smaller one that ends sooner still.

        A gang that is too large for the GPUs that are free is waited for only if the video ends
        sooner with it than on these.

        Args:
            task: the video.
            now_s: what time it is.
            end_s: when it should be done.
            may_wait: whether a gang may be waited for.

        Returns:
            ``None`` if the fleet has no gang for it, or it may not wait and there is no room.
        """
        work = task.work
        fitting = self._fitting(work)
        if not fitting:
            return None
        wish = self._first_within(work, fitting, end_s - now_s)
        if task.deadline_s is not None and now_s + self._all_s(work, wish) > task.deadline_s:
            sooner = self._first_within(work, fitting, task.deadline_s - now_s)
            if now_s + self._all_s(work, sooner) <= task.deadline_s:
                wish = sooner
        wish_s = self._all_s(work, wish)
        if self._has_room(work, wish):
            return Choice(work.gangs[wish], None, now_s + wish_s)
        smaller = next(
            (index for index in reversed(fitting) if index < wish and self._has_room(work, index)),
            None,
        )
        at_once = None
        if smaller is not None:
            at_once = Choice(work.gangs[smaller], None, now_s + self._all_s(work, smaller))
        if not may_wait:
            return at_once
        room_s = self._room_s(work, wish, now_s)
        if at_once is not None and at_once.end_s <= room_s + wish_s:
            return at_once
        return Choice(work.gangs[wish], room_s, room_s + wish_s)

    def _fitting(self, work: Work) -> Sequence[int]:
        """Indices of the gangs for which the fleet has enough GPUs with enough memory."""
        if self.free.num_gpus(work.bytes_on(1)) >= work.gangs[-1]:
            return range(len(work.gangs))
        return [
            index
            for index, gang in enumerate(work.gangs)
            if self.free.num_gpus(work.bytes_on(gang)) >= gang
        ]

    def _first_within(self, work: Work, fitting: Sequence[int], limit_s: float) -> int:
        """The smallest gang that takes so long at most, or else the largest."""
        limit_s *= 1 + _ROUNDING
        return next(
            (index for index in fitting if self._all_s(work, index) <= limit_s), fitting[-1]
        )

    def _all_s(self, work: Work, index: int) -> float:
        return sum(self.seconds(work, index))

    def _has_room(self, work: Work, index: int) -> bool:
        gang = work.gangs[index]
        return self.free.num_free(work.bytes_on(gang)) >= gang

    def _room_s(self, work: Work, index: int, now_s: float) -> float:
        """When so many GPUs should be free, if those that are released are kept."""
        gang = work.gangs[index]
        need_bytes = work.bytes_on(gang)
        missing = gang - self.free.num_free(need_bytes)
        for at_s, gpus in self.releases:
            missing -= sum(self.free.memory_bytes(gpu) >= need_bytes for gpu in gpus)
            if missing <= 0:
                return max(at_s, now_s)
        raise AssertionError(f"a gang of {gang} was chosen, and {missing} GPUs are missing")
