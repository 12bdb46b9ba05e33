"""What lies in Ray's object store, over all nodes of the cluster in use."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ray
from ray._private.internal_api import get_memory_info_reply, get_state_from_address

from tests.faults.renders import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Contents:
    num_objects: int
    used_bytes: int
    spilled_bytes: int


def contents() -> Contents:
    """As the nodes tell it now."""
    state = get_state_from_address(ray.get_runtime_context().gcs_address)
    stats = get_memory_info_reply(state).store_stats
    return Contents(
        stats.num_local_objects, stats.object_store_bytes_used, stats.spilled_bytes_total
    )


def left_as_it_was() -> Iterator[None]:
    """A fixture: whatever a test put there is gone soon after it."""
    before = contents()
    yield
    wait_until(
        lambda: gc.collect() >= 0 and contents().num_objects <= before.num_objects,
        f"end of what a test left: {before.num_objects} objects before",
        timeout_s=20.0,
    )
