"""A procedural world of captioned scenes: known truth at any time, endless."""

from pipeline.world.captions import caption, plain_caption
from pipeline.world.render import render
from pipeline.world.scene import (
    CAMERAS,
    COLOURS,
    DAYTIMES,
    GROUNDS,
    MOTIONS,
    SHAPES,
    WEATHERS,
    Camera,
    Colour,
    Daytime,
    Ground,
    Motion,
    Scene,
    Shape,
    Weather,
    sample_scene,
)

__all__ = [
    "CAMERAS",
    "COLOURS",
    "DAYTIMES",
    "GROUNDS",
    "MOTIONS",
    "SHAPES",
    "WEATHERS",
    "Camera",
    "Colour",
    "Daytime",
    "Ground",
    "Motion",
    "Scene",
    "Shape",
    "Weather",
    "caption",
    "plain_caption",
    "render",
    "sample_scene",
]
