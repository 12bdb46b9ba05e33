"""Videos that wait, in the order in which they should start.

Higher priorities go first. Among equals those with a deadline go first, the earliest first; then
the owner who has had the least GPU-seconds; and of an owner's videos the one with the most work,
since short ones fill the gaps at the end (longest processing time first; Graham: Bounds on
multiprocessing timing anomalies, 1969). Videos of equal work keep the order in which they came.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter, defaultdict, deque
from itertools import chain
from typing import TYPE_CHECKING

from pipeline.planning.task import VideoTask, Work, turn

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Owned:
    """One owner's videos of one priority without a deadline, by work."""

    def __init__(self) -> None:
        self.by_work: dict[Work, deque[VideoTask]] = {}
        self.order: list[tuple[float, int, Work]] = []


class _Rank:
    """Videos of one priority. ``due`` is in turn; of every owner the works are, longest first."""

    def __init__(self) -> None:
        self.due: list[tuple[float, int, VideoTask]] = []
        self.owned: dict[str, _Owned] = {}


class Waiting:
    """Videos that wait.

    Attributes:
        counts: how many there are of each work.
        gpu_s: GPU-seconds of them all, as estimated now.
    """

    def __init__(self) -> None:
        self.counts: Counter[Work] = Counter()
        self.gpu_s = 0.0
        self._ranks: dict[int, _Rank] = {}
        self._had_gpu_s: defaultdict[str, float] = defaultdict(float)
        self._paces: dict[str, float] = {}
        self._number = self._num_videos = 0

    def __len__(self) -> int:
        """Number of videos."""
        return self._num_videos

    def add(self, task: VideoTask) -> None:
        """One more."""
        self._number += 1
        self._num_videos += 1
        if task.priority not in self._ranks:
            self._ranks[task.priority] = _Rank()
            self._ranks = dict(sorted(self._ranks.items(), reverse=True))
        rank = self._ranks[task.priority]
        if task.deadline_s is None:
            owned = rank.owned.setdefault(task.owner, _Owned())
            if task.work not in owned.by_work:
                owned.by_work[task.work] = deque()
                insort(owned.order, (-self._gpu_s(task.work), self._number, task.work), key=_first)
            owned.by_work[task.work].append(task)
        else:
            entry = (turn(task.priority, task.deadline_s)[1], self._number, task)
            insort(rank.due, entry, key=_first)
        self.counts[task.work] += 1
        self.gpu_s += self._gpu_s(task.work)

    def remove(self, task: VideoTask) -> None:
        """It has started; its owner has had so much more."""
        self._num_videos -= 1
        rank = self._ranks[task.priority]
        if task.deadline_s is None:
            owned = rank.owned[task.owner]
            same = owned.by_work[task.work]
            same.remove(task)
            if not same:
                del owned.by_work[task.work]
                owned.order = [entry for entry in owned.order if entry[2] in owned.by_work]
            if not owned.by_work:
                del rank.owned[task.owner]
        else:
            del rank.due[next(i for i, entry in enumerate(rank.due) if entry[2] is task)]
        if not rank.due and not rank.owned:
            del self._ranks[task.priority]
        self.counts[task.work] -= 1
        if not self.counts[task.work]:
            del self.counts[task.work]
        self.gpu_s = self.gpu_s - self._gpu_s(task.work) if self.counts else 0.0

    def find(self, video_id: str) -> VideoTask | None:
        """The video with this id, if it waits."""
        return next((task for task in self._all() if task.id == video_id), None)

    def charge(self, owner: str, gpu_s: float) -> None:
        """An owner has had so many GPU-seconds more."""
        self._had_gpu_s[owner] += gpu_s

    def in_order(self) -> Iterator[VideoTask]:
        """The next of every kind of work, from the one that should start first.

        Of an owner's videos of equal work and no deadline only the first comes; the others could
        start no sooner.
        """
        for rank in self._ranks.values():
            for _, _, task in rank.due:
                yield task
            owners = rank.owned
            for owner in sorted(owners, key=self._had) if len(owners) > 1 else owners:
                owned = owners[owner]
                for _, _, work in owned.order:
                    yield owned.by_work[work][0]

    def correct(self, paces: dict[str, float]) -> None:
        """Estimates were off by these factors, by kind: put everything in order again."""
        self._paces = dict(paces)
        self.gpu_s = sum(count * self._gpu_s(work) for work, count in self.counts.items())
        for rank in self._ranks.values():
            for owned in rank.owned.values():
                owned.order = sorted(
                    ((-self._gpu_s(work), number, work) for _, number, work in owned.order),
                    key=_first,
                )

    def _all(self) -> Iterator[VideoTask]:
        for rank in self._ranks.values():
            yield from (task for _, _, task in rank.due)
            for owned in rank.owned.values():
                yield from chain.from_iterable(owned.by_work.values())

    def _had(self, owner: str) -> float:
        return self._had_gpu_s[owner]

    def _gpu_s(self, work: Work) -> float:
        return self._paces.get(work.kind, 1.0) * work.gpu_s


def _first(entry: tuple[float, int, object]) -> tuple[float, int]:
    return entry[:2]
