"""What must be true of an output URI, whatever happened to those who wrote to it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import ray

from pipeline.encoding.probe import probe
from storage import keys
from storage.ledger import Ledger
from tests.manifests import SMALL

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from storage.connection import S3Options
    from storage.local import LocalStore
    from storage.s3 import S3Store

    Store = LocalStore | S3Store


def command(manifest: Path, output: str, *more: str) -> list[str]:
    """``nightreel render`` with one actor of the tests' cluster."""
    address = ray.get_runtime_context().gcs_address
    return [
        "render",
        str(manifest),
        f"--output={output}",
        f"--address={address}",
        *SMALL,
        "gang.actors=1",
        *more,
    ]


def store_settings(options: S3Options, **changes: object) -> list[str]:
    """The settings that lead to a server."""
    values = {
        "endpoint_url": options.endpoint_url,
        "region": options.region,
        "addressing_style": options.addressing_style,
        **changes,
    }
    return [f"store.{name}={value}" for name, value in values.items()]


def check_whole(store: Store, folder: Path) -> Counter[str]:
    """Look at every film that shows and every record that claims one; records of each video."""
    folder.mkdir(exist_ok=True)
    for key in store.list_keys(keys.VIDEOS):
        if key.endswith(".mp4"):
            store.get_file(key, folder / "film.mp4")
            assert probe(folder / "film.mp4").num_frames > 0
    rendered: Counter[str] = Counter()
    ledger = Ledger(store)
    ids = {key.split("/")[1] for key in store.list_keys(keys.LEDGER)}
    for video_id in ids:
        for record in ledger.history(video_id):
            if record.state == "rendered":
                ledger.verify(record)
                rendered[video_id] += 1
    return rendered


def check_delivered_once(store: Store, ids: Iterable[str], folder: Path) -> None:
    """Each video has one record, one film, one poster and one sidecar, and nothing else is left."""
    wanted = set(ids)
    assert check_whole(store, folder) == dict.fromkeys(wanted, 1)
    films = sorted(store.list_keys(keys.VIDEOS))
    assert Counter(key.rpartition(".")[2] for key in films) == dict.fromkeys(
        ("mp4", "jpg", "json"), len(wanted)
    )
    assert {key.split("/")[1] for key in films} == wanted
    assert list(store.list_keys(keys.CHECKPOINTS)) == []
    assert list(store.list_keys(keys.LEASES)) == []
    assert [write.key for write in store.list_unfinished(keys.VIDEOS)] == []
    assert [write.key for write in store.list_unfinished(keys.CHECKPOINTS)] == []
