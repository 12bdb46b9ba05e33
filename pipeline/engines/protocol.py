"""What every engine must say of itself and be able to do.

Shape suffixes: T frames or latent frames, C channels, H height, W width, S text tokens, D their
width.

Conventions: flow matching with sigma from 1 (noise) to 0 (video):
``x = (1 - sigma) x0 + sigma noise``, so the velocity is ``v = noise - x0`` and ``x0 = x - sigma v``
(Lipman et al. 2210.02747; Wan's and diffusers' sign). Latents travel as fp32 ``[T, C, H, W]``, time
first, so that a run of latent frames is one contiguous piece of memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from pipeline.tiling import Tiling

# How a model is shown an image: not at all; as a latent frame that is there already, at timestep 0;
# or as channels beside every latent frame, without which it can't work.
ImageConditioning = Literal["none", "first_frame", "channels"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    """What can be known of an engine without loading its weights.

    Attributes:
        name: the engine's name in configuration and file metadata, such as ``wan``.
        channels: latent channels C.
        temporal_compression: frames per latent frame, but for latent frame 0, which holds one
        frame.
        spatial_compression: pixels per latent pixel along each side.
        size_multiple_px: width and height must be multiples of this.
        window_latent_frames: the model's own length, in latent frames.
        decode_reach_latent_frames: a latent frame's pictures depend on it and on so many latent
            frames before it, and on no others.
        fps: frames per second that the model was made for.
        width, height, num_inference_steps, guidance_scale, flow_shift: the published defaults.
        weights_digest: hash of everything that the engine's numbers depend on besides the request.
        boundary_timestep: from this timestep on the first of two experts predicts, below it the
            second; ``None`` where there is one model for all.
        guidance_scale_2: the second expert's published default; ``None`` where it is the first's.
        image: how the model is shown an image.
    """

    name: str
    channels: int
    temporal_compression: int
    spatial_compression: int
    size_multiple_px: int
    window_latent_frames: int
    decode_reach_latent_frames: int
    fps: float
    width: int
    height: int
    num_inference_steps: int
    guidance_scale: float
    flow_shift: float
    weights_digest: str
    boundary_timestep: float | None = None
    guidance_scale_2: float | None = None
    image: ImageConditioning = "none"

    def latent_shape(self, width: int, height: int) -> tuple[int, int, int]:
        """Shape (C, H, W) of one latent frame of a video of ``width`` x ``height`` pixels."""
        factor = self.spatial_compression
        return (self.channels, height // factor, width // factor)


@dataclass(frozen=True, slots=True)
class NoiseLevel:
    """One entry of the schedule: ``sigma`` in [0, 1], and the network's name for it."""

    sigma: float
    timestep: float


@dataclass(frozen=True, slots=True)
class ImageEmbeds:
    """An image as an engine's windows are told of it; fp32 on the CPU.

    Attributes:
        latents_TCHW: the image as a video's first latent frame; where the model has channels for
            it (``channels``), also what stands there for the latent frames after it, to the end of
            the model's own length.
        embeds_SD: what the whole image shows, for cross-attention; ``None`` where the model has
            none.
    """

    latents_TCHW: Tensor
    embeds_SD: Tensor | None = None


@dataclass(frozen=True, slots=True)
class WindowImage:
    """What one window is told of the image; ``at_start``: that its first latent frame is that."""

    embeds: ImageEmbeds
    at_start: bool


class StreamDecoder(Protocol):
    """Decodes one video's latents in order and carries whatever must be carried between calls."""

    def push(self, latents_TCHW: Tensor) -> Iterator[NDArray[np.uint8]]:
        """Decode the next latent frames.

        Yields one array ``[frames, H, W, 3]`` of RGB bytes per latent frame: one frame for the
        video's latent frame 0, ``temporal_compression`` frames for every other. Lazily: memory in
        use is that of one latent frame's worth of pixels, however many are pushed.
        """
        ...


class Engine(Protocol):
    """A loaded model that predicts velocities for one window at a time."""

    @property
    def spec(self) -> EngineSpec:
        """What is known of the engine without its weights."""
        ...

    def encode_prompts(self, prompts: Sequence[str]) -> list[Tensor]:
        """Encode each prompt to fp32 CPU ``prompt_embeds`` ``[S, D]``, each by itself.

        The same prompt gives the same bits whatever stands beside it in the list.
        """
        ...

    def encode_image(self, pixels_HWC: NDArray[np.uint8]) -> ImageEmbeds:
        """Encode RGB bytes ``[H, W, 3]`` of the video's own size; only where ``spec.image`` can."""
        ...

    def predict(
        self,
        latents_TCHW: Tensor,
        level: NoiseLevel,
        prompt_embeds_SD: Tensor,
        image: WindowImage | None = None,
    ) -> Tensor:
        """The velocity of one window, ``[T, C, H, W]`` fp32 on the CPU.

        ``T`` is the model's own length, or less for a video that is shorter than that. Positions
        inside the window are always 0..T-1. Deterministic: same input, same bits.
        """
        ...

    def stream_decoder(self, tiling: Tiling | None = None) -> StreamDecoder:
        """A fresh decoder for one video, or one piece of it.

        Args:
            tiling: tiles to decode pictures in, which bounds memory and changes numbers; ``None``:
                the whole picture at once. An engine that has no need of tiles leaves it alone.
        """
        ...


@runtime_checkable
class PairEngine(Protocol):
    """What an ``Engine`` may be able to do besides: predict for two prompts at once.

    Whoever has the method is asked for both of guidance's predictions in one call, so an engine has
    it only where that was asked for: its bits may be others than those of two calls of ``predict``.
    """

    def predict_pair(
        self,
        latents_TCHW: Tensor,
        level: NoiseLevel,
        prompt_embeds_pair: tuple[Tensor, Tensor],
        image: WindowImage | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The velocities of one window under either of two prompts ``[S, D]``.

        Otherwise as ``Engine.predict``; which of the two comes first changes no bit of either.
        """
        ...
