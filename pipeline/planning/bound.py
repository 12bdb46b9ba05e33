"""What no schedule can beat, and the end that a good one should aim at."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipeline.planning.task import Work

# An end is searched to one part in two thousand.
_PRECISION: Final = 5e-4


def lower_bound_s(
    works: Iterable[Work], num_gpus: int, factors: Iterable[float] = repeat(1.0)
) -> float:
    """The larger of all GPU-seconds over the GPUs, and the longest video on its widest gang.

    Args:
        works: of all videos.
        num_gpus: at least 1.
        factors: by what each video takes longer than estimated.

    Raises:
        ValueError: no GPUs.
    """
    if num_gpus < 1:
        raise ValueError(f"num_gpus = {num_gpus}: expected 1 or more")
    total_s = longest_s = 0.0
    for work, factor in zip(works, factors, strict=False):
        total_s += factor * work.gpu_s
        longest_s = max(longest_s, factor * _shortest_s(work, num_gpus))
    return max(total_s / num_gpus, longest_s)


def target_s(
    waiting: Mapping[Work, int],
    paces: Mapping[str, float],
    *,
    num_gpus: int,
    busy_gpu_s: float = 0.0,
) -> float:
    """In how many seconds everything can be done, as far as two necessary conditions tell.

    Each video takes the smallest gang that is done by then. All of that, and what is running, must
    find room; and videos longer than half of the time can't share a GPU one after another. The
    smallest such time is what gangs are chosen for (dual approximation; Mounie, Rapine, Trystram:
    Efficient approximation algorithms for scheduling malleable tasks, SPAA 1999).

    Args:
        waiting: how many videos there are of each work.
        paces: by kind, by what factor videos take longer than estimated.
        num_gpus: at least 1.
        busy_gpu_s: GPU-seconds that running videos will still take.
    """
    works = [(work, count, paces.get(work.kind, 1.0)) for work, count in waiting.items()]
    total_s = sum(count * pace * work.gpu_s for work, count, pace in works)
    low_s = (total_s + busy_gpu_s) / num_gpus
    low_s = max([low_s, *(pace * _shortest_s(work, num_gpus) for work, _, pace in works)])
    high_s = low_s
    while not _has_room(works, high_s, num_gpus, busy_gpu_s):
        low_s, high_s = high_s, 1.25 * high_s
    while high_s - low_s > _PRECISION * high_s:
        middle_s = (low_s + high_s) / 2
        if _has_room(works, middle_s, num_gpus, busy_gpu_s):
            high_s = middle_s
        else:
            low_s = middle_s
    return high_s


def _has_room(
    works: Sequence[tuple[Work, int, float]], end_s: float, num_gpus: int, busy_gpu_s: float
) -> bool:
    total_s, num_long = busy_gpu_s, 0
    for work, count, pace in works:
        gang, sampling_s = _gang_for(work, end_s / pace - work.decode_s, num_gpus)
        total_s += count * pace * (gang * sampling_s + work.decode_s)
        if 2 * pace * (sampling_s + work.decode_s) > end_s:
            num_long += count * gang
    return total_s <= end_s * num_gpus * (1 + _PRECISION) and num_long <= num_gpus


def _gang_for(work: Work, sampling_s: float, num_gpus: int) -> tuple[int, float]:
    """The smallest gang that samples in so many seconds, or else the widest that there is."""
    best = work.gangs[0], work.sampling_s[0]
    for gang, gang_s in zip(work.gangs, work.sampling_s, strict=True):
        if best[1] <= sampling_s or gang > num_gpus:
            break
        best = gang, gang_s
    return best


def _shortest_s(work: Work, num_gpus: int) -> float:
    """Seconds on the widest gang that a fleet of this size has room for."""
    return work.decode_s + min(
        sampling_s
        for gang, sampling_s in zip(work.gangs, work.sampling_s, strict=True)
        if gang <= num_gpus or gang == 1
    )
