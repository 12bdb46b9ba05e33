"""Pieces of a finished video decoded by all actors of its gang, encoded in order by one.

The driver handles references only. A piece goes to whoever is free next. Its latents are asked of
their owners first, and only when they are there is the piece submitted: an actor that waited for a
neighbour's latents while the neighbour waits for its own would wait for ever. Each run of a piece
is one call and its frames are one object in Ray's object store, gone once they are encoded. Nobody
begins a piece that is more than a gang's length ahead of the one that is being encoded: so at most
one piece more than there are actors lies in the object store, however long the video.

What comes out depends on the pieces, which follow from the video, and never on who decoded them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ray

from actors.handles import wait_for
from pipeline.decode_pieces import pieces_of
from pipeline.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ray import ObjectRef

    from actors.take import Take, Watcher
    from actors.track import Track
    from pipeline.decode_pieces import Piece
    from pipeline.delivery import DeliveryOrder

# Latent frames decoded in one call.
LATENT_FRAMES_PER_RUN = 8

# Calls on their way through one actor: one being answered, one waiting.
CALLS_AHEAD = 2


def is_by_pieces(take: Take, order: DeliveryOrder) -> bool:
    """Whether a video is decoded by pieces.

    Not by an actor that is alone, unless pieces make other numbers than a stream does: what comes
    out must not depend on the number of actors.
    """
    if len(pieces_of(take.plan, order.decode)) == 1:
        return False
    reach = take.plan.engine.decode_reach_latent_frames
    is_exact = order.decode.warmup_for(reach) == reach
    return len(take.tracks) > 1 or not is_exact


@dataclass(slots=True)
class _Run:
    """Latent frames that are decoded in one call, and what has become of them.

    Attributes:
        piece: number of their piece.
        span: which they are; warm-up gives no frames.
        frames: where their frames are, once they were asked for.
        num_frames: how many frames, once they are there.
    """

    piece: int
    span: Span
    frames: ObjectRef[Any] | None = None
    num_frames: int | None = None


@dataclass(slots=True)
class _Bench:
    """One actor's work.

    Attributes:
        track: the actor.
        piece: number of the piece that it was given last.
        latents: of that piece, until it was submitted.
        awaited: those of them that are not there yet.
        runs: of that piece, still to be submitted.
        owed: calls without an answer, oldest first, each with its run if it is one.
    """

    track: Track
    piece: int = -1
    latents: list[ObjectRef[Any]] = field(default_factory=list)
    awaited: list[ObjectRef[Any]] = field(default_factory=list)
    runs: deque[_Run] = field(default_factory=deque)
    owed: deque[tuple[ObjectRef[Any], _Run | None]] = field(default_factory=deque)


class ParallelDecode:
    """One try at decoding a video by pieces, into a delivery that one actor has open."""

    def __init__(self, take: Take, order: DeliveryOrder, watcher: Watcher, carrier: Track) -> None:
        self._carrier = carrier
        self._take, self._order, self._watcher = take, order, watcher
        self._video = take.plan.request.id
        self._pieces = pieces_of(take.plan, order.decode)
        self._runs = [run for i, piece in enumerate(self._pieces) for run in _runs_of(i, piece)]
        self._benches = [_Bench(track) for track in take.tracks]
        self._next_piece = 0
        # Of all runs, in order: the next to be handed to ffmpeg, and the first that it has not got.
        self._next_push = self._next_encoded = 0
        self._num_pushes = 0
        self._pushes: deque[tuple[int, ObjectRef[int]]] = deque()
        self._profiles: set[str] = set()

    def run(self) -> tuple[str, ...]:
        """Decode and encode all of it; the memory profiles of whoever decoded.

        Raises:
            SegmentDiedError: an actor died or hung.
            PausedError: the take was to stop; it goes on from its finished latents.
            NightreelError: the video can't be decoded or encoded.
        """
        while self._next_push < len(self._runs) or self._pushes:
            for bench in self._benches:
                self._submit(bench)
            self._push_decoded()
            self._await_any()
            for bench in self._benches:
                self._settle(bench)
            self._settle_pushes()
            self._take.pause.heed_in_delivery(self._video, self._take.cuts)
        return tuple(sorted(self._profiles - {""}))

    # --- submitting -------------------------------------------------------------------------------

    def _submit(self, bench: _Bench) -> None:
        if not bench.latents and not bench.runs and self._may_begin_piece():
            bench.piece, self._next_piece = self._next_piece, self._next_piece + 1
            bench.latents = self._latents_of(self._pieces[bench.piece].read)
        if bench.latents:
            bench.awaited = _unanswered(bench.latents)
            if not bench.awaited:
                self._open(bench)
        while bench.runs and len(bench.owed) < CALLS_AHEAD:
            run, track = bench.runs.popleft(), bench.track
            run.frames, report = track.handle.decode_run(
                track.epoch, run.piece, run.span, self._video
            )
            bench.owed.append((report, run))

    def _may_begin_piece(self) -> bool:
        if self._next_piece == len(self._pieces):
            return False
        encoded = self._runs[min(self._next_encoded, len(self._runs) - 1)].piece
        return self._next_piece <= encoded + len(self._benches)

    def _latents_of(self, span: Span) -> list[ObjectRef[Any]]:
        take, last = self._take, self._take.plan.num_steps - 1
        parts = [(t, take.partition.owned(last, t.segment).intersect(span)) for t in take.tracks]
        return [track.handle.slots(track.epoch, p, self._video) for track, p in parts if p]

    def _open(self, bench: _Bench) -> None:
        track, piece = bench.track, self._pieces[bench.piece]
        opened = track.handle.open_piece(
            track.epoch,
            bench.piece,
            piece,
            tiling=self._order.decode.tiling,
            slots=bench.latents,
            video=self._video,
        )
        bench.owed.append((opened, None))
        bench.latents = []
        bench.runs.extend(run for run in self._runs if run.piece == bench.piece)

    def _push_decoded(self) -> None:
        """Hand over the next runs in order, as many as are decoded, but few at a time."""
        carrier = self._carrier
        while self._next_push < len(self._runs) and len(self._pushes) <= len(self._benches):
            run = self._runs[self._next_push]
            if run.num_frames is None:
                return
            self._next_push += 1
            if run.num_frames:
                assert run.frames is not None
                pushed = carrier.handle.push_frames(
                    carrier.epoch, self._num_pushes, run.frames, self._video
                )
                self._pushes.append((self._next_push, pushed))
                self._num_pushes += 1
            run.frames = None

    # --- answers ----------------------------------------------------------------------------------

    def _await_any(self) -> None:
        """Wait until anything is answered, no longer than runs have turned out to take."""
        refs = [ref for bench in self._benches if bench.latents for ref in bench.awaited]
        refs += [bench.owed[0][0] for bench in self._benches if bench.owed]
        refs += [self._pushes[0][1]] if self._pushes else []
        assert refs, f"video '{self._video}': nothing left to wait for"
        limit_s = self._take.guard.push_limit.limit_s
        ready, _ = ray.wait(refs, timeout=limit_s, fetch_local=False)
        if not ready:
            self._answer(refs[0])

    def _settle(self, bench: _Bench) -> None:
        while bench.owed and not _unanswered([bench.owed[0][0]]):
            ref, run = bench.owed.popleft()
            report = self._answer(ref)
            if run is not None:
                run.num_frames = report.num_frames
                self._profiles.add(report.profile)
                self._take.guard.push_limit.learn(report.compute_s)

    def _settle_pushes(self) -> None:
        while self._pushes and not _unanswered([self._pushes[0][1]]):
            self._next_encoded, ref = self._pushes.popleft()
            self._watcher.on_frames(self._answer(ref))

    def _answer(self, ref: ObjectRef[Any]) -> Any:
        """What was answered; an actor that has not answered by now is taken for dead."""
        return wait_for([ref], timeout_s=0.0, doing=f"video '{self._video}': decoding")[0]


def _runs_of(index: int, piece: Piece) -> Iterator[_Run]:
    for part in (Span(piece.read.start, piece.kept.start), piece.kept):
        for start in range(part.start, part.stop, LATENT_FRAMES_PER_RUN):
            yield _Run(index, Span(start, min(start + LATENT_FRAMES_PER_RUN, part.stop)))


def _unanswered(refs: list[ObjectRef[Any]]) -> list[ObjectRef[Any]]:
    return ray.wait(refs, num_returns=len(refs), timeout=0, fetch_local=False)[1]
