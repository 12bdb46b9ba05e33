"""The published models: their networks by name and shape, without storage, and their figures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel

from pipeline.engines.registry import EngineOptions, read_spec
from pipeline.engines.wan.architectures import (
    ARCHITECTURES,
    Architecture,
    architecture,
    check_architecture,
)
from pipeline.engines.wan.published_names import TRANSFORMER
from pipeline.engines.wan.state_dict import StateDict
from pipeline.engines.wan.tensor_files import StoredTensor
from pipeline.errors import ConfigError, WeightsError

if TYPE_CHECKING:
    from pathlib import Path

each = pytest.mark.parametrize("model", ARCHITECTURES.values(), ids=ARCHITECTURES)


def blank(model: Architecture) -> WanTransformer3DModel:
    with torch.device("meta"):
        return WanTransformer3DModel.from_config(dict(model.transformer))


@each
def test_networks_have_the_published_number_of_parameters(model: Architecture) -> None:
    network = blank(model)
    assert sum(tensor.numel() for tensor in network.parameters()) == model.num_parameters
    # The embedding of a token: C x 1 x 2 x 2 numbers.
    channels, width = model.transformer["in_channels"], network.config.num_attention_heads * 128
    assert tuple(network.patch_embedding.weight.shape) == (width, channels, 1, 2, 2)


@each
def test_names_as_published_are_the_network_s(model: Architecture, tmp_path: Path) -> None:
    tensors = blank(model).state_dict()
    expected = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    names = {TRANSFORMER.published(name) or name: tensor for name, tensor in tensors.items()}
    stored = [StoredTensor(tmp_path, name, tuple(t.shape)) for name, t in names.items()]
    assert StateDict.match(stored, expected, TRANSFORMER).shapes == expected
    assert convert_wan_transformer_to_diffusers(names).keys() == expected.keys()
    del stored[5]
    with pytest.raises(WeightsError, match="missing tensors"):
        StateDict.match(stored, expected, TRANSFORMER)


@each
def test_figures_fit_together(model: Architecture) -> None:
    assert model.num_frames % 4 == 1
    multiple = 32 if model.latent_channels == 48 else 16
    assert model.width % multiple == model.height % multiple == 0
    assert (model.boundary_ratio is None) == (model.guidance_scale_2 is None)
    shown = model.transformer["in_channels"] - model.latent_channels
    assert shown == (20 if model.takes_image else 0)


def checkpoint(folder: Path, model: Architecture, **changes: object) -> Path:
    (folder / "transformer").mkdir()
    config = {"_class_name": "WanTransformer3DModel", **model.transformer} | changes
    (folder / "transformer" / "config.json").write_text(json.dumps(config))
    index = {"_class_name": "WanPipeline", "boundary_ratio": model.boundary_ratio}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_checkpoint_is_recognised(tmp_path: Path, name: str) -> None:
    check_architecture(name, checkpoint(tmp_path, architecture(name)))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wan2.1-t2v-1.3b", "num_attention_heads: got 40, expected 12, as Wan2.1 T2V 1.3B has it"),
        ("wan2.2-i2v-a14b", "in_channels: got 16, expected 36"),
        ("wan2.2-t2v-a14b", "boundary_ratio: got None, expected 0.875"),
    ],
)
def test_another_checkpoint_than_was_meant_is_refused(
    tmp_path: Path, name: str, message: str
) -> None:
    folder = checkpoint(tmp_path, architecture("wan2.1-t2v-14b"))
    with pytest.raises(WeightsError, match=message):
        check_architecture(name, folder)
    with pytest.raises(WeightsError, match=r"engine\.architecture"):
        read_spec(EngineOptions(weights=str(folder), architecture=name))


def test_an_unknown_architecture_is_named() -> None:
    with pytest.raises(ConfigError, match=r"-14': no such model; did you mean 'wan2\.1-t2v-14b'"):
        EngineOptions(architecture="wan2.1-t2v-14")
