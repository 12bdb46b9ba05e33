"""What one segment hands a neighbour before a step: a small header and contiguous arrays.

Shape suffixes: T latent frames, C channels, D history depth times C, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.errors import SegmentError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.segments import Handover


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundaryMessage:
    """Boundary latents, and the solver history of what changes owner.

    Attributes:
        video: id of the video, so that a stray message is noticed.
        step: the step that this is needed for.
        sender, receiver: segment numbers.
        handover: which latents, and which history, it holds.
        latents_TCHW: fp32 ``[T, C, H, W]``: until it is sent the sender's memory, good until its
            next step begins; once received, read-only memory of the object store.
        history_TDHW: the solver's history, ``[T, D, H, W]``; ``None`` where there is none.
    """

    video: str
    step: int
    sender: int
    receiver: int
    handover: Handover
    latents_TCHW: NDArray[np.float32]
    history_TDHW: NDArray[np.float32] | None = None

    @property
    def arrays(self) -> tuple[NDArray[np.float32], ...]:
        """All that is large."""
        if self.history_TDHW is None:
            return (self.latents_TCHW,)
        return self.latents_TCHW, self.history_TDHW

    @property
    def num_bytes(self) -> int:
        """Size of all that is large."""
        return sum(array.nbytes for array in self.arrays)

    def copied(self) -> BoundaryMessage:
        """The same with memory of its own, which the sender's next steps leave alone."""
        history = None if self.history_TDHW is None else self.history_TDHW.copy()
        return replace(self, latents_TCHW=self.latents_TCHW.copy(), history_TDHW=history)

    def check(self, *, video: str, step: int, receiver: int, handover: Handover) -> None:
        """Make sure that this is the message that was waited for.

        Raises:
            SegmentError: it is another video's, another step's, or holds something else.
        """
        got = (self.video, self.step, self.receiver, self.handover)
        expected = (video, step, receiver, handover)
        if got != expected:
            raise SegmentError(
                f"segment {receiver} of video '{video}', step {step}: got a boundary for {got}, "
                f"expected {expected}"
            )
