"""An actor's part in decoding a video by pieces: the piece at hand, a run of it at a time.

Shape suffixes: T latent frames, C channels, F frames, H height, W width.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from pipeline.decode_pieces import Piece, PieceDecoder
from pipeline.errors import SegmentError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from typing import Literal

    from numpy.typing import NDArray

    from pipeline.engines.protocol import Engine
    from pipeline.spans import Span
    from pipeline.tiling import Tiling


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What a decoded run tells the driver: numbers, never frames.

    Attributes:
        num_frames: that may be kept.
        compute_s: seconds that it took.
        profile: the memory profile of the engine; empty if it has none.
    """

    num_frames: int
    compute_s: float
    profile: str


class PieceWorker:
    """Holds one piece's latents and decoder until its last run was decoded."""

    def __init__(
        self,
        engine: Engine,
        piece: Piece,
        tiling: Tiling | None,
        slots_TCHW: Sequence[NDArray[np.float32]],
        stage: Callable[[Literal["decode"]], AbstractContextManager[None]],
        *,
        profile: str,
    ) -> None:
        """Copy the latents ``piece.read``, which come in order from whoever owned them."""
        self._latents_TCHW = torch.from_numpy(np.concatenate(slots_TCHW))
        assert len(self._latents_TCHW) == len(piece.read), f"not the latents of {piece.read}"
        self.piece, self._stage, self._profile = piece, stage, profile
        self._decoder = PieceDecoder(engine, piece, tiling)
        self._next = piece.read.start

    def decode(self, run: Span) -> tuple[NDArray[np.uint8], RunReport]:
        """The frames ``[F, H, W, 3]`` of the next run; none of it may be kept, being warm-up.

        Raises:
            SegmentError: it is not this run's turn.
        """
        if run.start != self._next or run not in self.piece.read:
            raise SegmentError(f"piece {self.piece.kept}: got run {run}, expected {self._next}")
        started_s = time.perf_counter()
        part = self._latents_TCHW[run.within(self.piece.read)]
        with self._stage("decode"):
            frames = list(self._decoder.push(part))
        self._next = run.stop
        # An empty array says nothing of a picture's size; nobody looks at it.
        frames_FHWC = np.concatenate(frames) if frames else np.empty((0, 0, 0, 3), np.uint8)
        return frames_FHWC, RunReport(
            num_frames=len(frames_FHWC),
            compute_s=time.perf_counter() - started_s,
            profile=self._profile,
        )
