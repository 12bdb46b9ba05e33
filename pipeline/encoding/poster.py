"""The still picture that stands for a video in lists and players."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.encoding.provenance import Provenance

QUALITY = 90


def poster_jpeg(frame_HWC: NDArray[np.uint8], provenance: Provenance) -> bytes:
    """A JPEG of one frame, ``[H, W, 3]`` RGB bytes, that says of itself that it is AI-generated.

    The frame is ``VideoWriter.poster_frame``, kept while the video was written: no second decode.
    """
    buffer = io.BytesIO()
    Image.fromarray(frame_HWC).save(
        buffer,
        format="JPEG",
        quality=QUALITY,
        optimize=True,
        comment=provenance.comment.encode(),
    )
    return buffer.getvalue()
