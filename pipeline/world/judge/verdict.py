"""A trained judge and its answers: weights as half floats beside a description in JSON.

An answer counts only if the judge gives it at least even odds; anything less sure is ``none``, so
that a shapeless spot passes for nothing. Frames are RGB bytes at any rate that is at least the
judge's own; it looks at those nearest to its own times.

Shapes: F frames of the video, S frames looked at, H rows, W columns, K values.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from pipeline.errors import WeightsError
from pipeline.world.judge.network import NONE, JudgeNetwork, JudgeShape

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    Frames = NDArray[np.uint8]

# Odds from which on an answer counts.
SURE = 0.5
# Frames and clips in one forward; more gain no speed.
BATCH_FRAMES = 64
BATCH_CLIPS = 8
# How far the clips are apart that a long video's movements are judged by, in seconds.
CLIP_EVERY_S = 1.0
WEIGHTS_NAME = "model.safetensors"
SHAPE_NAME = "judge.json"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the judge says of one attribute.

    Attributes:
        value: the most likely value, or ``none`` where no thing is seen or nothing is sure.
        odds: the probability that the judge gives to its most likely value, 0 to 1.
    """

    value: str
    odds: float


class Judge:
    """A network with the meaning of its answers."""

    def __init__(self, shape: JudgeShape, network: JudgeNetwork) -> None:
        self.shape = shape
        self.network = network.eval()

    def judge(self, frames_FHW3: Frames, fps: float) -> dict[str, Answer]:
        """What is to be seen in a video that stays the same throughout.

        Args:
            frames_FHW3: RGB bytes ``[F, H, W, 3]``, at least as long as the judge's clip.
            fps: frames in a second of the video.

        Raises:
            ValueError: the frames are not what the judge can look at; the message says why.
        """
        looked_at = self.look(frames_FHW3, fps)
        every = max(1, round(CLIP_EVERY_S * self.shape.fps))
        likely = {name: p.mean(axis=0) for name, p in self.looks(looked_at).items()}
        likely |= {name: p.mean(axis=0) for name, p in self.movements(looked_at, every).items()}
        return {name: self.answer(name, p) for name, p in likely.items()}

    def answer(self, attribute: str, likely_K: NDArray[np.float32]) -> Answer:
        """The answer that the probabilities ``[K]`` of ``attribute`` come to."""
        best = int(likely_K.argmax())
        odds = float(likely_K[best])
        return Answer(self.shape.attributes[attribute][best] if odds >= SURE else NONE, odds)

    def look(self, frames_FHW3: Frames, fps: float) -> Frames:
        """The frames nearest to the judge's own times, ``[S, H, W, 3]``.

        Raises:
            ValueError: wrong type, size, rate, or shorter than a clip.
        """
        ours = self.shape
        expected = f"expected uint8 [F, {ours.height}, {ours.width}, 3]"
        if frames_FHW3.dtype != np.uint8:
            raise ValueError(f"frames are {frames_FHW3.dtype}, {expected}")
        if frames_FHW3.ndim != 4 or frames_FHW3.shape[1:] != (ours.height, ours.width, 3):
            raise ValueError(f"frames are {list(frames_FHW3.shape)}, {expected}")
        if fps < ours.fps:
            raise ValueError(f"{fps:g} frames a second: the judge needs at least {ours.fps}")
        length_s = (len(frames_FHW3) - 1) / fps
        # Half a frame of tolerance, since a rate needn't be a multiple of the judge's.
        count = int((length_s + 0.5 / fps) * ours.fps) + 1
        if count < ours.clip_frames:
            raise ValueError(
                f"{len(frames_FHW3)} frames at {fps:g} a second are too short to see movement: "
                f"expected at least {round(ours.clip_s * fps) + 1}"
            )
        picked = np.round(np.arange(count) / ours.fps * fps).astype(np.int64)
        return frames_FHW3[picked]

    def looks(self, frames_SHW3: Frames) -> dict[str, NDArray[np.float32]]:
        """Probabilities ``[S, K]`` of each attribute that a single frame shows."""
        with torch.no_grad():
            parts = [
                self.network.looks(self._pixels(frames_SHW3[i : i + BATCH_FRAMES]))
                for i in range(0, len(frames_SHW3), BATCH_FRAMES)
            ]
        return _probabilities(parts)

    def movements(self, frames_SHW3: Frames, every: int) -> dict[str, NDArray[np.float32]]:
        """Probabilities ``[clips, K]`` of each attribute that only a clip shows.

        Clips begin at frame 0, ``every``, 2 ``every`` and so on, as long as they fit.
        """
        length = self.shape.clip_frames
        starts = range(0, len(frames_SHW3) - length + 1, every)
        parts = []
        for i in range(0, len(starts), BATCH_CLIPS):
            clips = np.stack([frames_SHW3[s : s + length] for s in starts[i : i + BATCH_CLIPS]])
            with torch.no_grad():
                parts.append(self.network.movements(self._pixels(clips)))
        return _probabilities(parts)

    def _pixels(self, frames: Frames) -> Tensor:
        """Bytes ``[..., H, W, 3]`` to fp32 ``[..., 3, H, W]`` in [-1, 1] where the network is."""
        device = next(self.network.parameters()).device
        pixels = torch.from_numpy(np.ascontiguousarray(frames)).to(device).movedim(-1, -3)
        return pixels.float() / 127.5 - 1.0


def _probabilities(parts: list[dict[str, Tensor]]) -> dict[str, NDArray[np.float32]]:
    return {
        name: torch.cat([part[name] for part in parts]).softmax(dim=-1).cpu().numpy()
        for name in parts[0]
    }


def save_judge(judge: Judge, folder: Path) -> None:
    """Write ``judge`` into ``folder``: half floats, and what they mean."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: value.detach().cpu().to(torch.float16).contiguous()
        for name, value in judge.network.state_dict().items()
    }
    save_file(weights, folder / WEIGHTS_NAME)
    # safetensors writes files that only their owner may read.
    (folder / WEIGHTS_NAME).chmod(0o644)
    text = json.dumps(asdict(judge.shape), indent=2) + "\n"
    (folder / SHAPE_NAME).write_text(text, encoding="utf-8")


def load_judge(folder: Path) -> Judge:
    """The judge in ``folder``, in fp32 on the CPU.

    Raises:
        WeightsError: a file is missing, or the weights are not those of the description.
    """
    for name in (SHAPE_NAME, WEIGHTS_NAME):
        if not (folder / name).is_file():
            raise WeightsError(f"no judge in {folder}: {name} is missing")
    described = json.loads((folder / SHAPE_NAME).read_text(encoding="utf-8"))
    try:
        shape = JudgeShape(
            **{
                **described,
                "looks": _tuples(described["looks"]),
                "movements": _tuples(described["movements"]),
            }
        )
    except (TypeError, KeyError, ValueError) as error:
        raise WeightsError(f"{folder / SHAPE_NAME} describes no judge: {error}") from error
    network = JudgeNetwork(shape)
    weights = {name: value.float() for name, value in load_file(folder / WEIGHTS_NAME).items()}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise WeightsError(f"{folder / WEIGHTS_NAME} doesn't fit {SHAPE_NAME}: {error}") from error
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return Judge(shape, network)


def _tuples(values: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(of) for name, of in values.items()}
