"""Stage ``judge``: learn to tell every attribute of the world from pictures.

Every step shows clips of the pool, degraded the way autoencoders and codecs degrade pictures. The
loss is the mean cross entropy of all attributes: of a few single frames for looks, of the whole
clip for movements. Hints speed that up: attention for the thing's attributes is drawn to where the
thing is, the movement half must say where that is, and close looks at it are asked for in all
frames. A thing that is missing or nothing known has
an answer of its own, since that is what a model in training makes.

Shapes: B clips, F frames, N = B x frames looked at, H rows, W columns, K values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from jobs.embedded.degrade import degrade
from jobs.embedded.judge_footage import (
    LOOKS,
    MOVEMENTS,
    JudgeFootage,
    PoolSize,
)
from jobs.embedded.pictures import save_grid
from pipeline.world.judge import NONE, JudgeNetwork, JudgeShape
from pipeline.world.motion import RADIUS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from jobs.embedded.recipe import Recipe

SAMPLED_CLIPS = 8
# Close looks go past the middle of the thing by about so much, in frame heights.
CLOSE_WITHIN = 0.025


def judge_shape(recipe: Recipe) -> JudgeShape:
    """What the recipe's judge looks at, and the world's attributes."""
    return JudgeShape(
        looks=LOOKS,
        movements=MOVEMENTS,
        height=recipe.geometry.height,
        width=recipe.geometry.width,
        fps=recipe.judge.fps,
        clip_frames=recipe.judge.clip_frames,
        channels=recipe.judge.channels,
    )


def build_judge(recipe: Recipe) -> JudgeNetwork:
    """A fresh network, laid out in memory the way convolutions like it."""
    network = JudgeNetwork(judge_shape(recipe))
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


class JudgeStage:
    """The stage as the training loop sees it; its footage is rendered on first use."""

    name = "judge"

    def __init__(self, recipe: Recipe, folder: Path, device: torch.device) -> None:
        self.recipe = recipe
        self.device = device
        torch.manual_seed(recipe.seed)
        self.network = build_judge(recipe).to(self.device)
        ours, geometry = recipe.judge, recipe.geometry
        folder.mkdir(parents=True, exist_ok=True)
        size = PoolSize(
            clips=ours.clips,
            frames=ours.clip_frames,
            fps=ours.fps,
            height=geometry.height,
            width=geometry.width,
        )
        self.footage = JudgeFootage(folder, size)

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """The judge alone."""
        return {"judge": self.network}

    def batch(self, step: int, fraction: float) -> tuple[Tensor, ...]:  # noqa: ARG002
        """What step ``step`` learns from, on the device.

        Clips ``[B, F, 3, H, W]``; numbers of the frames that are looked at, ``[B, L]``; where the
        thing is and where a close look goes, ``[B, F, 2]``; then the numbers of the true values,
        ``[B, F]`` per look and ``[B]`` per movement.
        """
        ours = self.recipe.judge
        rng = np.random.default_rng([self.recipe.seed, 5, step])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        frames, numbers = self.footage.batch(rng, ours.batch)
        clips = degrade(to_clips(frames).to(self.device), generator)
        order = rng.permuted(np.tile(np.arange(ours.clip_frames), (ours.batch, 1)), axis=1)
        places = torch.from_numpy(numbers["places"])
        aside = CLOSE_WITHIN * torch.randn(places.shape, generator=generator)
        answers = [torch.from_numpy(numbers[name]) for name in (*LOOKS, *MOVEMENTS)]
        batch = (clips, torch.from_numpy(order[:, : ours.looked_at]), places, places + aside)
        return tuple(tensor.to(self.device) for tensor in (*batch, *answers))

    def loss(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Mean cross entropy and hints, and the share of right answers of each attribute."""
        clips, looked, places, glances, *numbers = batch
        answers = dict(zip((*LOOKS, *MOVEMENTS), numbers, strict=True))
        rows = torch.arange(len(clips), device=clips.device)[:, None]
        logits, attention = self.network.looks.attend(clips[rows, looked].flatten(0, 1))
        moved, traced = self.network.movements.trace(clips)
        logits |= moved
        truth = {name: answers[name][rows, looked].flatten() for name in LOOKS}
        truth |= {name: answers[name] for name in MOVEMENTS}
        losses = [functional.cross_entropy(logits[name], truth[name]) for name in truth]
        hints = self._aside(attention, places[rows, looked].flatten(0, 1))
        hints = hints + _astray(traced, places[:, :-1])
        hints = hints + self._closely(clips.flatten(0, 1), glances.flatten(0, 1), answers)
        loss = torch.stack(losses).mean() + self.recipe.judge.hint_weight * hints
        right = {f"right_{n}": (logits[n].argmax(-1) == truth[n]).float().mean() for n in truth}
        return loss, {**right, "hints": hints.detach()}

    def _aside(self, attention_NAP: Tensor, places_N2: Tensor) -> Tensor:
        """How little of their attention the thing's attributes give to the thing, as surprise."""
        geometry = self.recipe.geometry
        rows, columns = geometry.height // 4, geometry.width // 4
        y = (torch.arange(rows, device=self.device) + 0.5) / rows
        x = (torch.arange(columns, device=self.device) + 0.5) / rows
        down = (y[None, :, None] - places_N2[:, 1, None, None]).square()
        across = (x[None, None, :] - places_N2[:, 0, None, None]).square()
        inside = ((down + across) < RADIUS**2).flatten(1).float()
        named = [attention_NAP[:, i] for i, v in enumerate(LOOKS.values()) if NONE in v]
        given = (torch.stack(named, dim=1) * inside[:, None]).sum(dim=-1)
        surprise = -torch.log(given + 1e-4) * (inside.sum(dim=1, keepdim=True) > 0)
        return surprise.mean()

    def _closely(
        self, frames_N3HW: Tensor, glances_N2: Tensor, answers: Mapping[str, Tensor]
    ) -> Tensor:
        """Mean cross entropy of close looks at the thing in all frames that show one."""
        known = glances_N2.isfinite().all(dim=-1, keepdim=True)
        logits = self.network.looks.look_closely(frames_N3HW, torch.where(known, glances_N2, 0.5))
        share = known[:, 0] / known.sum().clamp(min=1)
        losses = [
            (functional.cross_entropy(mine, answers[n].flatten(), reduction="none") * share).sum()
            for n, mine in logits.items()
        ]
        return torch.stack(losses).mean()

    def sample(self, folder: Path, step: int) -> None:
        """What a training batch looks like, one clip a row."""
        rng = np.random.default_rng([self.recipe.seed, 5, step])
        frames, _ = self.footage.batch(rng, SAMPLED_CLIPS)
        save_grid([[*clip[::2]] for clip in frames], folder / f"judge_{step:06d}.png")


def _astray(traced_BF2: Tensor, places_BF2: Tensor) -> Tensor:
    """How far the thing is from where it is taken to be, in frames that show one."""
    known = places_BF2.isfinite()
    error = functional.smooth_l1_loss(
        traced_BF2, torch.where(known, places_BF2, 0.0), beta=0.1, reduction="none"
    )
    return (error * known).mean()


def to_clips(frames: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Tensor:
    """Bytes ``[..., F, H, W, 3]`` to fp32 pixels ``[..., F, 3, H, W]`` in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).movedim(-1, -3).float() / 127.5 - 1.0
