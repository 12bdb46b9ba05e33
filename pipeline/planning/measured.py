"""From a video's plan and measured times to what the planner needs to know of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.planning.task import Work
from pipeline.segments import max_segments
from pipeline.spans import Span

if TYPE_CHECKING:
    from pipeline.boundary import Boundary

# The grid's shifts repeat themselves in the mean after so many steps.
_MAX_STEPS_COUNTED: Final = 16


def work_of(
    boundary: Boundary,
    num_steps: int,
    *,
    window_s: float,
    decode_s: float,
    exchange_s: float = 0.0,
    fixed_bytes: int = 0,
    state_bytes: int = 0,
    kind: str = "",
    gang: int | None = None,
) -> Work:
    """What a video takes whose windows are laid out so.

    Steps differ by a window, since the grid moves: their mean, rounded, is taken as the number of
    windows, and the time of a window is corrected so that all steps together take what they do.

    Args:
        boundary: the mode, laid out over the video.
        num_steps: denoising steps.
        window_s: measured seconds of one window, both forwards of a guided one.
        decode_s: measured seconds from the last step to the end of the upload.
        exchange_s: measured seconds that an exchange adds to a step.
        fixed_bytes: memory that every GPU of a gang needs.
        state_bytes: memory that is shared out over the gang.
        kind: videos of one kind are corrected together.
        gang: the gang that is wanted, if the video can bear it; ``None``: whatever is best.
    """
    whole = Span(0, boundary.num_slots)
    steps = range(min(num_steps, _MAX_STEPS_COUNTED))
    mean = sum(len(boundary.windows(step, whole)) for step in steps) / len(steps)
    num_windows = round(mean)
    return Work(
        num_windows=num_windows,
        num_steps=num_steps,
        window_s=window_s * mean / num_windows,
        decode_s=decode_s,
        exchange_s=exchange_s,
        max_gang=min(gang or max_segments(boundary), max_segments(boundary)),
        min_gang=gang or 1,
        fixed_bytes=fixed_bytes,
        state_bytes=state_bytes,
        kind=kind,
    )
