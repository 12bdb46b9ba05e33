"""What is read from a folder's configuration, and what is said of a folder that is no good."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.engines.wan.checkpoint import Checkpoint, read_spec
from pipeline.engines.wan.engine import WanEngine
from pipeline.errors import WeightsError

if TYPE_CHECKING:
    from pathlib import Path

TRANSFORMER_FILE = "transformer/diffusion_pytorch_model.safetensors"
# What the published repositories have in their configs, but for keys that nothing here reads.
PUBLISHED: dict[str, dict[str, Any]] = {
    "model_index.json": {"_class_name": "WanPipeline", "_diffusers_version": "0.33.0.dev0"},
    "transformer/config.json": {
        "_class_name": "WanTransformer3DModel",
        "image_dim": None,
        "in_channels": 16,
        "out_channels": 16,
        "patch_size": [1, 2, 2],
        "rope_max_seq_len": 1024,
        "text_dim": 4096,
    },
    "vae/config.json": {
        "_class_name": "AutoencoderKLWan",
        "dim_mult": [1, 2, 4, 4],
        "latents_mean": [0.0] * 16,
        "latents_std": [1.0] * 16,
        "temperal_downsample": [False, True, True],
        "z_dim": 16,
    },
    "text_encoder/config.json": {"model_type": "umt5", "d_model": 4096},
    "tokenizer/tokenizer_config.json": {"tokenizer_class": "T5Tokenizer"},
    "scheduler/scheduler_config.json": {"_class_name": "UniPCMultistepScheduler", "flow_shift": 3},
}
WAN_22_5B: dict[str, dict[str, Any]] = {
    "model_index.json": {"expand_timesteps": True, "boundary_ratio": None},
    "transformer/config.json": {"in_channels": 48, "out_channels": 48},
    "vae/config.json": {
        "latents_mean": [0.0] * 48,
        "latents_std": [1.0] * 48,
        "z_dim": 48,
        "patch_size": 2,
        "scale_factor_spatial": 16,
        "scale_factor_temporal": 4,
        "is_residual": True,
    },
}


def published(folder: Path, changes: dict[str, dict[str, Any]]) -> Path:
    for name, values in (PUBLISHED | {"nightreel.json": {}}).items():
        merged = values | changes.get(name, {})
        if merged:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(json.dumps(merged))
    for stem in (TRANSFORMER_FILE, "vae/diffusion_pytorch_model.safetensors"):
        save_file({"a": torch.zeros(2)}, folder / stem)
    save_file({"a": torch.zeros(2)}, folder / "text_encoder/model.safetensors")
    return folder


@pytest.fixture
def copy(folders: dict[str, Path], tmp_path: Path) -> Path:
    """A whole checkpoint that a test may damage."""
    return shutil.copytree(folders["2.1"], tmp_path / "copy")


def test_published_wan_21(tmp_path: Path) -> None:
    spec = read_spec(published(tmp_path, {}))
    assert (spec.channels, spec.temporal_compression, spec.spatial_compression) == (16, 4, 8)
    assert (spec.size_multiple_px, spec.window_latent_frames, spec.fps) == (16, 21, 16.0)
    assert (spec.width, spec.height, spec.num_inference_steps) == (832, 480, 20)
    assert (spec.guidance_scale, spec.flow_shift) == (5.0, 3.0)
    assert spec.latent_shape(832, 480) == (16, 60, 104)


def test_published_wan_22_5b(tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(published(tmp_path, WAN_22_5B))
    assert (checkpoint.spec.channels, checkpoint.spec.size_multiple_px) == (48, 32)
    assert checkpoint.spec.latent_shape(832, 480) == (48, 30, 52)
    assert checkpoint.expand_timesteps
    assert checkpoint.spec.image == "first_frame"
    assert (checkpoint.spec.window_latent_frames, checkpoint.spec.fps) == (31, 24.0)
    assert (checkpoint.spec.width, checkpoint.spec.height) == (1280, 704)
    assert checkpoint.max_sequence_length == 512


@pytest.mark.parametrize(
    ("ratio", "kind", "own", "expected"),
    [
        (0.875, "WanPipeline", {}, (875.0, 4.0, 3.0, "none")),
        (0.9, "WanImageToVideoPipeline", {}, (900.0, 3.5, 3.5, "channels")),
        (0.875, "WanPipeline", {"guidance_scale": 6}, (875.0, 6.0, None, "none")),
        (0.875, "WanPipeline", {"guidance_scale_2": 2}, (875.0, 4.0, 2.0, "none")),
    ],
)
def test_published_wan_22_a14b(
    tmp_path: Path, ratio: float, kind: str, own: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    channels = {"in_channels": 36 if kind == "WanImageToVideoPipeline" else 16}
    folder = published(
        tmp_path,
        {
            "model_index.json": {"_class_name": kind, "boundary_ratio": ratio},
            "transformer/config.json": channels,
            "nightreel.json": own,
        },
    )
    shutil.copytree(folder / "transformer", folder / "transformer_2")
    checkpoint = Checkpoint.open(folder)
    spec = checkpoint.spec
    assert checkpoint.has_two_experts
    assert checkpoint.mask_channels == (4 if expected[3] == "channels" else 0)
    scales = (spec.guidance_scale, spec.guidance_scale_2)
    assert (spec.boundary_timestep, *scales, spec.image) == expected
    second = json.loads((folder / "transformer_2/config.json").read_text())
    second["in_channels"] = 20
    (folder / "transformer_2/config.json").write_text(json.dumps(second))
    with pytest.raises(WeightsError, match=r"transformer_2/config.json: in_channels: got 20"):
        Checkpoint.open(folder)


@pytest.mark.parametrize(
    ("own", "transformer", "message"),
    [
        ({"max_sequence_length": 256}, {}, "max_sequence_length: got 256, expected 512"),
        ({}, {"pos_embed_seq_len": 514}, "pos_embed_seq_len: got 514, expected None"),
        ({}, {}, "image_encoder/model.safetensors: no such file"),
    ],
)
def test_published_wan_21_image_to_video(
    tmp_path: Path, own: dict[str, Any], transformer: dict[str, Any], message: str
) -> None:
    changes = {
        "model_index.json": {"_class_name": "WanImageToVideoPipeline"},
        "transformer/config.json": {"in_channels": 36, "image_dim": 1280, **transformer},
        "nightreel.json": own,
    }
    folder = published(tmp_path, changes)
    (folder / "image_encoder").mkdir()
    (folder / "image_processor").mkdir()
    with pytest.raises(WeightsError, match=message):
        Checkpoint.open(folder)
    if not own and not transformer:
        save_file({"a": torch.zeros(2)}, folder / "image_encoder/model.safetensors")
        assert Checkpoint.open(folder).has_image_encoder
        assert Checkpoint.open(folder).spec.image == "channels"


@pytest.mark.parametrize(
    ("scheduler", "own", "expected"),
    [
        ({"flow_shift": None, "shift": 7.0}, {}, 7.0),
        ({"flow_shift": None}, {}, 5.0),
        ({"flow_shift": 3.0}, {"flow_shift": 8}, 8.0),
    ],
)
def test_flow_shift(
    tmp_path: Path, scheduler: dict[str, Any], own: dict[str, Any], expected: float
) -> None:
    changes = {"scheduler/scheduler_config.json": scheduler, "nightreel.json": own}
    assert read_spec(published(tmp_path, changes)).flow_shift == expected


def test_own_settings_win(tmp_path: Path) -> None:
    own = {"window_latent_frames": 33, "fps": 24, "width": 64, "num_inference_steps": 8}
    spec = read_spec(published(tmp_path, {"nightreel.json": own}))
    assert (spec.window_latent_frames, spec.fps, spec.width, spec.height) == (33, 24.0, 64, 480)
    assert spec.num_inference_steps == 8


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("model_index.json", {"_class_name": "FluxPipeline"}, "'FluxPipeline'.*'WanPipeline'"),
        ("model_index.json", {"boundary_ratio": 1.5}, "boundary_ratio: got 1.5, expected null"),
        ("model_index.json", {"boundary_ratio": 0.9}, "transformer_2/config.json: no such file"),
        ("model_index.json", {"_class_name": "WanImageToVideoPipeline"}, "got 16, expected 36"),
        ("transformer/config.json", {"in_channels": 36}, "got 36, expected the 16 latent channels"),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": 900}, "got 900, expected None"),
        ("nightreel.json", {"guidance_scale_2": 3}, r"unknown \['guidance_scale_2'\]"),
        ("transformer/config.json", {"image_dim": 1280}, "image_dim: got 1280, expected None"),
        ("transformer/config.json", {"text_dim": 8}, "text_dim: got 8, expected d_model"),
        ("transformer/config.json", {"patch_size": [2, 2, 2]}, r"patch_size: got \[2, 2, 2\]"),
        ("transformer/config.json", {"rope_max_seq_len": 9}, "window_latent_frames: got 21"),
        ("vae/config.json", {"z_dim": "16"}, "z_dim: got '16', expected a whole number"),
        ("vae/config.json", {"patch_size": 2}, "scale_factor_spatial: got None, expected 16"),
        ("vae/config.json", {"scale_factor_temporal": 8}, "got 8, expected 4"),
        ("vae/config.json", {"temperal_downsample": [True]}, "expected 3 values"),
        ("vae/config.json", {"latents_std": [1.0]}, "latents_std.*expected 16 numbers"),
        ("vae/config.json", {"dim_mult": 4}, "dim_mult: got 4, expected a list"),
        ("text_encoder/config.json", {"model_type": "t5"}, "got 't5', expected 'umt5'"),
        ("scheduler/scheduler_config.json", {"flow_shift": -1}, "flow_shift: got -1"),
        ("nightreel.json", {"steps": 4}, r"nightreel.json: got unknown \['steps'\]"),
        ("nightreel.json", {"width": 100}, "width: got 100, expected a multiple of 16"),
        ("nightreel.json", {"fps": 0}, "fps: got 0, expected more than 0"),
        ("nightreel.json", {"window_latent_frames": 2.5}, "got 2.5, expected a whole number"),
    ],
)
def test_configs_that_do_not_fit(
    tmp_path: Path, name: str, values: dict[str, Any], message: str
) -> None:
    folder = published(tmp_path, {name: values})
    with pytest.raises(WeightsError, match=message) as caught:
        read_spec(folder)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "model_index.json",
        "transformer/config.json",
        TRANSFORMER_FILE,
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
        "scheduler/scheduler_config.json",
    ],
)
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(WeightsError, match=f"{name}: no such file"):
        read_spec(copy)


def test_a_missing_folder_is_named(copy: Path) -> None:
    with pytest.raises(WeightsError, match="nowhere: no such folder"):
        read_spec(copy / "nowhere")
    shutil.rmtree(copy / "tokenizer")
    with pytest.raises(WeightsError, match="tokenizer: no such folder"):
        read_spec(copy)


@pytest.mark.parametrize("text", ["{", "[1]", "\x00"])
def test_a_damaged_config_is_named(copy: Path, text: str) -> None:
    (copy / "vae" / "config.json").write_text(text)
    with pytest.raises(WeightsError, match=r"vae/config\.json"):
        read_spec(copy)


def load(folder: Path) -> WanEngine:
    return WanEngine.load(folder, device="cpu", dtype=torch.float32)


def test_tensors_that_do_not_fit_are_named(copy: Path) -> None:
    tensors = load_file(copy / TRANSFORMER_FILE)
    missing = {k: v for k, v in tensors.items() if k != "proj_out.bias"}
    save_file(missing | {"proj_in.bias": torch.zeros(1)}, copy / TRANSFORMER_FILE)
    with pytest.raises(WeightsError, match=r"missing.*'proj_out.bias'.*unknown \['proj_in.bias'\]"):
        load(copy)
    save_file(tensors | {"proj_out.bias": torch.zeros(3)}, copy / TRANSFORMER_FILE)
    with pytest.raises(WeightsError, match=r"proj_out.bias \(got \[3\], expected \[64\]\)"):
        load(copy)


def test_the_text_embedding_may_have_either_name_but_must_be_there(copy: Path) -> None:
    path = copy / "text_encoder/model.safetensors"
    tensors = load_file(path)
    expected = load(copy).encode_prompts(["a red ball"])[0]
    embedding = tensors.pop("shared.weight")
    save_file(tensors | {"encoder.embed_tokens.weight": embedding}, path, {"format": "pt"})
    assert torch.allclose(load(copy).encode_prompts(["a red ball"])[0], expected, atol=1e-5)
    save_file(tensors, path)
    with pytest.raises(WeightsError, match=r"missing tensors: one of \['shared.weight'"):
        load(copy)


def test_a_config_that_describes_no_network_is_named(copy: Path) -> None:
    path = copy / "transformer" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_layers": "two"}))
    with pytest.raises(WeightsError, match=r"transformer/config\.json: describes no network"):
        load(copy)


@pytest.mark.parametrize("text", ["{}", "not json", '{"version": "1.0", "model": {"type": "X"}}'])
def test_a_damaged_tokenizer_is_named(copy: Path, text: str) -> None:
    (copy / "tokenizer" / "tokenizer.json").write_text(text)
    with pytest.raises(WeightsError, match="tokenizer"):
        load(copy)


def test_a_vocabulary_beyond_the_text_encoder_is_refused(copy: Path) -> None:
    name = "text_encoder/model.safetensors"
    tensors = load_file(copy / name)
    config = copy / "text_encoder" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"vocab_size": 100}))
    save_file({k: v[:100] if v.shape[0] > 250 else v for k, v in tensors.items()}, copy / name)
    with pytest.raises(WeightsError, match="expected no more than the text encoder's 100"):
        load(copy)
