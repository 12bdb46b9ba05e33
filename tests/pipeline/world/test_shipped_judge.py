"""The shipped judge knows its world, and sees when something changes."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.embedded import judge_folder
from pipeline.world import Scene, render, sample_scene
from pipeline.world.judge import (
    NONE,
    Judge,
    changes,
    judge_over_time,
    load_judge,
)
from pipeline.world.motion import pose
from pipeline.world.render import render_things

HELD_OUT = 10**9
LIMIT_BYTES = 1_000_000
SCENE = Scene(
    daytime="dawn",
    ground="meadow",
    weather="clear",
    camera="right",
    shape="heart",
    colour="red",
    motion="floats",
)


@pytest.fixture(scope="module")
def judge() -> Judge:
    return load_judge(judge_folder())


def right_answers(judge: Judge, scenes: int) -> dict[str, int]:
    ours = judge.shape
    right = dict.fromkeys(ours.attributes, 0)
    for seed in range(HELD_OUT, HELD_OUT + scenes):
        scene = sample_scene(seed)
        times = seed % 60 + np.arange(ours.clip_frames) / ours.fps
        answers = judge.judge(render(scene, times), ours.fps)
        for name, answer in answers.items():
            right[name] += answer.value == getattr(scene, name)
    return right


@pytest.mark.slow
@pytest.mark.longest
def test_it_knows_its_world(judge: Judge):
    assert min(right_answers(judge, 300).values()) >= 297


def test_it_is_small():
    assert sum(path.stat().st_size for path in judge_folder().iterdir()) < LIMIT_BYTES


@pytest.mark.parametrize("fps", [4, 10, 16, 24])
def test_any_frame_rate_gives_the_same_answers(judge: Judge, fps: int):
    frames = render(SCENE, np.arange(3 * fps + 1) / fps)
    answers = judge.judge(frames, fps)
    assert {name: answer.value for name, answer in answers.items()} == {
        name: getattr(SCENE, name) for name in answers
    }


def test_a_missing_thing_is_none(judge: Judge):
    answers = judge.judge(render_things(SCENE, np.arange(49) / 16, []), 16.0)
    for name in ("shape", "colour", "motion"):
        assert answers[name].value == NONE
    assert answers["ground"].value == "meadow"


def test_a_thing_that_stands_still_does_not_move_as_asked(judge: Judge):
    times = np.arange(49) / 16
    frozen = pose(SCENE, np.full(49, 0.7), 112 / 64)
    answers = judge.judge(render_things(SCENE, times, [(SCENE, frozen)]), 16.0)
    assert answers["motion"].value == NONE
    assert answers["shape"].value == "heart"


def test_it_sees_when_something_changes(judge: Judge):
    fps, switch_s = 16, 6.0
    times = np.arange(12 * fps) / fps
    before = render(SCENE, times[times < switch_s])
    night = replace(SCENE, daytime="night", camera="left")
    frames = np.concatenate([before, render(night, times[times >= switch_s])])
    found = changes(judge_over_time(judge, frames, fps))
    first = {change.attribute: change.value for change in found if not change.before}
    assert first == {name: getattr(SCENE, name) for name in judge.shape.attributes}
    later = {change.attribute: change for change in found if change.before}
    assert later["daytime"].value == "night"
    assert later["daytime"].time_s == pytest.approx(switch_s, abs=0.5)
    assert later["camera"].value == "left"
    assert later["camera"].time_s == pytest.approx(switch_s, abs=1.5)
    assert "shape" not in later
    assert "colour" not in later
