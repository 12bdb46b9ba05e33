"""What a caption says is what a reader may expect."""

import numpy as np
import pytest

from pipeline.world import Scene, caption, plain_caption, sample_scene
from pipeline.world.stated import stated

SCENE = Scene(
    daytime="night",
    ground="sea",
    weather="rain",
    camera="left",
    shape="heart",
    colour="pink",
    motion="orbits",
)
ATTRIBUTES = {"daytime", "ground", "weather", "camera", "shape", "colour", "motion"}


@pytest.mark.parametrize("seed", range(20))
def test_a_plain_caption_says_everything(seed: int):
    scene = sample_scene(seed)
    expected = {name: getattr(scene, name) for name in ATTRIBUTES}
    assert stated(plain_caption(scene), scene) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A rosy love heart is flying in circles.", {"shape", "colour", "motion"}),
        ("pink thing, under the moon, over the waves", {"colour", "daytime", "ground"}),
        ("on a rainy day, a heart; the camera moves left", {"weather", "shape", "camera"}),
        ("an object", set()),
    ],
)
def test_what_is_left_out_is_not_expected(text: str, said: set[str]):
    assert set(stated(text, SCENE)) == said


def test_silence_means_a_clear_sky_and_a_still_camera_where_that_is_true():
    scene = sample_scene(0)
    quiet = Scene(
        daytime=scene.daytime,
        ground=scene.ground,
        weather="clear",
        camera="still",
        shape=scene.shape,
        colour=scene.colour,
        motion=scene.motion,
    )
    assert stated("an object", quiet) == {"weather": "clear", "camera": "still"}


def test_most_captions_say_most_of_it():
    counts = []
    for seed in range(200):
        scene = sample_scene(seed)
        counts.append(len(stated(caption(scene, np.random.default_rng(seed)), scene)))
    assert 6.0 < np.mean(counts) < 6.9
