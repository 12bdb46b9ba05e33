"""Images to what Wan's transformers are told of them, as ``WanImageToVideoPipeline`` makes it.

The autoencoder sees the image as a video's first frame, followed by grey to the end of a window
where the model has channels for that; CLIP, where there is one, sees it as its processor wants it.

Shape suffixes: B = 1, F frames, T latent frames, S image tokens, D their width, C channels,
H height, W width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from transformers.models.clip.configuration_clip import CLIPVisionConfig
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.clip.modeling_clip import CLIPVisionModel

from pipeline.engines.wan.published_clip import clip_tensors, is_published
from pipeline.engines.wan.quiet import no_progress_bar
from pipeline.engines.wan.tensor_files import stored_tensors
from pipeline.engines.wan.weights import weight_files
from pipeline.errors import WeightsError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from pipeline.engines.protocol import WindowImage


class ImageTower:
    """Wan 2.1's ``image_encoder`` and ``image_processor``."""

    def __init__(self, processor: Any, encoder: Any) -> None:
        """Take loaded parts; ``load`` makes them."""
        self._processor, self._encoder = processor, encoder

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> ImageTower:
        """Load both from a checkpoint folder, in fp32 as diffusers' documentation of Wan has it.

        Raises:
            WeightsError: something is missing or damaged, or tensors don't fit.
        """
        encoder_folder, processor_folder = folder / "image_encoder", folder / "image_processor"
        try:
            processor = CLIPImageProcessorPil.from_pretrained(
                processor_folder, local_files_only=True
            )
        except (OSError, ValueError, TypeError) as error:
            raise WeightsError(f"{processor_folder}: no image processor: {error}") from error
        encoder = _load_encoder(encoder_folder)
        return cls(processor, encoder.eval().requires_grad_(requires_grad=False).to(device))

    @torch.no_grad()
    def encode(self, pixels_HWC: NDArray[np.uint8]) -> Tensor:
        """The last layer but one, ``[S, D]``, fp32 on the CPU."""
        shown = self._processor(images=Image.fromarray(pixels_HWC), return_tensors="pt")
        shown_BCHW = shown["pixel_values"].to(self._encoder.device)
        hidden = self._encoder(shown_BCHW, output_hidden_states=True).hidden_states
        embeds_SD: Tensor = hidden[-2][0]
        return embeds_SD.to("cpu", torch.float32).contiguous()


def _load_encoder(folder: Path) -> Any:
    """The ``CLIPVisionModel`` in ``folder``, from transformers' files or from Wan's own."""
    files = weight_files(folder, "model")
    stored = [tensor for path in files for tensor in stored_tensors(path)]
    try:
        config = CLIPVisionConfig.from_pretrained(folder, local_files_only=True)
        if is_published(stored):
            model = CLIPVisionModel(config)
            expected = {name: tuple(each.shape) for name, each in model.state_dict().items()}
            model.load_state_dict(dict(clip_tensors(stored, expected)), strict=True)
            return model
        with no_progress_bar():
            encoder, info = CLIPVisionModel.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
            )
    except WeightsError:
        raise
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise WeightsError(f"{folder}: no CLIP that can be loaded: {error}") from error
    if info["missing_keys"]:
        raise WeightsError(f"{folder}: missing tensors {sorted(info['missing_keys'])}")
    return encoder


@torch.no_grad()
def encode_first_frame(vae: Any, pixels_HWC: NDArray[np.uint8], num_latent_frames: int) -> Tensor:
    """Latents ``[T, C, H, W]``, fp32 on the CPU, of a video that is an image and then grey.

    The encoder is causal: the latents of a shorter one are the first of these.

    Args:
        vae: a loaded ``AutoencoderKLWan``; its own cache is used.
        pixels_HWC: RGB bytes.
        num_latent_frames: T.
    """
    unit_HWC = torch.from_numpy(pixels_HWC.copy()).to(vae.device, torch.float32) / 255.0
    frame_CHW = (2.0 * unit_HWC - 1.0).permute(2, 0, 1)
    num_frames = 1 + vae.config.scale_factor_temporal * (num_latent_frames - 1)
    video_BCFHW = frame_CHW.new_zeros(1, 3, num_frames, *frame_CHW.shape[1:])
    video_BCFHW[0, :, 0] = frame_CHW
    latents_BCTHW = vae.encode(video_BCFHW.to(vae.dtype)).latent_dist.mode()
    vae.clear_cache()
    latents_TCHW: Tensor = latents_BCTHW[0].transpose(0, 1).to("cpu", torch.float32)
    mean_CHW = torch.tensor(vae.config.latents_mean).view(-1, 1, 1)
    # diffusers multiplies with the inverse: the same number but for its rounding.
    inverse_std_CHW = 1.0 / torch.tensor(vae.config.latents_std).view(-1, 1, 1)
    return ((latents_TCHW - mean_CHW) * inverse_std_CHW).contiguous()


def condition_channels(
    image: WindowImage, num_mask_channels: int, shape_TCHW: torch.Size
) -> Tensor:
    """The channels beside a window's own: a mask and latents, ``[T, mask + C, H, W]``.

    The mask is 1 where the latent frame is given. A window that does not begin with the image is
    told what the last latent frame of one that does is told: nothing is given, and what would stand
    there is grey.
    """
    num_latent_frames, told_TCHW = shape_TCHW[0], image.embeds.latents_TCHW
    latents_TCHW = told_TCHW[:num_latent_frames]
    if not image.at_start:
        latents_TCHW = told_TCHW[-1:].expand(num_latent_frames, -1, -1, -1)
    mask_TCHW = torch.zeros(num_latent_frames, num_mask_channels, *shape_TCHW[2:])
    if image.at_start:
        mask_TCHW[0] = 1.0
    return torch.cat([mask_TCHW, latents_TCHW], dim=1)
