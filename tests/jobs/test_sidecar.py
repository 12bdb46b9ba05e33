"""What the sidecar says of a video's decoding."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from jobs.config import load_config
from jobs.second_take import Made
from jobs.sidecar import Timings, sidecar_json
from jobs.triage import ToRender
from pipeline import reference
from pipeline.delivery import DeliveryOrder, VideoDelivery
from pipeline.encoding.encode_options import EncodeOptions
from pipeline.encoding.provenance import Provenance
from storage.local import LocalStore
from tests.plans import small_gaussian, small_plan

if TYPE_CHECKING:
    from pathlib import Path

ORDER = DeliveryOrder(
    video_key="videos/clip/1.mp4",
    poster_key="videos/clip/1.jpg",
    encode=EncodeOptions(preset="ultrafast"),
    provenance=Provenance(title="a hill", engine="gaussian", version="0"),
)
TIMINGS = Timings(
    total_s=1.0,
    sampling_s=1.0,
    compute_s=1.0,
    waited_s=0.0,
    delivery_s=0.0,
    num_windows=1,
    boundary_bytes=0,
    num_segments=1,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Two frames, delivered by an engine without profiles."""
    engine, folder = small_gaussian(), tmp_path_factory.mktemp("sidecar")
    plan = small_plan(engine, 2)
    delivery = VideoDelivery(plan, ORDER, engine, _made(folder / "scratch"))
    delivery.push(reference.sample(plan, engine))
    return Made(
        row=ToRender(plan=plan, fingerprint="f", reason=""),
        config=load_config(overrides=["engine.name=gaussian", "engine.device=cpu"]),
        delivered=delivery.finish(LocalStore(folder / "store")),
        is_safe=False,
    )


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def sidecar(made: Made, *decoded_with: str, sampled_with: tuple[str, ...] = ()) -> dict[str, Any]:
    delivered = replace(made.delivered, profiles=decoded_with)
    content: dict[str, Any] = json.loads(
        sidecar_json(replace(made, delivered=delivered), TIMINGS, sampled_with)
    )
    return content


@pytest.mark.parametrize(
    ("decoded_with", "is_exact"),
    [
        ((), True),
        (("resident",), True),
        (("offloaded",), True),
        (("fp8",), True),
        (("offloaded-tiled",), False),
        (("smallest",), False),
        (("in-turn", "offloaded-tiled"), False),
    ],
)
def test_decoding_is_exact_unless_a_profile_that_decoded_has_tiles(
    made: Made, decoded_with: tuple[str, ...], is_exact: bool
) -> None:
    assert sidecar(made, *decoded_with)["decode_is_exact"] is is_exact


def test_whoever_only_sampled_does_not_count(made: Made) -> None:
    found = sidecar(made, "resident", sampled_with=("offloaded-tiled",))
    assert found["decode_is_exact"] is True
    assert found["memory"] == {"profiles": ["resident", "offloaded-tiled"], "is_exact": False}


@pytest.mark.parametrize(
    ("setting", "is_exact"),
    [("decode.tiled=true", False), ("decode.parallel=true", True)],
)
def test_what_was_asked_for_counts_as_ever(made: Made, setting: str, is_exact: bool) -> None:
    config = load_config(overrides=["engine.name=gaussian", "engine.device=cpu", setting])
    assert sidecar(replace(made, config=config), "resident")["decode_is_exact"] is is_exact
