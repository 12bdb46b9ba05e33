"""One tiny checkpoint per layout, loaded by us and by stock diffusers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from diffusers.pipelines.wan.pipeline_wan import WanPipeline
from safetensors.torch import load_file

from pipeline.engines.wan.engine import WanEngine
from tests.tiny_wan import make_tiny_wan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LAYOUTS = ("2.1", "2.2-5b")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("tiny_wan")
    return {layout: make_tiny_wan(root / layout, layout=layout) for layout in LAYOUTS}


@pytest.fixture(scope="session", params=LAYOUTS)
def folder(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Path:
    return folders[request.param]


@pytest.fixture(scope="session")
def engine(folder: Path) -> WanEngine:
    return WanEngine.load(folder, device="cpu", dtype=torch.float32)


@pytest.fixture(scope="session")
def stock(folder: Path) -> WanPipeline:
    """Stock diffusers on the same files; its loader would need accelerate for the transformer."""
    config = WanTransformer3DModel.load_config(folder / "transformer")
    transformer = WanTransformer3DModel.from_config(config).eval()
    weights = load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")
    transformer.load_state_dict(weights, strict=True)
    pipeline = WanPipeline.from_pretrained(folder, transformer=transformer, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
