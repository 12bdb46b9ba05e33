"""How a boundary travels from the actor that has it to the one that needs it.

The driver hands references on and knows nothing else of it: what ``pack`` gives is what a step
returns, and what that becomes on its way is what ``unpack`` is given. A transport that leaves
tensors on the GPU has its place here; so far there is one, which works wherever Ray does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pipeline.errors import SegmentError

if TYPE_CHECKING:
    from pipeline.message import BoundaryMessage


class Transport(Protocol):
    """One way for boundaries to travel."""

    def pack(self, message: BoundaryMessage) -> BoundaryMessage:
        """Make a boundary ready to be returned by a step.

        Args:
            message: views of the sampler's own buffers. Ray reads them when the method returns and
                before it runs the next, so whatever copies them then copies the right values.
        """
        ...

    def unpack(self, message: BoundaryMessage) -> BoundaryMessage:
        """The boundary as it came; the sampler copies it into its buffers and forgets it."""
        ...


class ObjectStore:
    """Through Ray's object store: one copy in, one copy out.

    An array that lies in one piece is not pickled. Pickle's protocol 5 hands Ray its memory as it
    is, next to a header of some hundred bytes, and Ray copies that once into shared memory, which
    the receiver maps. Up to 100 kB travel inside the answer instead. An array with gaps would be
    pickled: two more copies, without a word. So that is an error here.
    """

    def pack(self, message: BoundaryMessage) -> BoundaryMessage:
        """The message itself.

        Raises:
            SegmentError: an array has gaps.
        """
        for array in message.arrays:
            if not array.flags.c_contiguous:
                raise SegmentError(
                    f"video '{message.video}', step {message.step}: got a boundary from segment "
                    f"{message.sender} with strides {array.strides} for shape {array.shape}, "
                    "expected one piece of memory"
                )
        return message

    def unpack(self, message: BoundaryMessage) -> BoundaryMessage:
        """The message itself; its arrays are read-only memory of the object store."""
        return message
