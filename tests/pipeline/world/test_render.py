"""The world shows the same picture at the same time, for ever."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.world import (
    COLOURS,
    DAYTIMES,
    GROUNDS,
    MOTIONS,
    SHAPES,
    WEATHERS,
    Scene,
    render,
    sample_scene,
)

PLAIN = Scene(
    daytime="day",
    ground="meadow",
    weather="clear",
    camera="still",
    shape="ball",
    colour="red",
    motion="floats",
)


def test_same_seed_same_scene_same_pixels():
    times = np.arange(5) / 16
    assert sample_scene(7) == sample_scene(7)
    assert sample_scene(7) != sample_scene(8)
    np.testing.assert_array_equal(render(sample_scene(7), times), render(sample_scene(7), times))


@pytest.mark.parametrize("seed", range(6))
def test_a_frame_depends_on_its_own_time_alone(seed: int):
    scene = sample_scene(seed)
    together = render(scene, [2.0, 0.25, 9.5])
    alone = np.concatenate([render(scene, [t]) for t in (2.0, 0.25, 9.5)])
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("seed", range(8))
def test_the_world_goes_on_after_hours_as_it_began(seed: int):
    scene = sample_scene(seed)
    early = render(scene, np.arange(17) / 16).astype(float)
    late = render(scene, 36_000 + np.arange(17) / 16).astype(float)
    early_change, late_change = (np.abs(np.diff(clip, axis=0)).mean() for clip in (early, late))
    assert late_change == pytest.approx(early_change, rel=0.6, abs=0.2)
    assert late.mean() == pytest.approx(early.mean(), abs=12)


def test_size_and_type():
    frames = render(PLAIN, [0.0, 1.0, 2.0], height=32, width=48)
    assert frames.shape == (3, 32, 48, 3)
    assert frames.dtype == np.uint8


@pytest.mark.parametrize(
    ("attribute", "values"),
    [
        ("daytime", DAYTIMES),
        ("ground", GROUNDS),
        ("weather", WEATHERS),
        ("shape", SHAPES),
        ("colour", COLOURS),
    ],
)
def test_every_value_of_an_attribute_can_be_seen(attribute: str, values: tuple[str, ...]):
    frames = [
        render(replace(PLAIN, **{attribute: value}), [0.3])[0].astype(int) for value in values
    ]
    for i, one in enumerate(frames):
        for other in frames[:i]:
            changed = (np.abs(one - other).max(axis=-1) > 20).mean()
            assert changed > 0.008


@pytest.mark.parametrize("motion", MOTIONS)
def test_the_thing_moves_and_stays_in_the_frame(motion: str):
    scene = replace(PLAIN, motion=motion)
    frames = render(scene, np.arange(80) / 16).astype(int)
    red = (frames[..., 0] > 150) & (frames[..., 1] < 90) & (frames[..., 2] < 90)
    counts = red.sum(axis=(1, 2))
    assert counts.min() > 0.8 * counts.max()
    columns, rows = red.any(axis=1), red.any(axis=2)
    travel = max(np.ptp(columns.argmax(axis=1)), np.ptp(rows.argmax(axis=1)))
    assert travel >= 8


def test_the_camera_pans_the_way_it_is_told():
    def shift(camera: str) -> int:
        """Columns by which the skyline has moved to the left after a quarter of a second."""
        frames = render(replace(PLAIN, camera=camera, phase=0.9), [0.0, 0.25])[:, 30:44, :30]
        before, after = np.diff(frames.astype(float).sum(axis=(1, 3)), axis=1)
        errors = {s: np.abs(before[6:-6] - np.roll(after, s)[6:-6]).sum() for s in range(-6, 7)}
        return min(errors, key=errors.__getitem__)

    assert shift("still") == 0
    assert shift("right") > 0 > shift("left")
