"""The judge on a long video: what is to be seen when, and when it changes.

Looks are judged four times a second, by the frames half a second around (an odd frame is outvoted);
movements by the clip around each time, so that a change of movement is seen about half a clip late
or early.

Shapes: S frames looked at, K values.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from pipeline.world.judge.verdict import Answer, Judge

# Frames looked at on either side of a moment.
REACH_FRAMES = 2
# How long a new value must last to be a change and not a slip.
LASTING_S = 1.0


@dataclass(frozen=True, slots=True)
class Moment:
    """What is to be seen at ``time_s``: an answer for every attribute."""

    time_s: float
    answers: Mapping[str, Answer]


@dataclass(frozen=True, slots=True)
class Change:
    """From ``time_s`` on ``attribute`` is ``value``; before that it was ``before``."""

    time_s: float
    attribute: str
    before: str
    value: str


def judge_over_time(judge: Judge, frames: NDArray[np.uint8], fps: float) -> list[Moment]:
    """What is to be seen in a video, moment by moment, four times a second.

    Args:
        judge: who looks.
        frames: RGB bytes ``[F, H, W, 3]``, at least one clip long.
        fps: frames in a second of the video.

    Raises:
        ValueError: as ``Judge.judge``.
    """
    looked_at = judge.look(frames, fps)
    likely = {name: _smooth(p) for name, p in judge.looks(looked_at).items()}
    # The clip around a moment, or the first or last clip near the ends.
    clips = judge.movements(looked_at, 1)
    middle = judge.shape.clip_frames // 2
    for name, p in clips.items():
        nearest = np.clip(np.arange(len(looked_at)) - middle, 0, len(p) - 1)
        likely[name] = p[nearest]
    return [
        Moment(
            i / judge.shape.fps,
            {name: judge.answer(name, p[i]) for name, p in likely.items()},
        )
        for i in range(len(looked_at))
    ]


def _smooth(likely_SK: NDArray[np.float32]) -> NDArray[np.float32]:
    """Every row replaced by the mean of the rows around it."""
    rows = range(len(likely_SK))
    around = [likely_SK[max(0, i - REACH_FRAMES) : i + REACH_FRAMES + 1].mean(axis=0) for i in rows]
    return np.stack(around)


def changes(moments: Sequence[Moment], lasting_s: float = LASTING_S) -> list[Change]:
    """When which attribute changes, in order of time; values that last less long are passed over.

    The first value of every attribute that lasts is reported as a change from nothing, ``""``.
    """
    found: list[Change] = []
    for attribute in moments[0].answers if moments else ():
        now = ""
        for start_s, value, length_s in _runs(moments, attribute):
            if value != now and length_s >= lasting_s:
                found.append(Change(start_s, attribute, now, value))
                now = value
    return sorted(found, key=lambda change: change.time_s)


def shares(moments: Sequence[Moment]) -> dict[str, dict[str, float]]:
    """In what share of the moments each attribute has each value, the commonest first."""
    counted = {}
    for attribute in moments[0].answers if moments else ():
        counts = Counter(moment.answers[attribute].value for moment in moments)
        counted[attribute] = {v: n / len(moments) for v, n in counts.most_common()}
    return counted


def _runs(moments: Sequence[Moment], attribute: str) -> Iterator[tuple[float, str, float]]:
    """Start, value and length of each stretch in which ``attribute`` stays the same."""
    values = [moment.answers[attribute].value for moment in moments]
    step_s = moments[1].time_s - moments[0].time_s if len(moments) > 1 else 0.0
    start = 0
    for i in range(1, len(values) + 1):
        if i == len(values) or values[i] != values[start]:
            yield moments[start].time_s, values[start], (i - start) * step_s
            start = i
