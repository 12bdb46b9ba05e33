"""What is exported is a Wan checkpoint that stock diffusers loads."""

import json
from pathlib import Path

import torch
from diffusers import WanPipeline, WanTransformer3DModel
from safetensors.torch import load_file

from jobs.embedded import stages
from jobs.embedded.recipe import Recipe
from jobs.embedded.sampling import render_clip
from pipeline.embedded import weights_folder

LIMIT_BYTES = 16 * 1024 * 1024


def stock_pipeline(folder: Path) -> WanPipeline:
    """Stock diffusers on ``folder``; its own loader would want accelerate for the transformer."""
    config = WanTransformer3DModel.load_config(folder / "transformer")
    transformer = WanTransformer3DModel.from_config(config).eval()
    weights = load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")
    transformer.load_state_dict(weights, strict=True)
    return WanPipeline.from_pretrained(folder, transformer=transformer, local_files_only=True)


def test_a_run_is_exported_whole(recipe: Recipe, run: Path, tmp_path: Path):
    stages.export_run(recipe, run, tmp_path / "weights")
    pipeline = stock_pipeline(tmp_path / "weights")
    clip = render_clip(pipeline, recipe, "a red ball", seed=0)
    assert clip.shape == (9, 16, 32, 3)
    trained = stages.trained_pipeline(recipe, run)
    assert pipeline.vae.config.latents_std == trained.vae.config.latents_std
    for name, value in trained.transformer.state_dict().items():
        loaded = pipeline.transformer.state_dict()[name]
        torch.testing.assert_close(loaded, value, rtol=1e-3, atol=1e-6)


def test_the_shipped_checkpoint_is_small_and_renders():
    folder = weights_folder()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert size <= LIMIT_BYTES
    settings = json.loads((folder / "nightreel.json").read_text())
    pipeline = stock_pipeline(folder)
    assert all(
        module.dtype == torch.float32
        for module in (pipeline.transformer, pipeline.vae, pipeline.text_encoder)
    )
    assert pipeline.scheduler.config.shift == settings["flow_shift"]
    pipeline.set_progress_bar_config(disable=True)
    frames = pipeline(
        "a red ball bounces in the desert at night",
        height=settings["height"],
        width=settings["width"],
        num_frames=9,
        num_inference_steps=4,
        guidance_scale=settings["guidance_scale"],
        max_sequence_length=settings["max_sequence_length"],
        generator=torch.Generator().manual_seed(0),
        output_type="np",
    ).frames[0]
    assert frames.shape == (9, settings["height"], settings["width"], 3)
    assert frames.std() > 0.05
