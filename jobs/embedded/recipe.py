"""Every number of the recipe, in one place.

``Recipe()`` is what the shipped checkpoint was trained with, in a quarter of an hour on one GPU;
``cpu_recipe()`` makes the same model with batches that two CPU cores can bear; ``tiny_recipe()`` is
small enough for a test. Sizes in frames, latent frames and pixels; rates per step.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Size of what the model makes.

    ``width``, ``height`` in pixels; a window of ``window_latent_frames`` is what the transformer
    sees.
    """

    width: int = 112
    height: int = 64
    fps: int = 16
    window_latent_frames: int = 13

    @property
    def window_frames(self) -> int:
        """Frames in one window encoded from its own first frame."""
        return 1 + 4 * (self.window_latent_frames - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoencoderRecipe:
    """Stage ``autoencoder``.

    Attributes:
        base_dim, decoder_base_dim, dim_mult, num_res_blocks, z_dim, patch_size, is_residual: as
            in ``AutoencoderKLWan``. Working on 2 x 2 pixel patches with Wan 2.2's shortcuts
            costs a quarter of working on pixels, and learns faster.
        clips: how many clips of the pool are drawn from.
        clip_frames: frames of what is drawn.
        still_crop, crop: side of square crops in pixels, of single frames and of clips.
        still_batch, crop_batch, whole_batch: what a step sees in each phase.
        still_until, crop_until: shares of the budget up to which single frames, then crops of
            clips, are used; whole frames come last.
        square_weight, kl_weight: weights of the squared error and of the KL term beside L1.
        initial_logvar: where the posterior's log variance starts. At 0 the noise would drown the
            latents before they carry anything.
        clip_rate: factor on the learning rate once clips are used. At the full rate, learning
            motion destroys what single frames taught.
    """

    base_dim: int = 24
    decoder_base_dim: int = 32
    dim_mult: tuple[int, ...] = (1, 2, 2)
    num_res_blocks: int = 1
    z_dim: int = 16
    patch_size: int = 2
    is_residual: bool = True
    clips: int = 1000
    clip_frames: int = 17
    still_crop: int = 64
    crop: int = 64
    still_batch: int = 256
    crop_batch: int = 32
    whole_batch: int = 24
    still_until: float = 0.15
    crop_until: float = 0.5
    square_weight: float = 4.0
    kl_weight: float = 2e-4
    initial_logvar: float = -5.0
    ema: float = 0.998
    learning_rate: float = 3e-3
    clip_rate: float = 0.35
    bf16: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PolishRecipe:
    """Stage ``polish``.

    Attributes:
        clip_frames: frames of what is drawn.
        crop: side of the square crops that are decoded, in pixels; a multiple of 8.
        batch: clips in a step.
        of_things: share of crops around the thing; the others lie anywhere.
    """

    clip_frames: int = 17
    crop: int = 40
    batch: int = 64
    of_things: float = 0.7
    ema: float = 0.995
    learning_rate: float = 5e-4
    bf16: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRecipe:
    """Tokenizer and text encoder; the encoder is trained with the transformer."""

    max_sequence_length: int = 64
    captions: int = 6000
    captions_per_clip: int = 8
    d_model: int = 96
    d_kv: int = 24
    d_ff: int = 256
    num_layers: int = 2
    num_heads: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class FootageRecipe:
    """The pool of rendered clips, and its encoding ahead.

    A clip is longer than a window, so that windows can also be cut from its interior: there,
    position 0 is an ordinary latent frame of four frames, as it is in the middle of a long video.
    """

    clips: int = 6000
    clip_latent_frames: int = 16
    encode_batch: int = 32

    @property
    def clip_frames(self) -> int:
        """Frames of a clip."""
        return 1 + 4 * (self.clip_latent_frames - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerRecipe:
    """Stage ``transformer``.

    Attributes:
        num_layers, num_attention_heads, attention_head_dim, ffn_dim, freq_dim: as in
            ``WanTransformer3DModel``.
        batch: windows in a step.
        short_windows: shares of the budget up to which windows are only so many latent frames long.
            Most of what a caption says can be learned from short windows, at a fraction of the
            cost.
        interior: share of windows cut from the interior of a clip.
        caption_dropout: share of windows that are trained without a caption, for guidance.
        ema: decay of the averaged weights that are exported.
    """

    num_layers: int = 6
    num_attention_heads: int = 7
    attention_head_dim: int = 32
    ffn_dim: int = 768
    freq_dim: int = 128
    batch: int = 256
    short_windows: tuple[tuple[float, int], ...] = ((0.2, 4),)
    interior: float = 0.6
    caption_dropout: float = 0.1
    ema: float = 0.9995
    learning_rate: float = 1.2e-3
    bf16: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeRecipe:
    """Stage ``judge``.

    Attributes:
        fps, clip_frames: how densely and how long the judge looks. Four frames a second are enough
            to see which way the camera pans, and 13 of them last as long as a window.
        channels: width of the network.
        clips: size of the pool of rendered clips.
        batch: clips in a step; ``looked_at`` frames of each are judged for what stands still.
        hint_weight: how much it counts to know where the thing is, beside the answers.
    """

    fps: int = 4
    clip_frames: int = 13
    channels: int = 24
    clips: int = 8000
    batch: int = 48
    looked_at: int = 3
    hint_weight: float = 0.3
    ema: float = 0.99
    learning_rate: float = 2.5e-3
    weight_decay: float = 0.02
    descent_from: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerRecipe:
    """Published defaults of the sampler; ``flow_shift`` also shapes the training noise levels."""

    num_inference_steps: int = 20
    guidance_scale: float = 3.0
    flow_shift: float = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All stages; ``seed`` decides every random number in them."""

    seed: int = 0
    geometry: Geometry = field(default_factory=Geometry)
    autoencoder: AutoencoderRecipe = field(default_factory=AutoencoderRecipe)
    polish: PolishRecipe = field(default_factory=PolishRecipe)
    text: TextRecipe = field(default_factory=TextRecipe)
    footage: FootageRecipe = field(default_factory=FootageRecipe)
    transformer: TransformerRecipe = field(default_factory=TransformerRecipe)
    sampler: SamplerRecipe = field(default_factory=SamplerRecipe)
    judge: JudgeRecipe = field(default_factory=JudgeRecipe)


def cpu_recipe() -> Recipe:
    """The same model, with batches and a pool that two CPU cores can bear.

    In fp32: most CPUs only imitate bf16 (a step of ``polish`` took 34 times as long).
    """
    recipe = Recipe()
    return replace(
        recipe,
        footage=replace(recipe.footage, clips=1500, clip_latent_frames=14, encode_batch=4),
        autoencoder=replace(
            recipe.autoencoder,
            clip_frames=13,
            crop=48,
            still_batch=16,
            crop_batch=5,
            whole_batch=2,
            still_until=0.3,
            crop_until=0.6,
            ema=0.99,
            bf16=False,
        ),
        polish=replace(
            recipe.polish, clip_frames=9, batch=8, ema=0.995, learning_rate=2e-4, bf16=False
        ),
        transformer=replace(
            recipe.transformer,
            batch=8,
            short_windows=((0.2, 1), (0.45, 4)),
            ema=0.998,
            bf16=False,
        ),
        judge=replace(recipe.judge, clips=3000, batch=16, looked_at=2),
    )


def tiny_recipe() -> Recipe:
    """A recipe that runs through in seconds and learns next to nothing."""
    return Recipe(
        geometry=Geometry(width=32, height=16, window_latent_frames=3),
        autoencoder=AutoencoderRecipe(
            base_dim=4,
            decoder_base_dim=4,
            dim_mult=(1, 1, 1),
            z_dim=4,
            clips=4,
            clip_frames=5,
            still_crop=16,
            crop=16,
            still_batch=2,
            crop_batch=2,
            whole_batch=2,
        ),
        polish=PolishRecipe(clip_frames=5, crop=16, batch=2),
        text=TextRecipe(captions=300, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2),
        footage=FootageRecipe(clips=4, clip_latent_frames=4, encode_batch=2),
        transformer=TransformerRecipe(
            num_layers=1,
            num_attention_heads=2,
            attention_head_dim=16,
            ffn_dim=32,
            freq_dim=16,
            batch=2,
            short_windows=((0.5, 2),),
            bf16=False,
        ),
        sampler=SamplerRecipe(num_inference_steps=2),
        judge=JudgeRecipe(clip_frames=5, fps=8, clips=16, batch=4, looked_at=2, channels=24),
    )
