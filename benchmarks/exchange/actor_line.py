"""Actors in a line that have nothing to do but exchange, by the transports that are compared.

They are called as segment actors are: a step is given its neighbours' boundaries as references and
returns two of its own. Each writes the step's number into what it sends, and the last boundaries
received are looked at, so that nothing counts that did not arrive.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import ray
import torch

from actors.handles import wait_for
from actors.transport import ObjectStore
from pipeline.message import BoundaryMessage
from pipeline.segments import Handover
from pipeline.spans import Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from actors.transport import Transport

# As the driver of a video does: steps that are queued on an actor beyond the one that it computes.
STEPS_AHEAD = 2
TIMEOUT_S = 300.0
FLOAT_BYTES = 4
PAGE_BYTES = 4096


class PickledTensors:
    """What one writes first: torch tensors are returned, and Ray pickles them."""

    def pack(self, message: BoundaryMessage) -> BoundaryMessage:
        """With a tensor in place of the array."""
        tensor: Any = torch.from_numpy(message.latents_TCHW)
        return replace(message, latents_TCHW=tensor)

    def unpack(self, message: BoundaryMessage) -> BoundaryMessage:
        """With an array again."""
        tensor: Any = message.latents_TCHW
        return replace(message, latents_TCHW=tensor.numpy())


TRANSPORTS: dict[str, type[Transport]] = {"object store": ObjectStore, "pickled": PickledTensors}


class LineActor:
    """One place in the line: what it sends to either side, and what it got from there."""

    def __init__(self, place: int) -> None:
        torch.set_num_threads(1)
        self._place = place

    def touch(self, filling: NDArray[np.uint8]) -> int:
        """Have every page of an object in this process's page table; give how many it saw."""
        return int(filling[::PAGE_BYTES].size - np.count_nonzero(filling[::PAGE_BYTES]))

    def prepare(self, transport: str, num_bytes: int, has_right: bool) -> None:
        """Exchange so many bytes in each direction from now on."""
        self._transport, self._has_right = TRANSPORTS[transport](), has_right
        shape = (2, 1, 1, 1, num_bytes // FLOAT_BYTES)
        self._own, self._got = np.ones(shape, np.float32), np.zeros(shape, np.float32)

    @ray.method(num_returns=3)
    def step(
        self, step: int, from_left: BoundaryMessage | None, from_right: BoundaryMessage | None
    ) -> tuple[BoundaryMessage | None, BoundaryMessage | None, None]:
        """Take what the neighbours sent in the step before, and send both something."""
        for side, message in enumerate((from_left, from_right)):
            if message is not None:
                self._got[side] = self._transport.unpack(message).latents_TCHW
        self._own[..., 0] = self._own[..., -1] = step
        to_left = self._message(step, 0) if self._place > 0 else None
        return to_left, self._message(step, 1) if self._has_right else None, None

    def last_received(self) -> list[float]:
        """The steps that the boundaries at hand were sent in, the left one first."""
        sides = [0] * (self._place > 0) + [1] * self._has_right
        ends = self._got[sides, 0, 0, 0][:, [0, -1]]
        assert (ends[:, 0] == ends[:, 1]).all(), f"a boundary that is half of another: {ends}"
        return [float(step) for step in ends[:, 0]]

    def _message(self, step: int, side: int) -> BoundaryMessage:
        """A boundary with nothing in it but bytes."""
        return self._transport.pack(
            BoundaryMessage(
                video="line",
                step=step + 1,
                sender=self._place,
                receiver=self._place + 2 * side - 1,
                handover=Handover(Span(0, 1), Span(0, 0)),
                latents_TCHW=self._own[side],
            )
        )


class Line:
    """Warm actors, of which the first so many exchange; use it for one measurement after another.

    Args:
        num_actors: the most that will be asked for.
    """

    def __init__(self, num_actors: int) -> None:
        remote: Any = ray.remote(num_cpus=0)(LineActor)
        self._actors = [remote.remote(place) for place in range(num_actors)]

    def close(self) -> None:
        """End the actors."""
        for actor in self._actors:
            ray.kill(actor)

    def warm_up(self, num_bytes: int) -> None:
        """Touch so much of the object store in every actor, as hours of rendering would.

        The kernel hands out and clears a page when the first process touches it, and every other
        process has a page fault of its own.
        """
        filling = ray.put(np.zeros(num_bytes, np.uint8))
        self._ask([actor.touch.remote(filling) for actor in self._actors])

    def seconds_per_step(
        self, transport: str, num_actors: int, num_bytes: int, num_steps: int, *, barrier: bool
    ) -> float:
        """The median time between two steps of all, when half of the steps have warmed it up.

        Args:
            transport: a key of ``TRANSPORTS``.
            num_actors: how many exchange.
            num_bytes: of each boundary, in one direction.
            num_steps: how many steps, at least 4.
            barrier: whether the driver waits for all before it submits the next step.
        """
        actors = self._actors[:num_actors]
        last = num_actors - 1
        self._ask([a.prepare.remote(transport, num_bytes, i < last) for i, a in enumerate(actors)])
        ahead = 0 if barrier else STEPS_AHEAD
        ends_s: list[float] = []
        queued: list[Sequence[Any]] = [[a.step.remote(0, None, None) for a in actors]]
        for step in range(1, num_steps + 1):
            queued.append(_submit(actors, step, queued[-1]))
            if step <= ahead:
                continue
            self._ask([given[2] for given in queued.pop(0)])
            ends_s.append(time.perf_counter())
        for refs in queued:
            self._ask([given[2] for given in refs])
            ends_s.append(time.perf_counter())
        self._check([a.last_received.remote() for a in actors], num_steps - 1)
        steady_s = np.diff(ends_s)[num_steps // 2 :]
        return float(np.median(steady_s))

    def _ask(self, refs: list[Any]) -> list[Any]:
        return wait_for(refs, timeout_s=TIMEOUT_S, doing="exchanging")

    def _check(self, refs: list[Any], step: int) -> None:
        for received in self._ask(refs):
            if any(got != step for got in received):
                raise RuntimeError(f"got boundaries of steps {received}, expected {step}")


def _submit(actors: Sequence[Any], step: int, before: Sequence[Any]) -> list[Any]:
    """A step of all, each with the references of what its neighbours send in the one before."""
    last = len(actors) - 1
    return [
        actor.step.remote(
            step,
            before[place - 1][1] if place > 0 else None,
            before[place + 1][0] if place < last else None,
        )
        for place, actor in enumerate(actors)
    ]
