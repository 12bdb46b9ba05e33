"""A video decoded by pieces: each piece by itself, wherever it is convenient.

A causal decoder hears a latent frame and a number of latent frames before it, and no more: its
*reach*. A piece is decoded with some latent frames before it, the *warm-up*, whose frames are
thrown away. With a warm-up as long as the reach the frames are those of one whole stream, bit for
bit; with a shorter one they are nearly that, the nearer the longer it is.

Pieces, not actors, are the unit: they follow from the video's length and the options alone, so a
video is the same whoever decodes it.

Shape suffixes: T latent frames, C channels, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from pipeline.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from pipeline.decode_options import DecodeOptions
    from pipeline.engines.protocol import Engine
    from pipeline.plan import VideoPlan
    from pipeline.tiling import Tiling


@dataclass(frozen=True, slots=True)
class Piece:
    """Latent frames that are decoded by themselves.

    Attributes:
        read: what the decoder is given, warm-up first.
        kept: what frames are kept of; ends where ``read`` ends.
    """

    read: Span
    kept: Span

    def __post_init__(self) -> None:
        assert self.kept in self.read, f"{self.kept} is not inside {self.read}"
        assert self.kept.stop == self.read.stop, f"{self.kept} ends before {self.read}"
        is_cold = self.read.start == self.kept.start
        assert not is_cold or self.read.start == 0, f"{self.kept} has no warm-up"


def cut_into_pieces(
    num_latent_frames: int, piece_latent_frames: int, warmup_latent_frames: int
) -> list[Piece]:
    """The fewest pieces of about equal length, none longer than ``piece_latent_frames``."""
    count = -(-num_latent_frames // piece_latent_frames)
    edges = [i * num_latent_frames // count for i in range(count + 1)]
    return [
        Piece(Span(max(0, start - warmup_latent_frames), stop), Span(start, stop))
        for start, stop in pairwise(edges)
    ]


def pieces_of(plan: VideoPlan, options: DecodeOptions) -> list[Piece]:
    """The pieces that a video is decoded in: one, if it is decoded as a stream.

    So is a video whose slots are copies of latent frames, which must be joined in order first.
    """
    total = plan.num_latent_frames
    if not options.parallel or len(plan.boundary.joints()) > 1:
        return [Piece(Span(0, total), Span(0, total))]
    warmup = options.warmup_for(plan.engine.decode_reach_latent_frames)
    return cut_into_pieces(total, options.piece_latent_frames, warmup)


class PieceDecoder:
    """Decodes one piece; fed with ``piece.read`` in order, gives the frames of ``piece.kept``."""

    def __init__(self, engine: Engine, piece: Piece, tiling: Tiling | None = None) -> None:
        self._decoder = engine.stream_decoder(tiling)
        self._warmup_left = piece.kept.start - piece.read.start

    def push(self, latents_TCHW: Tensor) -> Iterator[NDArray[np.uint8]]:
        """Decode the next latent frames; see ``StreamDecoder.push``. Warm-up gives nothing."""
        for frames_FHWC in self._decoder.push(latents_TCHW):
            if self._warmup_left:
                self._warmup_left -= 1
            else:
                yield frames_FHWC
