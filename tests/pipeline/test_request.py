"""From what a person wrote to a request with nothing left open."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import RequestError
from pipeline.plan import RenderOptions, plan_video
from pipeline.request import PromptEvent, VideoDefaults, VideoSpec, nearest_multiples, resolve
from pipeline.spans import num_frames_of
from tests.plans import small_gaussian

ENGINE = small_gaussian().spec
SPEC = VideoSpec(id="clip", prompt="a hill")


def test_what_is_left_out_comes_from_the_job_then_the_engine() -> None:
    request = resolve(SPEC, VideoDefaults(duration_s=3.0, guidance_scale=2.5), ENGINE)
    assert (request.width, request.height) == (ENGINE.width, ENGINE.height)
    assert request.num_frames == 48
    assert request.guidance_scale == 2.5
    assert request.num_inference_steps == ENGINE.num_inference_steps
    row = replace(SPEC, guidance_scale=1.5, duration_s=1.0)
    request = resolve(row, VideoDefaults(duration_s=3.0, guidance_scale=2.5), ENGINE)
    assert (request.guidance_scale, request.num_frames) == (1.5, 16)


def test_a_row_without_a_seed_gets_its_own_and_always_the_same() -> None:
    first, again = (resolve(SPEC, VideoDefaults(), ENGINE).seed for _ in range(2))
    other = resolve(replace(SPEC, id="other"), VideoDefaults(), ENGINE).seed
    assert first == again != other
    assert resolve(SPEC, VideoDefaults(seed=5), ENGINE).seed == 5
    assert resolve(replace(SPEC, seed=6), VideoDefaults(seed=5), ENGINE).seed == 6


@pytest.mark.parametrize(
    ("changes", "column", "reason"),
    [
        ({"prompt": "  "}, "prompt", "a prompt or events are required"),
        ({"width": 100}, "width", "the nearest are 96 or 112"),
        ({"height": 7}, "height", "the nearest are 16"),
        ({"fps": 24.0}, "fps", "retime=true"),
        ({"duration_s": math.nan}, "duration_s", "positive number of seconds"),
        ({"image": "s3://elsewhere/cat.png"}, "image", "takes no image"),
    ],
)
def test_what_can_not_be_made_is_refused_by_column(
    changes: dict[str, object], column: str, reason: str
) -> None:
    with pytest.raises(RequestError, match=reason) as caught:
        resolve(replace(SPEC, **changes), VideoDefaults(), ENGINE)  # type: ignore[arg-type]
    assert caught.value.column == column


def test_retime_keeps_the_engines_frames_and_asks_for_another_rate() -> None:
    request = resolve(replace(SPEC, fps=24.0), VideoDefaults(retime=True), ENGINE)
    assert (request.fps, request.engine_fps, request.num_frames) == (24.0, 16.0, 160)
    assert request.duration_s == 10.0


@given(st.integers(1, 10_000), st.integers(1, 64))
def test_nearest_multiples_are_the_nearest(value: int, multiple: int) -> None:
    nearest = nearest_multiples(value, multiple)
    assert all(size > 0 and size % multiple == 0 for size in nearest)
    assert all(abs(size - value) < multiple for size in nearest)
    assert (value % multiple == 0) == (nearest == (value,))


@given(st.integers(1, 100_000))
def test_a_plan_makes_the_frames_asked_for_and_less_than_a_latent_frame_more(frames: int) -> None:
    request = resolve(replace(SPEC, num_frames=frames), VideoDefaults(), ENGINE)
    plan = plan_video(request, ENGINE, RenderOptions())
    surplus = num_frames_of(plan.num_latent_frames, 4) - frames
    assert 0 <= surplus < 4


def test_prompts_are_encoded_once_each_and_the_negative_one_only_with_guidance() -> None:
    spec = replace(SPEC, events=(PromptEvent(2.0, "rain"), PromptEvent(4.0, "sun")))
    plain = plan_video(resolve(spec, VideoDefaults(), ENGINE), ENGINE, RenderOptions())
    assert plain.prompts == ("a hill", "a hill. rain", "a hill. sun")
    guided = resolve(spec, VideoDefaults(guidance_scale=4.0), ENGINE)
    assert plan_video(guided, ENGINE, RenderOptions()).prompts[-1] == ""


EXPERTS = replace(ENGINE, boundary_timestep=875.0, guidance_scale=4.0, guidance_scale_2=3.0)


@pytest.mark.parametrize(
    ("row", "job", "expected"),
    [
        ({}, {}, (4.0, 3.0)),
        ({"guidance_scale": 6.0}, {}, (6.0, 6.0)),
        ({"guidance_scale": 6.0}, {"guidance_scale_2": 2.0}, (6.0, 2.0)),
        ({"guidance_scale_2": 1.0}, {"guidance_scale": 5.0, "guidance_scale_2": 2.0}, (5.0, 1.0)),
    ],
)
def test_one_scale_is_for_both_experts_unless_the_second_is_said(
    row: dict[str, float], job: dict[str, float], expected: tuple[float, float]
) -> None:
    spec, defaults = replace(SPEC, **row), VideoDefaults(**job)  # type: ignore[arg-type]
    request = resolve(spec, defaults, EXPERTS)
    assert (request.guidance_scale, request.guidance_scale_2) == expected
    plan = plan_video(request, EXPERTS, RenderOptions())
    for step in range(plan.num_steps):
        is_first = plan.levels[step].timestep >= 875.0
        assert plan.guidance_scale_at(step) == (expected[0] if is_first else expected[1])
