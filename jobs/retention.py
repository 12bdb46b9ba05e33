"""What outlives a video's making: latents and checkpoints, as long as the settings say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage import keys

if TYPE_CHECKING:
    from jobs.settings import OutputOptions
    from storage.record import LedgerRecord
    from storage.stored import StoreWithListing

_LATENTS = "latents-"


class Retention:
    """Removes what was only kept until a video is safe."""

    def __init__(self, store: StoreWithListing, options: OutputOptions) -> None:
        self._store, self._options = store, options
        self._leftovers: set[str] | None = None

    def kept(self, video_id: str, fingerprint: str) -> str | None:
        """The prefix under which something of a finished video stays; ``None`` if nothing does."""
        return keys.checkpoints(video_id, fingerprint) if self._options.keeps_for_good else None

    def tidy(self, video_id: str, fingerprint: str) -> None:
        """Remove what need not be kept, now that the ledger has the video."""
        prefix = keys.checkpoints(video_id, fingerprint)
        for key in list(self._store.list_keys(prefix)):
            is_latents = key.removeprefix(prefix).startswith(_LATENTS)
            keeps = self._options.keep_latents if is_latents else self._options.keep_checkpoints
            if keeps != "always":
                self._store.delete(key)

    def tidy_leftovers(self, record: LedgerRecord) -> None:
        """Do what a driver left undone that died right after writing this record."""
        if record.kept is None and self._begun(record.id, record.fingerprint):
            self.tidy(record.id, record.fingerprint)

    def _begun(self, video_id: str, fingerprint: str) -> bool:
        """Whether anything of a video lay there when this was asked first: one listing for all."""
        if self._leftovers is None:
            self._leftovers = {
                key.rpartition("/")[0] + "/" for key in self._store.list_keys(keys.CHECKPOINTS)
            }
        prefix = keys.checkpoints(video_id, fingerprint)
        return any(folder.startswith(prefix) for folder in self._leftovers)
