"""Stage ``polish``: the decoder learns the thing's outline; nothing else changes.

The autoencoder's loss counts every pixel alike, and the thing that a caption speaks of covers a
fiftieth of them: points of a star come out last. Here the decoder goes on alone, on what is around
the thing. Encoder and latents stay as they are, so a transformer that was trained on them fits the
decoder as before, and any finished checkpoint can be polished.

What works at the latents' size is cheap and looks at the whole picture: it stays as it is too. From
there on only a crop is computed, which costs a fifth of whole frames.

Shapes: B clips, C channels, T latent frames, F frames, H and W in pixels, h and w latent pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from jobs.embedded.autoencoder import decode_unclamped, encode_moments, psnr, reconstruct
from jobs.embedded.clips import clip_times
from jobs.embedded.footage import to_bytes, to_pixels
from jobs.embedded.pictures import save_grid
from pipeline.world import sample_scene
from pipeline.world.motion import pose

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from diffusers import AutoencoderKLWan
    from numpy.typing import NDArray

    from jobs.embedded.footage import Footage
    from jobs.embedded.recipe import Recipe

# A latent pixel is so many pixels wide.
SCALE = 8
# Convolutions see zeros beyond a crop's edge: so many pixels there are not counted.
RIM_PX = 4
VALIDATION_SCENES = 8


@dataclass(frozen=True, slots=True)
class Place:
    """A crop, in latent pixels."""

    top: int
    left: int


class Cropped(nn.Module):
    """A frozen block that looks at the whole picture and hands on a crop of each clip."""

    def __init__(self, block: nn.Module, side: int) -> None:
        super().__init__()
        self.block = block
        self.side = side
        self.places: Tensor | None = None

    def forward(self, x_BCThw: Tensor, *arguments: Any, **options: Any) -> Tensor:
        """The block's output; cropped where ``places``, ``[B, 2]``, says."""
        with torch.no_grad():
            whole: Tensor = self.block(x_BCThw, *arguments, **options)
        if self.places is None:
            return whole
        rows = self.places[:, 0, None] + torch.arange(self.side, device=whole.device)
        columns = self.places[:, 1, None] + torch.arange(self.side, device=whole.device)
        batch = torch.arange(len(whole), device=whole.device)[:, None, None]
        picked = whole[batch, :, :, rows[:, :, None], columns[:, None, :]]
        return picked.permute(0, 3, 4, 1, 2).contiguous()


def taught(vae: AutoencoderKLWan) -> nn.ModuleList:
    """What follows the decoder's middle."""
    decoder = vae.decoder
    return nn.ModuleList([decoder.up_blocks, decoder.norm_out, decoder.conv_out])


class PolishStage:
    """The stage as the training loop sees it."""

    name = "polish"

    def __init__(
        self, recipe: Recipe, footage: Footage, vae: AutoencoderKLWan, device: torch.device
    ) -> None:
        self.recipe, self.footage, self.device = recipe, footage, device
        self.vae = vae.to(device)
        self.vae.requires_grad_(False)
        self._middle = Cropped(vae.decoder.mid_block, recipe.polish.crop // SCALE)
        self._taught = taught(vae)
        self._taught.requires_grad_(True)

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """What follows the decoder's middle."""
        return {"decoder": self._taught}

    def batch(self, step: int, fraction: float) -> tuple[Tensor, ...]:
        """Pixels of whole clips, ``[B, 3, F, H, W]``; places of crops, ``[B, 2]``; the crops."""
        del fraction
        ours = self.recipe.polish
        rng = np.random.default_rng([self.recipe.seed, 7, step])
        side, clips, places, crops = ours.crop, [], [], []
        for clip in rng.integers(self.footage.shape[0], size=ours.batch):
            start = int(rng.integers(self.footage.shape[1] - ours.clip_frames + 1))
            clips.append(self.footage.clips[clip, start : start + ours.clip_frames])
            is_thing = rng.random() < ours.of_things
            place = self._around_thing(int(clip), start) if is_thing else self._anywhere(rng)
            top, left = SCALE * place.top, SCALE * place.left
            places.append([place.top, place.left])
            crops.append(clips[-1][:, top : top + side, left : left + side])
        return (
            to_pixels(np.stack(clips), self.device),
            torch.tensor(places, device=self.device),
            to_pixels(np.stack(crops), self.device),
        )

    def loss(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Mapping[str, Tensor]]:
        """L1 and squared error inside the crops."""
        pixels, places, truth = batch
        ours = self.recipe.polish
        with torch.autocast(self.device.type, torch.bfloat16, enabled=ours.bf16):
            with torch.no_grad():
                mean, _ = encode_moments(self.vae, pixels)
            decoded = self._decode(mean, places)
        inner = slice(RIM_PX, ours.crop - RIM_PX)
        error = (decoded - truth)[..., inner, inner]
        loss = error.abs().mean() + self.recipe.autoencoder.square_weight * error.square().mean()
        return loss, {"psnr": psnr(error.detach())}

    def sample(self, folder: Path, step: int) -> None:
        """Held-out scenes above their reconstructions."""
        truth, decoded = reconstruct(self.vae, self.recipe, VALIDATION_SCENES, clear=False)
        middle = truth.shape[2] // 2
        rows = [[*to_bytes(clips[:, :, middle : middle + 1])[:, 0]] for clips in (truth, decoded)]
        save_grid(rows, folder / f"polish_{step:06d}.png")

    def _decode(self, latents_BCThw: Tensor, places_B2: Tensor) -> Tensor:
        """Pixels of the crops, ``[B, 3, F, side, side]``."""
        decoder, whole = self.vae.decoder, self.vae.decoder.mid_block
        self._middle.places = places_B2
        decoder.mid_block = self._middle
        try:
            return decode_unclamped(self.vae, latents_BCThw)
        finally:
            decoder.mid_block = whole

    def _around_thing(self, clip: int, start: int) -> Place:
        """The crop with the thing of a clip in its middle, as far as the frame allows."""
        geometry, ours = self.recipe.geometry, self.recipe.polish
        times_s = clip_times(clip, start + ours.clip_frames, self.footage.fps)[start:]
        thing = pose(sample_scene(clip), times_s, geometry.width / geometry.height)
        middle = len(times_s) // 2
        return self._at(geometry.height * thing.y[middle], geometry.height * thing.x[middle])

    def _anywhere(self, rng: np.random.Generator) -> Place:
        geometry = self.recipe.geometry
        return self._at(rng.uniform(0, geometry.height), rng.uniform(0, geometry.width))

    def _at(self, y_px: float, x_px: float) -> Place:
        geometry, side = self.recipe.geometry, self.recipe.polish.crop
        ends = np.array([geometry.height - side, geometry.width - side]) // SCALE
        corner: NDArray[np.int_] = np.round((np.array([y_px, x_px]) - side / 2) / SCALE).astype(int)
        top, left = np.clip(corner, 0, ends)
        return Place(int(top), int(left))
