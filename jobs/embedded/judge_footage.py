"""What the judge is trained on: clips of the world, whole and flawed, with the true answers.

A model in training makes things that are missing, shapeless, doubled, that flicker, stand still or
jump about. A judge that had only ever seen perfect scenes would call them something; so a share of
its clips shows just these flaws, and their true answer is ``none``.

Shapes: N clips, F frames, H rows, W columns; pixels are RGB bytes.
"""

from __future__ import annotations

import math
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import TYPE_CHECKING

import cv2
import numpy as np

from jobs.embedded.clips import START_WITHIN_S
from pipeline.world import (
    CAMERAS,
    COLOURS,
    DAYTIMES,
    GROUNDS,
    MOTIONS,
    SHAPES,
    WEATHERS,
    sample_scene,
)
from pipeline.world.motion import Pose, pose
from pipeline.world.render import render_things

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.world import Scene

    Frames = NDArray[np.uint8]
    Places = NDArray[np.float32]
    Answers = dict[str, NDArray[np.generic]]

NONE = "none"
LOOKS: Mapping[str, tuple[str, ...]] = {
    "daytime": DAYTIMES,
    "ground": GROUNDS,
    "weather": WEATHERS,
    "shape": (*SHAPES, NONE),
    "colour": (*COLOURS, NONE),
}
MOVEMENTS: Mapping[str, tuple[str, ...]] = {"camera": CAMERAS, "motion": (*MOTIONS, NONE)}

# How often a clip is what it should be, and how often it has which flaw.
FLAWS = ("whole", "missing", "shapeless", "melted", "double", "flickering", "frozen", "jumping")
FLAW_ODDS = (0.66, 0.08, 0.05, 0.05, 0.04, 0.04, 0.04, 0.04)
# Below this many clips, processes cost more than they save.
CLIPS_PER_TASK = 32


@dataclass(frozen=True, slots=True)
class JudgedClip:
    """A clip and what is true of it.

    Attributes:
        frames: ``[F, H, W, 3]``.
        scene: what it shows, apart from its flaw.
        flaw: one of ``FLAWS``.
        visible: in which frames the thing is to be seen, ``[F]``.
        places: the middle of the one thing, x and y in frame heights, ``[F, 2]``; NaN in frames
            that show none or two.
    """

    frames: Frames
    scene: Scene
    flaw: str
    visible: NDArray[np.bool_]
    places: Places

    def looks(self, attribute: str) -> NDArray[np.int64]:
        """The number of the true value of ``attribute`` in every frame, ``[F]``."""
        values = LOOKS[attribute]
        truth = np.full(len(self.frames), values.index(getattr(self.scene, attribute)))
        if NONE in values:
            shapeless = attribute == "shape" and self.flaw in {"shapeless", "melted"}
            hidden = ~self.visible | shapeless | (self.flaw == "double")
            truth[hidden] = values.index(NONE)
        return truth

    def movement(self, attribute: str) -> int:
        """The number of the true value of ``attribute`` in the clip."""
        values = MOVEMENTS[attribute]
        if NONE in values and self.flaw not in {"whole", "shapeless", "melted"}:
            return values.index(NONE)
        return values.index(getattr(self.scene, attribute))


def judged_clip(
    seed: int, frames: int, fps: int, height: int, width: int, *, flawless: bool = False
) -> JudgedClip:
    """Clip number ``seed``: of scene ``seed``, with a flaw or without."""
    rng = np.random.default_rng([seed, 7])
    scene = sample_scene(seed)
    flaw = "whole" if flawless else FLAWS[rng.choice(len(FLAWS), p=FLAW_ODDS)]
    times = rng.uniform(0.0, START_WITHIN_S) + np.arange(frames) / fps
    things = _things(scene, flaw, times, width / height, rng)
    shown = render_things(scene, times, things, height, width)
    visible = np.full(frames, flaw != "missing")
    if flaw in {"shapeless", "melted", "flickering"}:
        empty = render_things(scene, times, [], height, width)
        if flaw == "flickering":
            visible = _flicker(frames, rng)
            shown = np.where(visible[:, None, None, None], shown, empty)
        else:
            shown = (_blurred if flaw == "shapeless" else _melted)(shown, empty, rng)
    return JudgedClip(shown, scene, flaw, visible, _places(things, visible))


def _things(
    scene: Scene, flaw: str, times_s: NDArray[np.float64], aspect: float, rng: np.random.Generator
) -> list[tuple[Scene, Pose]]:
    """What is in the scene, with the flaws that concern where it is."""
    thing = pose(scene, times_s, aspect)
    if flaw == "missing":
        return []
    if flaw == "frozen":
        order = np.full(len(times_s), rng.integers(len(times_s)))
        return [(scene, Pose(thing.x[order], thing.y[order], thing.angle[order]))]
    if flaw == "jumping":
        order = rng.permutation(len(times_s))
        return [(scene, Pose(thing.x[order], thing.y[order], thing.angle[order]))]
    if flaw == "double":
        # Half the way round between the margins, so that the two are never one.
        aside = 0.2 + (thing.x - 0.2 + (aspect - 0.4) / 2) % (aspect - 0.4)
        return [(_other(scene, rng), replace(thing, x=aside)), (scene, thing)]
    return [(scene, thing)]


def _places(things: Sequence[tuple[Scene, Pose]], visible: NDArray[np.bool_]) -> Places:
    """Where the one thing is, ``[F, 2]``; NaN where there isn't one."""
    if len(things) != 1:
        return np.full((len(visible), 2), np.nan, dtype=np.float32)
    thing = things[0][1]
    both = np.stack([thing.x, thing.y], axis=-1).astype(np.float32)
    both[~visible] = np.nan
    return both


def _other(scene: Scene, rng: np.random.Generator) -> Scene:
    """A scene whose thing has another shape and colour."""
    shape = SHAPES[(SHAPES.index(scene.shape) + rng.integers(1, len(SHAPES))) % len(SHAPES)]
    colour = COLOURS[(COLOURS.index(scene.colour) + rng.integers(1, len(COLOURS))) % len(COLOURS)]
    return replace(scene, shape=shape, colour=colour)


def _flicker(frames: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """A thing that comes late, goes early or comes and goes: seen in a part of the frames."""
    count = int(rng.integers(max(1, frames // 5), max(2, 4 * frames // 5)))
    if rng.uniform() < 0.5:
        shown = np.zeros(frames, dtype=bool)
        shown[rng.permutation(frames)[:count]] = True
        return shown
    shown = np.arange(frames) < count
    return shown if rng.uniform() < 0.5 else ~shown


def _blurred(shown: Frames, empty: Frames, rng: np.random.Generator) -> Frames:
    """The thing as a soft spot of its colour."""
    sigma = shown.shape[1] * rng.uniform(0.075, 0.14)
    spots = [
        cv2.GaussianBlur(frame, (0, 0), sigma)
        for frame in shown.astype(np.float32) - empty.astype(np.float32)
    ]
    return _bytes(empty + rng.uniform(1.0, 1.8) * np.stack(spots))


def _melted(shown: Frames, empty: Frames, rng: np.random.Generator) -> Frames:
    """The thing pulled out of shape, a little differently in every frame."""
    height, width = shown.shape[1:3]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    pull, wobble = (rng.normal(size=(2, height, width)).astype(np.float32) for _ in range(2))
    melted = []
    for number, frame in enumerate(shown.astype(np.float32) - empty):
        angle = 0.4 * number
        field = [
            cv2.GaussianBlur(p * math.cos(angle) + w * math.sin(angle), (0, 0), 0.07 * height)
            for p, w in zip(pull, wobble, strict=True)
        ]
        scale = np.float32(0.09 * height / np.std(field))
        x, y = columns + scale * field[0], rows + scale * field[1]
        melted.append(cv2.remap(frame, x, y, cv2.INTER_LINEAR))
    return _bytes(empty + np.stack(melted))


def _bytes(frames: NDArray[np.floating]) -> Frames:
    clipped: Frames = (np.clip(frames, 0.0, 255.0) + 0.5).astype(np.uint8)
    return clipped


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSize:
    """Size of a pool: ``clips`` of ``frames`` at ``fps``, ``height`` x ``width`` pixels each."""

    clips: int
    frames: int
    fps: int
    height: int
    width: int


class JudgeFootage:
    """A pool of judged clips, rendered once by all cores and kept in ``folder``."""

    def __init__(self, folder: Path, size: PoolSize) -> None:
        path = folder / "judge_footage.npy"
        answers_path = folder / "judge_answers.npz"
        if not (path.exists() and answers_path.exists()):
            _fill(path, answers_path, size)
        self._frames: Frames = np.load(path, mmap_mode="r")
        expected = (size.clips, size.frames, size.height, size.width, 3)
        if self._frames.shape != expected:
            raise ValueError(f"{path} holds {self._frames.shape}, expected {expected}: delete it")
        with np.load(answers_path) as stored:
            self._answers = dict(stored)

    def batch(self, rng: np.random.Generator, count: int) -> tuple[Frames, Answers]:
        """Frames ``[N, F, H, W, 3]`` with what is true of them.

        That is, by name, the numbers of the true values, ``[N, F]`` for looks and ``[N]`` for
        movements, and ``places``, ``[N, F, 2]``.
        """
        picked = rng.integers(len(self._frames), size=count)
        answers = {name: values[picked] for name, values in self._answers.items()}
        return self._frames[picked], answers


def _fill(path: Path, answers_path: Path, size: PoolSize) -> None:
    shape = (size.clips, size.frames, size.height, size.width, 3)
    partial = path.with_suffix(".partial")
    pool = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
    pool.flush()
    starts = range(0, size.clips, CLIPS_PER_TASK)
    if len(starts) == 1:
        answers = [_fill_part(partial, size, 0)]
    else:
        workers = len(os.sched_getaffinity(0))
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as executor:
            futures = [executor.submit(_fill_part, partial, size, start) for start in starts]
            answers = [future.result() for future in futures]
    joined = {name: np.concatenate([part[name] for part in answers]) for name in answers[0]}
    np.savez(answers_path, allow_pickle=False, **joined)
    partial.replace(path)


def _fill_part(path: Path, size: PoolSize, start: int) -> Answers:
    """Render the clips from ``start`` into the pool at ``path``; returns what is true of them."""
    cv2.setNumThreads(1)
    pool = np.lib.format.open_memmap(path, mode="r+")
    clips = []
    for seed in range(start, min(start + CLIPS_PER_TASK, size.clips)):
        clip = judged_clip(seed, size.frames, size.fps, size.height, size.width)
        pool[seed] = clip.frames
        clips.append(clip)
    answers: Answers = {name: np.stack([clip.looks(name) for clip in clips]) for name in LOOKS}
    answers |= {name: np.array([clip.movement(name) for clip in clips]) for name in MOVEMENTS}
    return answers | {"places": np.stack([clip.places for clip in clips])}
