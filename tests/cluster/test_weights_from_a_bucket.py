"""An actor fetches its own weights, and what it makes is the reference's bits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import boto3
import pytest
import torch
from moto.server import ThreadedMotoServer
from safetensors.torch import load_file, save_file

from pipeline import reference
from pipeline.engines.registry import EngineOptions, LoraOptions, load_engine
from pipeline.engines.wan.published_names import TRANSFORMER
from storage.connection import S3Options
from storage.engine_files import EngineFiles
from storage.open import StoreConfig, open_store
from tests.cluster.gangs import Notes, gang_of, latents_of
from tests.plans import small_plan
from tests.s3_server import ACCESS_KEY, REGION, SECRET_KEY
from tests.tiny_wan import HEIGHT_PX, WIDTH_PX, make_tiny_wan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Options]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    boto3.client("s3", endpoint_url=url, region_name=REGION).create_bucket(Bucket="models")
    yield S3Options(endpoint_url=url, region=REGION, addressing_style="path")
    server.stop()


def test_a_fine_tune_on_its_base_with_a_lora(
    ray_cluster: None, s3: S3Options, tmp_path: Path
) -> None:
    base = make_tiny_wan(tmp_path / "base")
    tensors = load_file(base / "transformer" / "diffusion_pytorch_model.safetensors")
    tuned = {f"net.{TRANSFORMER.published(k) or k}": v * 1.1 for k, v in tensors.items()}
    torch.save(tuned, tmp_path / "tuned.pth")
    save_file({"proj_out.diff_b": torch.full((64,), 0.1)}, tmp_path / "lora.safetensors")
    store = open_store("s3://models", s3=s3)
    for path in sorted(base.rglob("*")):
        if path.is_file():
            store.put_file(f"base/{path.relative_to(base).as_posix()}", path)
    store.put_file("tuned.pth", tmp_path / "tuned.pth")
    options = EngineOptions(
        weights="s3://models/tuned.pth",
        base="s3://models/base",
        loras=[LoraOptions(path=str(tmp_path / "lora.safetensors"), scale=2.0)],
        cache=str(tmp_path / "cache"),
        device="cpu",
    )
    here = replace(options, weights=str(tmp_path / "tuned.pth"), base=str(base))
    engine = load_engine(EngineFiles(options=replace(here, cache=str(tmp_path / "here"))).local())
    plain = load_engine(replace(options, weights=str(base), base="", loras=[]))
    plan = small_plan(engine, 49, num_steps=2, width=WIDTH_PX, height=HEIGHT_PX)
    films = StoreConfig(uri=str(tmp_path / "films"))
    # An actor imports diffusers and transformers, which takes longer than all the rest.
    with gang_of(1, films, EngineFiles(options=options, s3=s3)) as gang:
        take = gang.begin(plan)
        take.sample(Notes())
        found = latents_of(take)
    assert torch.equal(found, reference.sample(plan, engine))
    assert not torch.equal(found, reference.sample(plan, plain))
    assert len([*(tmp_path / "cache" / "weights").glob("*/whole.json")]) == 2
