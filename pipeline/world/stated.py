"""What a sentence says of a scene: the attributes that a reader of it alone would expect.

Sentences leave things out. What is left out can't be expected of a picture, except for what goes
without saying: silence about the weather means a clear sky, silence about the camera means that it
stands still (``captions.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.world import words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipeline.world.scene import Scene

TABLES: Mapping[str, Mapping[Any, Iterable[str]]] = {
    "daytime": words.DAYTIME_PHRASES,
    "ground": words.GROUND_PHRASES,
    "weather": words.WEATHER_PHRASES,
    "camera": words.CAMERA_PHRASES,
    "shape": words.SHAPE_WORDS,
    "colour": words.COLOUR_WORDS,
}
# What goes without saying.
DEFAULTS: Mapping[str, str] = {"weather": "clear", "camera": "still"}


def stated(text: str, scene: Scene) -> dict[str, str]:
    """The attributes of ``scene`` that its caption ``text`` lets a reader expect.

    An unsaid default is expected only if it is also true.
    """
    plain = " ".join("".join(c if c.isalnum() or c in "-'" else " " for c in text.lower()).split())
    expected = {}
    for attribute in (*TABLES, "motion"):
        value: str = getattr(scene, attribute)
        if _says(plain, _phrases(attribute, value)) or DEFAULTS.get(attribute) == value:
            expected[attribute] = value
    return expected


def _phrases(attribute: str, value: str) -> Iterable[str]:
    if attribute != "motion":
        return TABLES[attribute][value]
    return [
        f"{verb} {tail}".strip()
        for stem, tails in words.MOTION_VERBS[value]  # type: ignore[index]
        for tail in tails
        for verb in words.VERB_FORMS[stem]
    ]


def _says(plain: str, phrases: Iterable[str]) -> bool:
    return any(f" {phrase} " in f" {plain} " for phrase in phrases)
