"""The judge's network: what stands still is read off single frames, what moves off pairs of them.

Two halves that share nothing. The first looks at single frames in colour and answers for looks
(time of day, shape, ...): each attribute pools the picture by an attention of its own, so that the
colour head looks at the thing and the daytime head at the sky; then all get a close look at the
place that the thing's attributes attend to. The second looks at neighbouring frames at half size,
laid over each other at several shifts, and answers for movement: where things are and how they
pass, followed along the clip. Both also tell where they see the thing, which training may hold them
to. Pixels are RGB in [-1, 1].

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
# Bands from top to bottom, each of which drifts as one when the camera pans.
BANDS = 8
# How much better the best of them must fit: pixels differ by 1 / SHARPNESS for odds of e.
SHARPNESS = 40.0
# A close look at the thing: how high a square of the frame, sampled at how many points a side.
GLIMPSE_HEIGHTS = 0.5
GLIMPSE_PX = 32
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


class _Glimpse(nn.Module):
    """A close look at a square of the frame, ``GLIMPSE_HEIGHTS`` high, around a given place."""

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, channels, 5, stride=2, padding=2),
            nn.SiLU(),
            nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(2 * channels, 2 * channels, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(2 * channels * (GLIMPSE_PX // 8) ** 2, features),
            nn.SiLU(),
        )

    def forward(self, frames_N3HW: Tensor, places_N2: Tensor) -> Tensor:
        """Features of the squares around ``places_N2``, x and y in frame heights."""
        height, width = frames_N3HW.shape[2:]
        along = torch.linspace(-0.5, 0.5, GLIMPSE_PX, device=frames_N3HW.device) * GLIMPSE_HEIGHTS
        y, x = torch.meshgrid(along, along, indexing="ij")
        # From frame heights to -1 .. 1 across the frame.
        across = (places_N2[:, 0, None, None] + x) * (2.0 * height / width) - 1.0
        down = (places_N2[:, 1, None, None] + y) * 2.0 - 1.0
        grid = torch.stack([across, down], dim=-1)
        square = functional.grid_sample(
            frames_N3HW, grid, padding_mode="border", align_corners=False
        )
        features: Tensor = self.net(square)
        return features


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
        of_the_thing = {name: values for name, values in shape.looks.items() if NONE in values}
        self.thing_maps = [i for i, name in enumerate(shape.looks) if name in of_the_thing]
        self.glimpse = _Glimpse(small, 2 * large)
        self.close_heads = nn.ModuleDict(
            {name: nn.Linear(2 * large, len(values)) for name, values in of_the_thing.items()}
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
        if self.thing_maps:
            places = self._middle(weights, frames_N3HW.shape[3] // 4)
            for name, closer in self.look_closely(frames_N3HW, places).items():
                logits[name] = logits[name] + closer
        return logits, weights

    def look_closely(self, frames_N3HW: Tensor, places_N2: Tensor) -> dict[str, Tensor]:
        """What a close look at ``places_N2`` adds to the logits of the thing's attributes.

        Places are x and y in frame heights.
        """
        features = self.glimpse(frames_N3HW, places_N2)
        return {name: head(features) for name, head in self.close_heads.items()}

    def _middle(self, weights_NAP: Tensor, columns: int) -> Tensor:
        """Where the thing's attributes look on average, x and y in frame heights, ``[N, 2]``."""
        attended = torch.stack([weights_NAP[:, i] for i in self.thing_maps]).mean(dim=0).detach()
        maps = attended.view(len(attended), -1, columns)
        rows = maps.shape[1]
        x, y = ((torch.arange(n, device=maps.device) + 0.5) / rows for n in (columns, rows))
        return torch.stack([(maps.sum(dim=1) * x).sum(1), (maps.sum(dim=2) * y).sum(1)], dim=1)


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
            nn.SiLU(),
            nn.Conv2d(middle, large, 3, stride=2, padding=1),
            _Block(large),
            nn.SiLU(),
            nn.Conv2d(large, 12, 1),
        )
        places = (shape.height // 8) * (shape.width // 8)
        self.locate = nn.Linear(12 * places, 64)
        self.drift = nn.Linear(BANDS * len(SHIFTS), 64)
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
        bands = functional.adaptive_avg_pool2d(pairs[:, -len(SHIFTS) :], (BANDS, 1)).flatten(1)
        located = self.locate(self.trunk(pairs).flatten(1)) + self.drift(bands)
        located = located.view(batch, frames - 1, -1)
        followed = self.follow(located.transpose(1, 2))
        pooled = torch.cat([followed.mean(dim=-1), followed.amax(dim=-1)], dim=-1)
        return {name: head(pooled) for name, head in self.heads.items()}, self.place(located)


def _overlay(before_N3HW: Tensor, after_N3HW: Tensor) -> Tensor:
    """A frame, the change to the next one, and how well that fits at every shift, in shares of 1.

    Smooth hills differ little from what they are a pixel further on; the shares bring that out.
    """
    misfits = [
        (after_N3HW.roll(shift, dims=-1) - before_N3HW).abs().mean(dim=1, keepdim=True)
        for shift in SHIFTS
    ]
    around = functional.avg_pool2d(torch.cat(misfits, dim=1), 3, stride=1, padding=1)
    fits = (-SHARPNESS * around).softmax(dim=1)
    return torch.cat([before_N3HW, after_N3HW - before_N3HW, fits], dim=1)


class JudgeNetwork(nn.Module):
    """Both halves."""

    def __init__(self, shape: JudgeShape) -> None:
        super().__init__()
        self.looks = LooksNetwork(shape)
        self.movements = MovementNetwork(shape)
        self.apply(_keep_signals_large)


def _keep_signals_large(module: nn.Module) -> None:
    """Start weights so that signals pass many layers undiminished (He et al. 2015, eq. 10)."""
    if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear)):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, _Block):
        nn.init.zeros_(module.second.weight)
