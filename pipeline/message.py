"""What one segment hands a neighbour before a step: a small header and one contiguous array.

Shape suffixes: T latent frames, C channels, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass
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
        handover: which latents, and which history, the payload holds.
        payload_TCHW: fp32 ``[latents + history, C, H, W]``; received ones are read-only memory that
            belongs to the object store.
    """

    video: str
    step: int
    sender: int
    receiver: int
    handover: Handover
    payload_TCHW: NDArray[np.float32]

    @property
    def num_bytes(self) -> int:
        """Size of the payload."""
        return self.payload_TCHW.nbytes

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
