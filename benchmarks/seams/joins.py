"""Where windows meet in a finished video: the places in which a seam would be.

    mode        two windows meet                          counted as the join
    halo        at a core border of the last two steps    the latent frames within 2 of it
    consensus   at a core border of the last two steps    the latent frames that the ramp averages
    decay       in the overlap that is cross-faded        the latent frames of the overlap
    none        at the cut                                the latent frames within 2 of it

With the usual halo of 2 and overlap of 4 latent frames each of these is four latent frames. On a
grid that moves, every place is a border at some step; the last two count, since theirs are the
velocities that the last update is made of and no later window smooths over them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.spans import Span

if TYPE_CHECKING:
    from pipeline.boundary import Boundary, Joint

# Latent frames on either side of a border that count as the join.
REACH = 2

# Steps whose borders count, where borders move.
LAST_STEPS = 2


def joins(boundary: Boundary, num_steps: int) -> tuple[Span, ...]:
    """The latent frames of every join, in order; empty where one window makes the video."""
    joints = boundary.joints()
    if len(joints) > 1:
        return tuple(_overlap(joint) or _around(_end_of_fade(joint)) for joint in joints[1:])
    everything = Span(0, boundary.num_slots)
    borders = {
        window.core.start
        for step in range(max(0, num_steps - LAST_STEPS), num_steps)
        for window in boundary.windows(step, everything)[1:]
    }
    return tuple(_around(border) for border in sorted(borders))


def _around(border: int) -> Span:
    return Span(border - REACH, border + REACH)


def _end_of_fade(joint: Joint) -> int:
    """The first latent frame that is the later run's alone."""
    return joint.first_latent_frame + len(joint.fade)


def _overlap(joint: Joint) -> Span:
    """The frames that are cross-faded, from the ramp's beginning at 0; empty at a hard cut."""
    num_mixed = sum(share > 0.0 for share in joint.fade)
    stop = _end_of_fade(joint)
    return Span(stop - num_mixed - 1, stop) if num_mixed else Span(stop, stop)
