"""The last stretch: slots in, a checked MP4 and its poster in a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import pytest
import torch

from pipeline import reference
from pipeline.delivery import DeliveryOrder, VideoDelivery
from pipeline.encoding.encode_options import EncodeOptions
from pipeline.encoding.provenance import Provenance
from pipeline.errors import EncodeError, QualityError
from storage.local import LocalStore
from tests.plans import MODES, small_gaussian, small_plan

if TYPE_CHECKING:
    from pathlib import Path

ORDER = DeliveryOrder(
    video_key="videos/clip/1.mp4",
    poster_key="videos/clip/1.jpg",
    encode=EncodeOptions(preset="ultrafast"),
    provenance=Provenance(title="a hill", engine="gaussian", version="0"),
)


def _deliver(folder: Path, num_frames: int, sizes: tuple[int, ...], mode: str = "halo") -> bytes:
    engine = small_gaussian()
    plan = small_plan(engine, num_frames, mode=mode)
    latents = reference.sample(plan, engine)
    if len(plan.boundary.joints()) > 1:  # the copies themselves, cut anywhere
        latents = torch.randn(plan.boundary.num_slots, *plan.latent_shape)
    scratch = folder / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    store = LocalStore(folder / "store")
    delivery = VideoDelivery(plan, ORDER, engine, scratch)
    for part in latents.split(list(_filled(sizes, len(latents)))):
        delivery.push(part)
    delivered = delivery.finish(store)
    assert list(scratch.iterdir()) == []
    assert delivered.info.num_frames == num_frames
    assert store.head(ORDER.poster_key) == delivered.poster
    return store.get_bytes(delivered.video.key)


def _filled(sizes: tuple[int, ...], total: int) -> list[int]:
    filled = []
    for size in sizes:
        filled.append(min(size, total - sum(filled)))
    return [
        *[size for size in filled if size > 0],
        *([total - sum(filled)] * (sum(filled) < total)),
    ]


@pytest.mark.parametrize("num_frames", [1, 2, 34, 121])
def test_exactly_the_frames_asked_for(tmp_path: Path, num_frames: int) -> None:
    _deliver(tmp_path, num_frames, (8, 8))
    with av.open(str(tmp_path / "store" / ORDER.video_key)) as container:
        assert sum(1 for _ in container.decode(video=0)) == num_frames


@pytest.mark.parametrize("mode", MODES)
def test_the_same_file_however_the_slots_come(tmp_path: Path, mode: str) -> None:
    torch.manual_seed(0)
    once = _deliver(tmp_path / "a", 121, (1000,), mode)
    torch.manual_seed(0)
    assert _deliver(tmp_path / "b", 121, (1, 1, 5, 8, 2), mode) == once


def test_an_object_that_is_there_already_is_kept_if_right_and_mended_if_not(
    tmp_path: Path,
) -> None:
    good = _deliver(tmp_path, 34, (8,))
    place = tmp_path / "store" / ORDER.video_key
    kept = place.stat().st_mtime_ns
    assert _deliver(tmp_path, 34, (8,)) == good
    assert place.stat().st_mtime_ns == kept
    place.write_bytes(good[:-1] + b"?")
    assert _deliver(tmp_path, 34, (8,)) == good


def test_too_few_slots_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    engine = small_gaussian()
    plan = small_plan(engine, 121)
    delivery = VideoDelivery(plan, ORDER, engine, tmp_path)
    delivery.push(reference.sample(plan, engine)[:10])
    with pytest.raises(EncodeError, match="got 37 frames, expected 121"):
        delivery.finish(LocalStore(tmp_path / "store"))
    assert [path.name for path in tmp_path.iterdir()] == []


def test_a_video_without_a_picture_is_not_uploaded(tmp_path: Path) -> None:
    engine = small_gaussian()
    plan = small_plan(engine, 34)
    (tmp_path / "scratch").mkdir()
    delivery = VideoDelivery(plan, ORDER, engine, tmp_path / "scratch")
    delivery.push(torch.zeros(plan.boundary.num_slots, *plan.latent_shape))
    store = LocalStore(tmp_path / "store")
    with pytest.raises(QualityError, match=r"flat_share = 1: over quality\.max_flat_share = 0\.5"):
        delivery.finish(store)
    assert list(store.list_keys("")) == []
    delivery.abandon()


def test_what_is_delivered_says_how_good_it_is(tmp_path: Path) -> None:
    engine = small_gaussian()
    plan = small_plan(engine, 121, mode="none")
    latents = torch.randn(plan.boundary.num_slots, *plan.latent_shape)
    delivery = VideoDelivery(plan, ORDER, engine, tmp_path)
    delivery.push(latents)
    quality = delivery.finish(LocalStore(tmp_path / "store")).quality
    assert quality is not None
    assert quality.num_frames == 121
    # 31 latent frames in windows of 9: the first whole, then 8 new ones each.
    assert quality.num_joins == 3
    assert quality.health.flat_share == 0.0
