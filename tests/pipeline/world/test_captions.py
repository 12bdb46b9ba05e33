"""Captions tell the truth, and only the truth."""

import numpy as np
import pytest

from pipeline.world import caption, plain_caption, sample_scene, words

TABLES = {
    "daytime": words.DAYTIME_PHRASES,
    "ground": words.GROUND_PHRASES,
    "weather": words.WEATHER_PHRASES,
    "camera": words.CAMERA_PHRASES,
    "colour": words.COLOUR_WORDS,
    "shape": words.SHAPE_WORDS,
}


def said(text: str, phrases: tuple[str, ...]) -> bool:
    padded = "".join(c if c.isalnum() or c in "- '" else " " for c in f" {text} ")
    return any(f" {phrase} " in f" {' '.join(padded.split())} " for phrase in phrases)


@pytest.mark.parametrize("seed", range(60))
def test_nothing_false_is_said(seed: int):
    scene = sample_scene(seed)
    text = caption(scene, np.random.default_rng(seed))
    for attribute, table in TABLES.items():
        for value, phrases in table.items():
            if value != getattr(scene, attribute):
                assert not said(text, phrases), (text, attribute, value)
    for motion, verbs in words.MOTION_VERBS.items():
        tails = {f"{words.VERB_FORMS[stem][1]} {tail}".strip() for stem, ts in verbs for tail in ts}
        if motion != scene.motion:
            assert not said(text, tuple(tails)), (text, motion)


@pytest.mark.parametrize("seed", range(20))
def test_the_plain_caption_says_everything(seed: int):
    scene = sample_scene(seed)
    text = plain_caption(scene)
    for attribute, table in TABLES.items():
        assert said(text, table[getattr(scene, attribute)]), (text, attribute)
    assert scene.motion in text


def test_one_scene_has_many_captions():
    scene = sample_scene(3)
    texts = {caption(scene, np.random.default_rng(i)) for i in range(200)}
    assert len(texts) > 150


def test_captions_are_reproducible():
    scene = sample_scene(4)
    assert caption(scene, np.random.default_rng(1)) == caption(scene, np.random.default_rng(1))


def test_most_captions_name_colour_and_shape():
    scenes = [sample_scene(i) for i in range(300)]
    texts = [caption(scene, np.random.default_rng(i)) for i, scene in enumerate(scenes)]
    for attribute, table in (("colour", words.COLOUR_WORDS), ("shape", words.SHAPE_WORDS)):
        named = [
            said(text, table[getattr(scene, attribute)])
            for text, scene in zip(texts, scenes, strict=True)
        ]
        assert np.mean(named) > 0.9
