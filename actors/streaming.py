"""Finished slots into the store, through one actor's decoder or, by pieces, everyone's."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from actors.handles import wait_for
from actors.parallel_decode import ParallelDecode, is_by_pieces
from pipeline.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray
    from ray import ObjectRef

    from actors.take import Take, Watcher
    from actors.track import Track
    from pipeline.delivery import Delivered, DeliveryOrder

# Slots decoded in one call: small enough that two in flight are nothing, large enough that a call's
# millisecond is nothing either.
SLOTS_PER_PUSH = 8

# Runs of slots on their way to the decoder: one being decoded, one waiting.
PUSHES_AHEAD = 2


def finished_slots(take: Take) -> Iterator[ObjectRef[NDArray[np.float32]]]:
    """Finished slots ``[T, C, H, W]``, in order, a few at a time; asked for one by one."""
    for track in take.tracks:
        owned = take.partition.owned(take.plan.num_steps - 1, track.segment)
        for start in range(owned.start, owned.stop, SLOTS_PER_PUSH):
            span = Span(start, min(start + SLOTS_PER_PUSH, owned.stop))
            yield track.handle.slots(track.epoch, span, take.plan.request.id)


def stream(take: Take, order: DeliveryOrder, watcher: Watcher, carrier: Track) -> Delivered:
    """One try at decoding, encoding, checking and uploading, all on one segment's actor.

    Raises:
        SegmentDiedError: an actor died or hung.
        PausedError: the take was to stop; it goes on from its finished latents.
        NightreelError: the video can't be encoded or stored.
    """
    video = take.plan.request.id
    doing = f"video '{video}': decoding"
    timeout_s = take.options.decode_timeout_s
    opened = carrier.handle.open_delivery(carrier.epoch, take.plan_ref, order, video)
    wait_for([opened], timeout_s=timeout_s, doing=doing)
    profiles: tuple[str, ...] | None = None
    if is_by_pieces(take, order):
        profiles = ParallelDecode(take, order, watcher, carrier).run()
    else:
        _push_all(take, watcher, carrier, doing)
    delivery = carrier.handle.deliver(carrier.epoch, video)
    (delivered,) = wait_for([delivery], timeout_s=timeout_s, doing=f"video '{video}': delivering")
    return delivered if profiles is None else replace(delivered, profiles=profiles)


def _push_all(take: Take, watcher: Watcher, carrier: Track, doing: str) -> None:
    """All slots through one actor's own decoder."""
    video = take.plan.request.id
    pending: list[ObjectRef[int]] = []
    for index, slots in enumerate(finished_slots(take)):
        pending.append(carrier.handle.push(carrier.epoch, index, slots, video))
        if len(pending) == PUSHES_AHEAD:
            _await_push(take, pending, watcher, doing)
    while pending:
        _await_push(take, pending, watcher, doing)


def _await_push(take: Take, pending: list[ObjectRef[int]], watcher: Watcher, doing: str) -> None:
    """Wait for the oldest run of slots, no longer than runs have turned out to take."""
    started_s = time.monotonic()
    limit_s = take.guard.push_limit.limit_s
    (num_frames,) = wait_for([pending.pop(0)], timeout_s=limit_s, doing=doing)
    take.guard.push_limit.learn(time.monotonic() - started_s)
    watcher.on_frames(num_frames)
    take.pause.heed_in_delivery(take.plan.request.id, take.cuts)
