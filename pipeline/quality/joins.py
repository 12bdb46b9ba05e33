"""Where windows meet in a finished video, in frames, and what lies beside those places.

The joins are the core borders of the last step's grid: what any earlier step left there, later
steps have smoothed over. Where every window keeps its own copies, they are the cuts (``none``) or
the cross-fades (``decay``).

Frame 0 comes from a latent frame of its own and every later latent frame makes ``rhythm_frames``
frames. An autoencoder has a rhythm of that length, seam or no seam, so a join is only ever compared
with frames that stand in the same place of the rhythm: ``k * rhythm_frames`` away from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from pipeline.spans import Span, first_frame_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.boundary import Boundary, Joint
    from pipeline.plan import VideoPlan

# Beside a join means two to four latent frames away: nearer is the halo, which may be part of the
# seam; farther away the scene has moved on, which only adds noise to the comparison.
NEAREST_LATENT_FRAMES, FARTHEST_LATENT_FRAMES = 2, 4


@dataclass(frozen=True, slots=True)
class Join:
    """One place where windows meet.

    Attributes:
        frames: the first frame of every latent frame at which the video passes from one window to
            the next: one for a border, several for a cross-fade. Ascending, at least 1.
        before, after: frames beside the join and in the same place of the rhythm.
    """

    frames: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Joins:
    """All joins of a video, in order; empty where one window made it, or where none are known."""

    joins: tuple[Join, ...] = ()
    rhythm_frames: int = 1

    def __len__(self) -> int:
        return len(self.joins)

    @property
    def starts(self) -> tuple[int, ...]:
        """The first frame of each join."""
        return tuple(join.frames[0] for join in self.joins)

    @property
    def period_frames(self) -> int | None:
        """The usual distance from a join to the next; ``None`` with fewer than two."""
        distances = [right - left for left, right in pairwise(self.starts)]
        return int(median(distances)) if distances else None


def joins_at(places: Sequence[tuple[int, ...]], num_frames: int, rhythm_frames: int) -> Joins:
    """Joins at places that are known, each with the frames beside it that are nearest to it.

    Args:
        places: for each join, in order, its frames as in ``Join.frames``; a place that is not
            inside the video is left out.
        num_frames: length of the video.
        rhythm_frames: frames per latent frame; 1 where there is no rhythm.
    """
    inside = sorted(place for place in places if place[0] >= 1 and place[-1] < num_frames)
    steps = [
        rhythm_frames * count for count in range(NEAREST_LATENT_FRAMES, FARTHEST_LATENT_FRAMES + 1)
    ]
    joins = []
    for index, place in enumerate(inside):
        first, last = place[0], place[-1]
        # What lies nearer to another join is beside that one.
        reach_before = (first - inside[index - 1][-1]) / 2 if index else first
        is_last = index + 1 == len(inside)
        reach_after = num_frames - last if is_last else (inside[index + 1][0] - last) / 2
        before = tuple(first - step for step in steps if step < reach_before)
        after = tuple(last + step for step in steps if step < reach_after)
        joins.append(Join(place, before, after))
    return Joins(tuple(joins), rhythm_frames)


def joins_of(
    boundary: Boundary, *, num_steps: int, temporal_compression: int, num_frames: int
) -> Joins:
    """The joins of a video that was made with this layout, in that many steps."""
    joints = boundary.joints()
    if len(joints) > 1:
        borders = [_borders_of(joint) for joint in joints[1:]]
    else:
        windows = boundary.windows(num_steps - 1, Span(0, boundary.num_slots))
        borders = [Span(window.core.start, window.core.start + 1) for window in windows[1:]]
    places = [
        tuple(first_frame_of(latent_frame, temporal_compression) for latent_frame in span)
        for span in borders
    ]
    return joins_at(places, num_frames, temporal_compression)


def joins_of_plan(plan: VideoPlan) -> Joins:
    """The joins of a planned video in its finished file.

    None where the file has another rate than the engine: frames that are repeated or dropped break
    the rhythm, and nothing is left to compare a join with.
    """
    request = plan.request
    if request.fps != request.engine_fps:
        return Joins()
    return joins_of(
        plan.boundary,
        num_steps=plan.num_steps,
        temporal_compression=plan.engine.temporal_compression,
        num_frames=request.num_frames,
    )


def _borders_of(joint: Joint) -> Span:
    """The latent frames at which a cross-fade moves on, or the one after a cut."""
    num_mixed = sum(share > 0.0 for share in joint.fade)
    stop = joint.first_latent_frame + len(joint.fade)
    return Span(stop - num_mixed, stop + 1)
