"""Weights in a bucket of a real S3 server: a node's actors fetch them once, and share them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch

from pipeline import reference
from pipeline.engines.registry import EngineOptions, load_engine
from storage.engine_files import EngineFiles
from storage.open import StoreConfig, open_store
from tests.cluster.gangs import Notes, gang_of, latents_of
from tests.plans import small_plan
from tests.s3_faults import Fault, FaultProxy
from tests.tiny_wan import HEIGHT_PX, WIDTH_PX, make_tiny_wan

if TYPE_CHECKING:
    from pathlib import Path

    from tests.s3_server import S3Server

pytestmark = [pytest.mark.cluster, pytest.mark.s3, pytest.mark.slow, pytest.mark.longest]

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"
PREFIX = "models/tiny"


def test_two_actors_of_a_node_fetch_weights_once_and_sample_with_them(
    ray_cluster: None, s3_server: S3Server, s3_bucket: str, tmp_path: Path
) -> None:
    tiny = make_tiny_wan(tmp_path / "tiny", window_latent_frames=9)
    uri = f"s3://{s3_bucket}/{PREFIX}"
    store = open_store(uri, s3=s3_server.options())
    files = sorted(path.relative_to(tiny).as_posix() for path in tiny.rglob("*") if path.is_file())
    for name in files:
        store.put_file(name, tiny / name)
    plain = EngineOptions(weights=str(tiny), device="cpu")
    remote = EngineOptions(weights=uri, device="cpu", cache=str(tmp_path / "cache"))
    with FaultProxy(s3_server.endpoint_url) as proxy:
        # A second answer to who asks for a file would be counted.
        again = [
            proxy.add(Fault("delay", method="GET", path=f"{PREFIX}/{name}", skip=1, times=9))
            for name in files
        ]
        source = EngineFiles(options=remote, s3=s3_server.options(endpoint_url=proxy.url))
        with gang_of(2, StoreConfig(uri=str(tmp_path / "store")), source) as gang:  # type: ignore[arg-type] # a source
            plan = small_plan(
                load_engine(plain), 101, num_steps=2, width=WIDTH_PX, height=HEIGHT_PX
            )
            take = gang.begin(plan)
            take.sample(Notes())
            assert take.partition.num_segments == 2
            latents_TCHW = latents_of(take)
    assert {fault.path.removeprefix(f"{PREFIX}/") for fault in again if fault.skip} == set()
    assert [fault.path for fault in again if fault.times < 9] == []
    assert torch.equal(latents_TCHW, reference.sample(plan, load_engine(plain)))
    (folder,) = (tmp_path / "cache" / "weights").glob("*/whole.json")
    assert json.loads(folder.read_text()).keys() == set(files)
