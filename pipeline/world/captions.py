"""Scenes in plain English: many sentences for each scene, all of them true.

Sentences vary in words, order and form, and leave things out, since people do. What goes without
saying (a clear sky, a camera that stands still) is left out more often than not, so that silence
means it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pipeline.world import words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from pipeline.world.scene import Scene

K = TypeVar("K", bound=str)

# How often an attribute is left unsaid.
OMIT_COLOUR = 0.03
OMIT_SHAPE = 0.03
OMIT_MOTION = 0.08
OMIT_PLACE = 0.10
OMIT_EVENT = 0.12
OMIT_DEFAULT = 0.60

OPENINGS = ("", "", "", "", "", "a video of ", "a scene with ", "an animation of ")


def plain_caption(scene: Scene) -> str:
    """The one plain sentence that says everything about ``scene``."""
    thing = f"a {scene.colour} {scene.shape}".replace("a orange", "an orange")
    ground = words.GROUND_PHRASES[scene.ground][0]
    daytime = words.DAYTIME_PHRASES[scene.daytime][0]
    weather = words.WEATHER_PHRASES[scene.weather][0]
    camera = words.CAMERA_PHRASES[scene.camera][0]
    return f"{thing} {scene.motion} {ground} {daytime} {weather}, {camera}"


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """One of the many true sentences about ``scene``, chosen by ``rng``."""
    says = _Speaker(rng)
    adverbials = [
        phrase
        for phrase, unsaid in (
            (says.one(words.GROUND_PHRASES, scene.ground), OMIT_PLACE),
            (says.one(words.DAYTIME_PHRASES, scene.daytime), OMIT_PLACE),
            (
                says.one(words.WEATHER_PHRASES, scene.weather),
                OMIT_DEFAULT if scene.weather == "clear" else OMIT_EVENT,
            ),
        )
        if not says.chance(unsaid)
    ]
    order = [adverbials[i] for i in rng.permutation(len(adverbials))]
    unsaid = OMIT_DEFAULT if scene.camera == "still" else OMIT_EVENT
    camera = "" if says.chance(unsaid) else says.one(words.CAMERA_PHRASES, scene.camera)
    form = rng.choice(3, p=(0.65, 0.2, 0.15))
    if form == 0:
        return says.sentence(scene, order, camera)
    if form == 1:
        return says.inverted(scene, order, camera)
    return says.list_of_words(scene, order, camera)


@dataclass(frozen=True, slots=True)
class _Speaker:
    """Forms of sentences; every choice is drawn from one generator."""

    rng: np.random.Generator

    def chance(self, probability: float) -> bool:
        return bool(self.rng.uniform() < probability)

    def pick(self, options: Sequence[str]) -> str:
        return options[int(self.rng.integers(len(options)))]

    def one(self, table: Mapping[K, Sequence[str]], key: K) -> str:
        return self.pick(table[key])

    def sentence(self, scene: Scene, adverbials: list[str], camera: str) -> str:
        """A red ball bounces in the desert at night, the camera pans left."""
        opening = self.pick(OPENINGS)
        parts = [opening + self.thing(scene), self.action(scene, gerund=bool(opening)), *adverbials]
        return self.join(" ".join(part for part in parts if part), camera)

    def inverted(self, scene: Scene, adverbials: list[str], camera: str) -> str:
        """At night, a red ball bounces in the desert. The camera pans left."""
        first = f"{adverbials[0]}, " if adverbials else ""
        parts = [self.thing(scene), self.action(scene, gerund=False), *adverbials[1:]]
        return self.join(first + " ".join(part for part in parts if part), camera)

    def list_of_words(self, scene: Scene, adverbials: list[str], camera: str) -> str:
        """Red ball, bouncing, in the desert, at night, panning left."""
        thing = self.thing(scene).removeprefix("a ").removeprefix("an ")
        parts = [thing, self.action(scene, gerund=True), *adverbials, camera]
        return ", ".join(part for part in parts if part)

    def thing(self, scene: Scene) -> str:
        size = self.pick(words.SIZES)
        colour = "" if self.chance(OMIT_COLOUR) else self.one(words.COLOUR_WORDS, scene.colour)
        shape = self.one(words.SHAPE_WORDS, scene.shape)
        if self.chance(OMIT_SHAPE):
            shape = self.pick(("thing", "object", "shape"))
        noun = " ".join(word for word in (size, colour, shape) if word)
        return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"

    def action(self, scene: Scene, *, gerund: bool) -> str:
        if self.chance(OMIT_MOTION):
            return ""
        verbs = words.MOTION_VERBS[scene.motion]
        stem, tails = verbs[int(self.rng.integers(len(verbs)))]
        third_person, continuous = words.VERB_FORMS[stem]
        if not gerund and self.chance(0.3):
            third_person = f"is {continuous}"
        return f"{continuous if gerund else third_person} {self.pick(tails)}".strip()

    def join(self, clause: str, camera: str) -> str:
        if not camera:
            return clause + self.pick(("", "", "."))
        if self.chance(0.15):
            return f"{camera}, {clause}"
        return clause + self.pick((", ", ". ", "; ")) + camera + self.pick(("", "."))
