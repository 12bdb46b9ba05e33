"""Videos of a queued job that somebody does not want any more: one small object for each.

jobs/<id>/cancelled/<video id>.json
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline.errors import ObjectExistsError, UserError
from storage.job_queue import JOBS
from storage.keys import is_safe_id

if TYPE_CHECKING:
    from pipeline.stores import ObjectStore


class CancelledVideos:
    """Those of one job."""

    def __init__(self, store: ObjectStore, job_id: str) -> None:
        self._store, self._prefix = store, f"{JOBS}{job_id}/cancelled/"

    def add(self, video_id: str, *, by: str) -> bool:
        """Cancel a video; false if it was cancelled already.

        Raises:
            UserError: that is no video's id.
            StoreError: the store refused.
        """
        if not is_safe_id(video_id):
            raise UserError(f"{video_id!r} is no video's id")
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        data = (json.dumps({"at": at, "by": by}) + "\n").encode()
        try:
            self._store.put_bytes(self._key(video_id), data, content_type="application/json")
        except ObjectExistsError:
            return False
        return True

    def remove(self, video_id: str) -> None:
        """Let a video be rendered again; nothing if it is not cancelled."""
        self._store.delete(self._key(video_id))

    def ids(self) -> frozenset[str]:
        """Ids of all of them."""
        names = (key.removeprefix(self._prefix) for key in self._store.list_keys(self._prefix))
        return frozenset(name.removesuffix(".json") for name in names if name.endswith(".json"))

    def _key(self, video_id: str) -> str:
        return f"{self._prefix}{video_id}.json"
