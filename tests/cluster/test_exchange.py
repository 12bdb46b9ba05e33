"""The benchmark's line of actors on a real cluster: what is timed has arrived."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from actors.transport import ObjectStore
from benchmarks.exchange.actor_line import Line
from pipeline.errors import SegmentError
from pipeline.message import BoundaryMessage
from pipeline.segments import Handover
from pipeline.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def line(ray_cluster: None) -> Iterator[Line]:
    made = Line(3)
    yield made
    made.close()


@pytest.mark.cluster
@pytest.mark.parametrize("num_actors", [3])
@pytest.mark.parametrize("num_bytes", [4, 1 << 20])
@pytest.mark.parametrize(("transport", "barrier"), [("object store", False), ("pickled", True)])
def test_what_is_timed_has_arrived(
    line: Line, transport: str, barrier: bool, num_bytes: int, num_actors: int
) -> None:
    time_s = line.seconds_per_step(transport, num_actors, num_bytes, 6, barrier=barrier)
    assert 0.0 < time_s < 60.0


@pytest.mark.cluster
def test_every_page_is_touched(line: Line) -> None:
    line.warm_up(1 << 20)


def test_a_boundary_that_would_be_pickled_is_refused() -> None:
    message = BoundaryMessage(
        video="clip",
        step=3,
        sender=1,
        receiver=2,
        handover=Handover(Span(0, 2), Span(0, 0)),
        latents_TCHW=np.zeros((2, 3, 4, 5), np.float32),
    )
    assert ObjectStore().pack(message) is message
    turned = message.latents_TCHW.transpose(0, 1, 3, 2)
    with pytest.raises(SegmentError, match="'clip', step 3: got a boundary from segment 1 with"):
        ObjectStore().pack(
            BoundaryMessage(
                video="clip",
                step=3,
                sender=1,
                receiver=2,
                handover=message.handover,
                latents_TCHW=message.latents_TCHW,
                history_TDHW=turned,
            )
        )
