"""A row's image, from the manifest to the plan and the name of the video."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from jobs.config import load_config
from jobs.triage import ToRender, Triage
from pipeline.engines.registry import EngineOptions, read_spec
from storage.manifest import Manifest
from storage.rejected import Rejection
from tests.tiny_wan import HEIGHT_PX, WIDTH_PX, make_tiny_wan

if TYPE_CHECKING:
    from pathlib import Path

    from jobs.triage import Triaged


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that makes videos from images, with two experts."""
    return make_tiny_wan(tmp_path_factory.mktemp("wan"), layout="2.2-i2v")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    generator = np.random.Generator(np.random.Philox(0))
    (tmp_path / "images").mkdir()
    for name, size in {"a": (WIDTH_PX, HEIGHT_PX), "b": (50, 32), "tall": (32, 90)}.items():
        pixels = generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{name}.png")
    return tmp_path / "images"


def triaged(
    folder: Path, images: Path, rows: list[dict[str, Any]], *settings: str
) -> list[Triaged]:
    path = images.parent / "manifest.parquet"
    good = {"prompt": "a fox", "num_frames": 9, "seed": 1, "num_inference_steps": 2}
    pq.write_table(pa.Table.from_pylist([good | row for row in rows]), path)
    overrides = [f"engine.weights={folder}", f"image.allowed_prefixes={images}", *settings]
    config = load_config(preset="embedded", overrides=overrides)
    spec = read_spec(EngineOptions(name="wan", weights=str(folder)))
    return list(Triage(config, spec).rows(Manifest.open(str(path))))


def test_an_image_becomes_part_of_the_plan(folder: Path, images: Path) -> None:
    rows = [{"id": name, "image": f"{images}/{name}.png"} for name in ("a", "b")]
    exact, cropped = triaged(folder, images, rows)
    assert isinstance(exact, ToRender)
    assert isinstance(cropped, ToRender)
    assert exact.plan.image is not None
    assert exact.plan.image.pixels_HWC.shape == (HEIGHT_PX, WIDTH_PX, 3)
    assert exact.plan.request.image is not None
    assert exact.plan.request.image.fit == "exact"
    assert exact.plan.request.image.anchor == "every_window"
    assert cropped.plan.request.image is not None
    assert cropped.plan.request.image.fit == "crop"
    assert exact.plan.request.image_uri == f"{images}/a.png"
    assert exact.plan.request.guidance_scale_2 == 3.5


def test_content_counts_and_place_does_not(folder: Path, images: Path) -> None:
    (images / "again.png").write_bytes((images / "a.png").read_bytes())
    rows = [{"id": "x", "image": f"{images}/{name}.png"} for name in ("a", "again", "b")]
    names = []
    for row in rows:
        (made,) = triaged(folder, images, [row])
        assert isinstance(made, ToRender)
        names.append(made.fingerprint)
    (other,) = triaged(folder, images, rows[:1], "image.anchor=first_frame")
    assert isinstance(other, ToRender)
    assert names[0] == names[1]
    assert len({*names, other.fingerprint}) == 3


@pytest.mark.parametrize(
    ("columns", "column", "reason"),
    [
        ({"image": "/etc/passwd"}, "image", "not under image.allowed_prefixes"),
        ({"image": "{images}/tall.png"}, "image", "would cut away"),
        ({"image": "{images}/none.png"}, "image", "can't be read"),
        ({"image": None}, "image", "makes videos from images alone"),
    ],
)
def test_an_image_that_is_no_good_costs_its_row_alone(
    folder: Path, images: Path, columns: dict[str, Any], column: str, reason: str
) -> None:
    bad = {name: value and value.format(images=images) for name, value in columns.items()}
    rows = [{"id": "bad", **bad}, {"id": "good", "image": f"{images}/a.png"}]
    rejected, good = triaged(folder, images, rows)
    assert isinstance(rejected, Rejection)
    assert rejected.column == column
    assert reason in rejected.reason
    assert isinstance(good, ToRender)


def test_a_second_scale_needs_a_second_expert(images: Path, tmp_path: Path) -> None:
    folder = make_tiny_wan(tmp_path / "one", layout="2.1")
    (rejected,) = triaged(folder, images, [{"id": "x", "guidance_scale_2": 3.0}])
    assert isinstance(rejected, Rejection)
    assert rejected.column == "guidance_scale_2"
    assert "no second expert" in rejected.reason
