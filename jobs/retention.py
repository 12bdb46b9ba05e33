"""What outlives a video's making: latents and checkpoints, as long as the settings say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from storage import keys

if TYPE_CHECKING:
    from jobs.settings import OutputOptions
    from storage.record import LedgerRecord
    from storage.stored import StoreWithListing

# Snapshots lie under a video's prefix by step; the newest of a finished video is its latents.
_STEP = re.compile(r"step-(\d{6})")


class Retention:
    """Removes what was only kept until a video is safe."""

    def __init__(self, store: StoreWithListing, options: OutputOptions) -> None:
        self._store, self._options = store, options
        self._leftovers: set[str] | None = None

    def kept(self, video_id: str, fingerprint: str) -> str | None:
        """The prefix under which something of a finished video stays; ``None`` if nothing does."""
        return keys.checkpoints(video_id, fingerprint) if self._options.keeps_for_good else None

    def after_delivery(self, video_id: str, fingerprint: str) -> None:
        """Remove what need not be kept, now that the ledger has the video."""
        prefix = keys.checkpoints(video_id, fingerprint)
        found = {key: _step_of(key, prefix) for key in self._store.list_keys(prefix)}
        newest = max(found.values(), default=0)
        for key, step in found.items():
            is_newest = step == newest and self._options.keep_latents == "always"
            if not is_newest and self._options.keep_checkpoints != "always":
                self._store.delete(key)

    def after_failure(self, video_id: str, fingerprint: str, *, is_full: bool) -> None:
        """Remove what a failed video leaves, if so set or if the store has no room for others."""
        if is_full or self._options.keep_checkpoints == "until_failed":
            self._remove(video_id, fingerprint)

    def tidy_leftovers(self, record: LedgerRecord) -> None:
        """Do what a driver left undone that died right after writing this record."""
        if record.kept is None and self._begun(record.id, record.fingerprint):
            self._remove(record.id, record.fingerprint)

    def _remove(self, video_id: str, fingerprint: str) -> None:
        for key in list(self._store.list_keys(keys.checkpoints(video_id, fingerprint))):
            self._store.delete(key)

    def _begun(self, video_id: str, fingerprint: str) -> bool:
        """Whether anything of a video lay there when this was asked first: one listing for all."""
        if self._leftovers is None:
            self._leftovers = {
                key.rpartition("/")[0] + "/" for key in self._store.list_keys(keys.CHECKPOINTS)
            }
        prefix = keys.checkpoints(video_id, fingerprint)
        return any(folder.startswith(prefix) for folder in self._leftovers)


def _step_of(key: str, prefix: str) -> int:
    """The step of the snapshot that a key belongs to; 0 for anything else."""
    found = _STEP.match(key.removeprefix(prefix))
    return int(found[1]) if found else 0
