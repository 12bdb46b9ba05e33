"""Hold a checkpoint to its captions: render held-out ones, let the judge look, count.

Every held-out scene is asked for twice: by its plain caption, which says everything, and in other
words, which leave things out; what a sentence doesn't say is not counted. Clips are one window long
and made by stock ``WanPipeline`` with the checkpoint's own defaults.

Shapes: F frames, H rows, W columns.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from diffusers import WanPipeline, WanTransformer3DModel
from safetensors.torch import load_file

from jobs.embedded.footage import HELD_OUT
from pipeline.engines.wan.checkpoint import Checkpoint
from pipeline.world import caption, plain_caption, sample_scene
from pipeline.world.stated import stated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.world.judge import Answer, Judge

logger = logging.getLogger(__name__)

# Prompts in one call of the pipeline.
BATCH = 8
PLAIN, OTHER_WORDS = "plain captions", "in other words"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One caption to be rendered.

    Attributes:
        kind: ``PLAIN`` or ``OTHER_WORDS``.
        prompt: the caption.
        expected: the value of every attribute that it says.
        seed: of the noise.
    """

    kind: str
    prompt: str
    expected: Mapping[str, str]
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A case, its clip ``[F, H, W, 3]`` and what the judge saw in it."""

    case: Case
    clip: NDArray[np.uint8]
    seen: Mapping[str, Answer]

    def is_right(self, attribute: str) -> bool:
        """Whether ``attribute`` is as the caption says."""
        return self.seen[attribute].value == self.case.expected[attribute]


def held_out_cases(scenes: int) -> list[Case]:
    """Two captions of each of ``scenes`` scenes that were never trained on."""
    cases = []
    for i in range(scenes):
        scene = sample_scene(HELD_OUT + i)
        other = caption(scene, np.random.default_rng([HELD_OUT + i, 3]))
        for kind, prompt in ((PLAIN, plain_caption(scene)), (OTHER_WORDS, other)):
            expected = stated(prompt, scene)
            cases.append(Case(kind=kind, prompt=prompt, expected=expected, seed=i))
    return cases


class Renderer:
    """A checkpoint folder, rendered window by window by stock diffusers."""

    def __init__(self, folder: Path, device: str | None = None) -> None:
        self.checkpoint = Checkpoint.open(folder)
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        # Diffusers' own loader would want accelerate for the transformer.
        config = WanTransformer3DModel.load_config(folder / "transformer")
        transformer = WanTransformer3DModel.from_config(config).eval()
        weights = load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")
        transformer.load_state_dict(weights)
        pipeline = WanPipeline.from_pretrained(
            folder, transformer=transformer, local_files_only=True
        )
        self.pipeline = pipeline.to(self.device)
        self.pipeline.set_progress_bar_config(disable=True)

    def render(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[NDArray[np.uint8]]:
        """One window's worth of frames ``[F, H, W, 3]`` for each prompt."""
        spec = self.checkpoint.spec
        frames = self.pipeline(
            prompt=list(prompts),
            negative_prompt=[""] * len(prompts),
            height=spec.height,
            width=spec.width,
            num_frames=1 + spec.temporal_compression * (spec.window_latent_frames - 1),
            num_inference_steps=spec.num_inference_steps,
            guidance_scale=spec.guidance_scale,
            max_sequence_length=self.checkpoint.max_sequence_length,
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            output_type="np",
        ).frames
        return [(np.asarray(clip) * 255.0).round().astype(np.uint8) for clip in frames]


def evaluate(renderer: Renderer, judge: Judge, cases: Sequence[Case]) -> Iterator[Outcome]:
    """Render and judge ``cases``, a batch at a time."""
    fps = renderer.checkpoint.spec.fps
    for start in range(0, len(cases), BATCH):
        batch = cases[start : start + BATCH]
        clips = renderer.render([c.prompt for c in batch], [c.seed for c in batch])
        for case, clip in zip(batch, clips, strict=True):
            yield Outcome(case=case, clip=clip, seen=judge.judge(clip, fps))
        logger.info("evaluated %d of %d captions", start + len(batch), len(cases))
