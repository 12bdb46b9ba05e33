"""Tries an encoder before a night depends on it: one that is listed may still lack its hardware."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.encoding.encode import VideoWriter
from pipeline.encoding.probe import check
from pipeline.encoding.provenance import Provenance
from pipeline.encoding.video_format import VideoFormat

if TYPE_CHECKING:
    from pipeline.encoding.encode_options import EncodeOptions

# Hardware encoders refuse pictures much smaller than this.
TRIAL_VIDEO = VideoFormat(width=256, height=256, num_frames=3, engine_fps=16, fps=16)


def try_encoder(options: EncodeOptions) -> None:
    """Encode three grey frames and read them back.

    Raises:
        EncodeError: the encoder does not work on this machine; the message quotes ffmpeg.
        StoreFullError: there is no room for temporary files.
    """
    frames_THWC = np.full((3, TRIAL_VIDEO.height, TRIAL_VIDEO.width, 3), 128, np.uint8)
    provenance = Provenance(title="trial", engine="none", version="0")
    with tempfile.TemporaryDirectory(prefix="nightreel-") as folder:
        path = Path(folder) / "trial.mp4"
        with VideoWriter(path, TRIAL_VIDEO, options, provenance) as writer:
            writer.write(frames_THWC)
        check(path, TRIAL_VIDEO, options)
