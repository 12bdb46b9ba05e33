"""A store whose uploads of films take a while and say so, so that they can be disturbed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage.local import LocalStore

if TYPE_CHECKING:
    from pipeline.stores import ObjectInfo


class SlowStore(LocalStore):
    """Waits before the first film is put in its place; snapshots wait as long as they are told."""

    def __init__(self, config: SlowStoreConfig) -> None:
        super().__init__(Path(config.uri))
        self._config = config

    def put_file(self, key: str, path: Path, **options: Any) -> ObjectInfo:
        marker = self._config.marker
        if key.endswith(".mp4") and not marker.exists():
            marker.touch()
            time.sleep(self._config.upload_s)
        return super().put_file(key, path, **options)

    def put_bytes(self, key: str, data: bytes, **options: Any) -> ObjectInfo:
        if key.endswith(".safetensors"):
            self._config.marker.touch()
            time.sleep(self._config.snapshot_s)
        return super().put_bytes(key, data, **options)


@dataclass(frozen=True)
class SlowStoreConfig:
    """Opens it, here and in actors; ``marker`` appears when the wait begins."""

    uri: str
    upload_s: float = 0.0
    snapshot_s: float = 0.0

    @property
    def marker(self) -> Path:
        return Path(self.uri + ".waiting")

    def __call__(self) -> SlowStore:
        return SlowStore(self)
