"""What stays of a finished video beside its film, by what the settings say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobs.retention import Retention
from jobs.settings import OutputOptions
from storage import keys
from storage.local import LocalStore

if TYPE_CHECKING:
    from pathlib import Path

NUM_STEPS = 20


@pytest.mark.parametrize(
    ("options", "newest", "stays"),
    [
        ({}, NUM_STEPS, False),
        ({"keep_latents": "always"}, NUM_STEPS, True),
        # The newest snapshot of a finished video is its latents: it is one all the same.
        ({"keep_checkpoints": "always"}, NUM_STEPS, True),
        ({"keep_checkpoints": "always", "keep_latents": "never"}, 15, True),
        ({"keep_latents": "never"}, 15, False),
        ({"keep_checkpoints": "until_failed"}, NUM_STEPS, False),
    ],
)
def test_what_is_said_to_stay_stays(
    tmp_path: Path, options: dict[str, Any], newest: int, stays: bool
) -> None:
    """Older snapshots are gone by then, whatever the settings: a newer one was whole."""
    store, prefix = LocalStore(tmp_path), keys.checkpoints("clip", "f")
    for name in (f"step-{newest:06d}.json", f"step-{newest:06d}/000000.safetensors"):
        store.put_bytes(prefix + name, b"x")
    retention = Retention(store, OutputOptions(**options))
    retention.after_delivery("clip", "f")
    assert bool(list(store.list_keys(prefix))) is stays
    # The ledger names a place only where something is.
    assert (retention.kept("clip", "f") is not None) is stays
