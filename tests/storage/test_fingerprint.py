"""The same pixels get the same name, and nothing else does."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.request import PromptEvent, RequestedImage, VideoRequest
from storage.fingerprint import canonical_json, digest, fingerprint, request_fields

REQUEST = VideoRequest(
    id="cat",
    prompt="a cat",
    events=(PromptEvent(0.0, "asleep"), PromptEvent(2.5, "awake")),
    negative_prompt="",
    seed=7,
    num_frames=160,
    width=96,
    height=96,
    fps=16.0,
    engine_fps=16.0,
    num_inference_steps=20,
    guidance_scale=5.0,
    flow_shift=3.0,
)
IMAGE = RequestedImage(digest="0", fit="exact", anchor="first_frame")
OPTIONS = {"boundary.mode": "halo", "noise.shared_dc": True, "boundary.core": 17}


def name_of(request: VideoRequest, weights: str = "w", **options: Any) -> str:
    return fingerprint(request, weights_digest=weights, options={**OPTIONS, **options})


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "a dog"},
        {"events": ()},
        {"events": (PromptEvent(0.0, "asleep"), PromptEvent(2.6, "awake"))},
        {"negative_prompt": "blurred"},
        {"seed": 8},
        {"num_frames": 161},
        {"width": 112},
        {"height": 112},
        {"fps": 24.0},
        {"engine_fps": 24.0},
        {"num_inference_steps": 21},
        {"guidance_scale": 5.5},
        {"flow_shift": 3.5},
        {"guidance_scale_2": 4.0},
        {"image": IMAGE},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_changes_pixels_counts(change: dict[str, Any]) -> None:
    assert name_of(replace(REQUEST, **change)) != name_of(REQUEST)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "other"},
        {"priority": 3},
        {"deadline": "2030-01-01"},
        {"metadata": {"a": "b"}},
        {"image_uri": "s3://bucket/fox.png"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_leaves_pixels_alone_does_not(change: dict[str, Any]) -> None:
    assert name_of(replace(REQUEST, **change)) == name_of(REQUEST)


def test_weights_and_options_count() -> None:
    assert name_of(REQUEST, "other") != name_of(REQUEST)
    assert name_of(REQUEST, **{"boundary.mode": "none"}) != name_of(REQUEST)
    assert name_of(REQUEST, **{"boundary.core": 18}) != name_of(REQUEST)


def test_an_option_that_is_none_is_as_if_it_were_not_there() -> None:
    assert name_of(REQUEST, later_option=None) == name_of(REQUEST)


def test_a_later_field_at_its_default_changes_nothing() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class LaterRequest(VideoRequest):
        sharpness: float = 0.0

    later = LaterRequest(
        **{name: getattr(REQUEST, name) for name in VideoRequest.__dataclass_fields__}
    )
    assert name_of(later) == name_of(REQUEST)
    assert name_of(replace(later, sharpness=0.5)) != name_of(REQUEST)


def test_all_fields_that_must_count_do() -> None:
    full = replace(REQUEST, guidance_scale_2=3.0, image=IMAGE, image_uri="fox.png")
    assert set(request_fields(full)) == set(VideoRequest.__dataclass_fields__) - {
        "id",
        "priority",
        "deadline",
        "metadata",
        "image_uri",
    }


@pytest.mark.parametrize("change", [{"digest": "1"}, {"fit": "pad"}, {"anchor": "every_window"}])
def test_all_of_an_image_counts(change: dict[str, Any]) -> None:
    first, other = (replace(REQUEST, image=image) for image in (IMAGE, replace(IMAGE, **change)))
    assert name_of(first) != name_of(other)


def test_it_is_the_same_tomorrow() -> None:
    # Changing this constant renders every archive again.
    assert name_of(REQUEST) == "cd3e4663e7f7c55c93b9"


def test_it_is_the_same_in_another_process() -> None:
    code = "from tests.storage.test_fingerprint import REQUEST, name_of; print(name_of(REQUEST))"
    root = Path(__file__).parents[2]
    for seed in ("1", "2"):
        out = subprocess.run(
            [sys.executable, "-c", code],
            cwd=root,
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert out.stdout.strip() == name_of(REQUEST)


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=6), VALUES, max_size=6), st.randoms())
def test_order_does_not_matter(values: dict[str, Any], random: Any) -> None:
    shuffled = list(values.items())
    random.shuffle(shuffled)
    assert digest(dict(shuffled)) == digest(values)


@given(st.integers(-(2**53), 2**53))
def test_whole_floats_are_integers(number: int) -> None:
    assert canonical_json(float(number)) == canonical_json(number)


@given(VALUES, VALUES)
def test_different_values_differ(first: Any, second: Any) -> None:
    if canonical_json(first) != canonical_json(second):
        assert digest(first) != digest(second)
    else:
        assert first == second


def test_true_is_not_one() -> None:
    assert canonical_json({"a": True}) != canonical_json({"a": 1})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        digest({"a": value})


def test_values_without_a_form() -> None:
    with pytest.raises(TypeError, match="canonical"):
        digest({"a": b"bytes"})
    with pytest.raises(TypeError, match="text"):
        digest({1: "a"})
