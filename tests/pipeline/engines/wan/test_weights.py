"""Safetensors files: headers, shards, damage, digests."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import torch
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from safetensors.torch import load_file, save_file

from pipeline.engines.wan import weights
from pipeline.engines.wan.checkpoint import read_spec
from pipeline.engines.wan.engine import WanEngine
from pipeline.engines.wan.weights import digest_files, read_header, weight_files
from pipeline.errors import WeightsError
from tests.pipeline.engines.wan.inside import transformer_of

if TYPE_CHECKING:
    from pathlib import Path

FILE = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture
def copy(folders: dict[str, Path], tmp_path: Path) -> Path:
    return shutil.copytree(folders["2.1"], tmp_path / "copy")


def write(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    save_file(tensors, path)
    return path


def test_header_names_every_tensor(copy: Path) -> None:
    tensors = load_file(copy / FILE)
    entries = read_header(copy / FILE)
    assert {e.name: e.shape for e in entries} == {k: tuple(v.shape) for k, v in tensors.items()}
    data = (copy / FILE).read_bytes()
    for entry in entries:
        assert data[entry.begin : entry.end] == tensors[entry.name].numpy().tobytes()


@pytest.mark.parametrize("keep", [0, 7, 40, -1])
def test_a_file_cut_off_is_damaged(copy: Path, keep: int) -> None:
    data = (copy / FILE).read_bytes()
    (copy / FILE).write_bytes(data[:keep])
    with pytest.raises(WeightsError, match=FILE):
        read_spec(copy)


def test_a_file_with_more_than_its_header_says_is_damaged(copy: Path) -> None:
    with (copy / FILE).open("ab") as file:
        file.write(b"x")
    with pytest.raises(WeightsError, match="damaged or cut off"):
        read_spec(copy)


@pytest.mark.parametrize("header", ["[]", "{{", '{"a": {"shape": [1]}}', '{"a": 3}'])
def test_a_header_that_makes_no_sense_is_damaged(tmp_path: Path, header: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode())
    with pytest.raises(WeightsError, match=r"x\.safetensors: got a header that can't be read"):
        read_header(path)


def test_shards_are_read_like_one_file(copy: Path) -> None:
    whole = WanEngine.load(copy, device="cpu", dtype=torch.float32)
    model = WanTransformer3DModel.from_config(
        WanTransformer3DModel.load_config(copy / "transformer")
    )
    model.load_state_dict(load_file(copy / FILE))
    (copy / FILE).unlink()
    model.save_pretrained(copy / "transformer", max_shard_size="40KB")
    assert len(weight_files(copy / "transformer", "diffusion_pytorch_model")) > 1
    sharded = WanEngine.load(copy, device="cpu", dtype=torch.float32)
    for name, tensor in transformer_of(whole).state_dict().items():
        assert torch.equal(tensor, transformer_of(sharded).state_dict()[name])


def test_a_missing_shard_is_named(copy: Path) -> None:
    (copy / FILE).unlink()
    index = copy / f"{FILE}.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "one.safetensors"}}))
    with pytest.raises(WeightsError, match=r"transformer/one\.safetensors: no such file"):
        read_spec(copy)
    write(copy / "one.safetensors", {"a": torch.zeros(1)})
    index.write_text(json.dumps({"weight_map": {"a": "../one.safetensors"}}))
    with pytest.raises(WeightsError, match="expected the shard"):
        read_spec(copy)
    index.write_text("{}")
    with pytest.raises(WeightsError, match="weight_map: got None"):
        read_spec(copy)


def test_digest_follows_content_and_name_alone(copy: Path, tmp_path: Path) -> None:
    before = read_spec(copy).weights_digest
    assert before == read_spec(shutil.copytree(copy, tmp_path / "elsewhere")).weights_digest
    assert len(before) == 32
    (copy / "README.md").write_text("not read")
    assert read_spec(copy).weights_digest == before
    for name in (FILE, "tokenizer/tokenizer_config.json", "nightreel.json"):
        data = (copy / name).read_bytes()
        changed = data + b" " if name.endswith("json") else data[:-1] + bytes([data[-1] ^ 1])
        (copy / name).write_bytes(changed)
        assert read_spec(copy).weights_digest != before, name
        (copy / name).write_bytes(data)
    assert read_spec(copy).weights_digest == before


@pytest.mark.parametrize("save", [save_file, torch.save])
def test_large_files_are_sampled_in_every_tensor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: Any
) -> None:
    monkeypatch.setattr(weights, "MAX_WHOLE_DIGEST_BYTES", 0)
    monkeypatch.setattr(weights, "DIGEST_PIECE_BYTES", 64)
    tensors = {name: torch.zeros(1000) for name in "abc"} | {"empty": torch.zeros(0)}
    path = tmp_path / ("x.safetensors" if save is save_file else "x.pth")

    def digest(changes: dict[str, torch.Tensor]) -> str:
        save(tensors | changes, path)
        return digest_files(tmp_path, [path])

    digests = {digest({})}
    for name in "abc":
        for place in (0, 500, 999):
            changed = tensors[name].clone()
            changed[place] = 1
            digests.add(digest({name: changed}))
    assert len(digests) == 10
    unseen = tensors["a"].clone()
    unseen[250] = 1
    # An archive has a checksum of every record, and so misses nothing.
    assert (digest({"a": unseen}) in digests) == (save is save_file)
