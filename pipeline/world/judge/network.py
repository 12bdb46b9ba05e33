"""The judge's network: what stands still is read off single frames, what moves off pairs of them.

Two halves that share nothing. The first looks at single frames in colour and answers for looks
(time of day, shape, ...): each attribute pools the picture by an attention of its own, so that the
colour head looks at the thing and the daytime head at the sky. The second looks at neighbouring
frames at half size, laid over each other at several shifts, and answers for movement: where things
are and how they pass, followed along the clip. Both also tell where they see the thing, which
training may hold them to. Pixels are RGB in [-1, 1].

Shapes: N frames, B clips, F frames of a clip, H rows, W columns, K values, A attributes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Mapping

# Sideways shifts, in pixels at half size, at which a frame is laid over the one before it.
SHIFTS = (-3, -2, -1, 0, 1, 2, 3)
# The answer for a thing that isn't there, or that is nothing known.
NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeShape:
    """What a judge looks at and what it can answer.

    Attributes:
        looks: the values of each attribute that a single frame shows.
        movements: the values of each attribute that only a clip shows.
        height, width: of the frames it looks at, in pixels; multiples of 16.
        fps: how many frames of a second it looks at.
        clip_frames: how many frames it needs to see a movement.
        channels: width of the network.
    """

    looks: Mapping[str, tuple[str, ...]]
    movements: Mapping[str, tuple[str, ...]]
    height: int = 64
    width: int = 112
    fps: int = 4
    clip_frames: int = 13
    channels: int = 24

    def __post_init__(self) -> None:
        if self.height % 16 or self.width % 16:
            raise ValueError(
                f"a judge of {self.width} x {self.height} frames: expected multiples of 16"
            )

    @property
    def attributes(self) -> dict[str, tuple[str, ...]]:
        """The values of every attribute, looks first."""
        return {**self.looks, **self.movements}

    @property
    def clip_s(self) -> float:
        """Seconds from the first to the last frame of a clip."""
        return (self.clip_frames - 1) / self.fps


class _Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.first(functional.silu(self.norm(x)))
        result: Tensor = x + self.second(functional.silu(inner))
        return result


class LooksNetwork(nn.Module):
    """Logits of every attribute that a single frame shows."""

    def __init__(self, shape: JudgeShape) -> None:
        super().__init__()
        small, large = shape.channels, 2 * shape.channels
        self.trunk = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(12, small, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(small, large, 3, stride=2, padding=1),
            _Block(large),
            _Block(large),
        )
        self.attention = nn.Conv2d(large, len(shape.looks), 1)
        self.heads = nn.ModuleDict(
            {name: nn.Linear(2 * large, len(values)) for name, values in shape.looks.items()}
        )

    def forward(self, frames_N3HW: Tensor) -> dict[str, Tensor]:
        """Logits ``[N, K]`` per attribute."""
        return self.attend(frames_N3HW)[0]

    def attend(self, frames_N3HW: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Logits ``[N, K]`` per attribute, and where each attribute looked.

        That is ``[N, A, H/4 * W/4]``, row by row, every map with the sum 1.
        """
        features = functional.silu(self.trunk(frames_N3HW)).flatten(2)
        weights = self.attention(features.unsqueeze(-1)).squeeze(-1).softmax(dim=-1)
        mean = features.mean(dim=-1)
        pooled = torch.einsum("nch,nah->anc", features, weights)
        logits = {
            name: head(torch.cat([mean, mine], dim=-1))
            for (name, head), mine in zip(self.heads.items(), pooled, strict=True)
        }
        return logits, weights


class MovementNetwork(nn.Module):
    """Logits of every attribute that only a clip shows."""

    def __init__(self, shape: JudgeShape) -> None:
        super().__init__()
        small = 2 * shape.channels // 3
        middle, large = 2 * small, 3 * small
        self.trunk = nn.Sequential(
            nn.Conv2d(6 + len(SHIFTS), small, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(small, middle, 3, stride=2, padding=1),
            _Block(middle),
            nn.Conv2d(middle, large, 3, stride=2, padding=1),
            _Block(large),
            nn.SiLU(),
            nn.Conv2d(large, 12, 1),
        )
        places = (shape.height // 8) * (shape.width // 8)
        self.locate = nn.Linear(12 * places, 64)
        self.place = nn.Linear(64, 2)
        self.follow = nn.Sequential(
            nn.SiLU(),
            nn.Conv1d(64, 64, 3, padding=1),
            nn.SiLU(),
            nn.Conv1d(64, 64, 3, padding=2, dilation=2),
            nn.SiLU(),
        )
        self.heads = nn.ModuleDict(
            {name: nn.Linear(128, len(values)) for name, values in shape.movements.items()}
        )

    def forward(self, clips_BF3HW: Tensor) -> dict[str, Tensor]:
        """Logits ``[B, K]`` per attribute, of clips of F >= 2 frames."""
        return self.trace(clips_BF3HW)[0]

    def trace(self, clips_BF3HW: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Logits ``[B, K]`` per attribute, and where the thing is taken to be.

        That is ``[B, F-1, 2]``, x and y in frame heights, of every frame but the last.
        """
        batch, frames = clips_BF3HW.shape[:2]
        halved = functional.avg_pool2d(clips_BF3HW.flatten(0, 1), 2)
        halved = halved.view(batch, frames, *halved.shape[1:])
        pairs = _overlay(halved[:, :-1].flatten(0, 1), halved[:, 1:].flatten(0, 1))
        located = self.locate(self.trunk(pairs).flatten(1)).view(batch, frames - 1, -1)
        followed = self.follow(located.transpose(1, 2))
        pooled = torch.cat([followed.mean(dim=-1), followed.amax(dim=-1)], dim=-1)
        return {name: head(pooled) for name, head in self.heads.items()}, self.place(located)


def _overlay(before_N3HW: Tensor, after_N3HW: Tensor) -> Tensor:
    """A frame, the change to the next one, and how badly that fits at every shift."""
    misfits = [
        (after_N3HW.roll(shift, dims=-1) - before_N3HW).abs().mean(dim=1, keepdim=True)
        for shift in SHIFTS
    ]
    return torch.cat([before_N3HW, after_N3HW - before_N3HW, *misfits], dim=1)


class JudgeNetwork(nn.Module):
    """Both halves."""

    def __init__(self, shape: JudgeShape) -> None:
        super().__init__()
        self.looks = LooksNetwork(shape)
        self.movements = MovementNetwork(shape)
