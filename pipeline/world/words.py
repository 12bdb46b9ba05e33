"""What each attribute of a scene is called in plain English.

The first phrase of every entry is the plain one. No phrase of one value may stand in for another
of the same attribute: the tests hold captions to that. What stands twice is said twice as often.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.world.scene import Camera, Colour, Daytime, Ground, Motion, Shape, Weather

    Phrases = tuple[str, ...]

SIZES: Phrases = ("", "", "", "", "big", "large", "bright", "shiny", "single")

COLOUR_WORDS: Mapping[Colour, Phrases] = {
    "red": ("red", "red", "red", "crimson", "scarlet"),
    "orange": ("orange",),
    "yellow": ("yellow", "yellow", "yellow", "golden"),
    "green": ("green", "green", "green", "emerald"),
    "blue": ("blue", "blue", "blue", "azure"),
    "purple": ("purple", "purple", "purple", "violet"),
    "pink": ("pink", "pink", "pink", "rosy"),
    "white": ("white", "white", "white", "ivory"),
}

SHAPE_WORDS: Mapping[Shape, Phrases] = {
    "ball": ("ball", "ball", "ball", "sphere", "round ball"),
    "cube": ("cube", "cube", "cube", "box", "block"),
    "star": ("star", "star", "star", "five-pointed star"),
    "balloon": ("balloon", "balloon", "balloon", "balloon on a string"),
    "heart": ("heart", "heart", "heart", "love heart"),
}

# Verb stem, then what may follow it.
MOTION_VERBS: Mapping[Motion, tuple[tuple[str, Phrases], ...]] = {
    "bounces": (
        ("bounc", ("", "", "up and down", "again and again", "happily")),
        ("hopp", ("", "up and down")),
        ("jump", ("up and down", "")),
    ),
    "floats": (
        ("float", ("", "", "in the air", "gently", "slowly")),
        ("hover", ("", "in the air", "slowly")),
        ("drift", ("in the air", "gently")),
    ),
    "rolls": (
        ("roll", ("", "", "along", "along the ground", "back and forth", "to and fro")),
        ("tumbl", ("along", "along the ground")),
    ),
    "orbits": (
        ("orbit", ("", "", "around")),
        ("circl", ("", "around", "in the air")),
        ("fly", ("in circles", "in a circle")),
        ("mov", ("in circles", "round and round")),
    ),
}

# Stem to third person, gerund.
VERB_FORMS: Mapping[str, tuple[str, str]] = {
    "bounc": ("bounces", "bouncing"),
    "hopp": ("hops", "hopping"),
    "jump": ("jumps", "jumping"),
    "float": ("floats", "floating"),
    "hover": ("hovers", "hovering"),
    "drift": ("drifts", "drifting"),
    "roll": ("rolls", "rolling"),
    "tumbl": ("tumbles", "tumbling"),
    "orbit": ("orbits", "orbiting"),
    "circl": ("circles", "circling"),
    "fly": ("flies", "flying"),
    "mov": ("moves", "moving"),
}

GROUND_PHRASES: Mapping[Ground, Phrases] = {
    "meadow": (
        "over a meadow",
        "on a meadow",
        "in a lush meadow",
        "over a grassy field",
        "on the grass",
        "above grassy hills",
    ),
    "desert": (
        "in the desert",
        "over the desert",
        "in a sandy desert",
        "over sand dunes",
        "on the sand",
    ),
    "snow": (
        "over a snowy plain",
        "on a snowfield",
        "in a snowy landscape",
        "over snow-covered ground",
        "in the arctic",
    ),
    "sea": (
        "over the sea",
        "above the sea",
        "on the ocean",
        "over the ocean",
        "above the water",
        "over the waves",
    ),
}

DAYTIME_PHRASES: Mapping[Daytime, Phrases] = {
    "dawn": ("at dawn", "at dawn", "at sunrise", "in the early morning", "as the sun rises"),
    "day": ("by day", "during the day", "at noon", "at midday", "in broad daylight"),
    "dusk": ("at dusk", "at dusk", "at sunset", "in the evening", "as the sun sets"),
    "night": ("at night", "at night", "by night", "under the moon", "in the moonlight"),
}

WEATHER_PHRASES: Mapping[Weather, Phrases] = {
    "clear": ("under a clear sky", "in clear weather", "in fine weather"),
    "rain": ("in the rain", "while it rains", "in heavy rain", "as rain falls", "on a rainy day"),
    "snow": (
        "in falling snow",
        "while it snows",
        "in a snowfall",
        "as snowflakes fall",
        "while snow is falling",
    ),
}

CAMERA_PHRASES: Mapping[Camera, Phrases] = {
    "still": ("the camera stands still", "the camera is still", "static camera", "static shot"),
    "left": (
        "the camera pans left",
        "the camera pans to the left",
        "the camera moves left",
        "panning left",
        "camera panning to the left",
    ),
    "right": (
        "the camera pans right",
        "the camera pans to the right",
        "the camera moves right",
        "panning right",
        "camera panning to the right",
    ),
}
