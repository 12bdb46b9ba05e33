"""Weights from wherever they are: fetched once per node, laid out as one kind of folder."""

from __future__ import annotations

import json
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.engines.registry import EngineOptions, LoraOptions, load_engine, read_spec
from pipeline.engines.wan.json_file import JsonFile
from pipeline.engines.wan.published_names import TEXT_ENCODER, TRANSFORMER, vae_names
from pipeline.errors import StoreUnavailableError, WeightsError
from storage.engine_files import EngineFiles
from storage.open import open_store
from storage.weights_cache import WeightsCache, locked
from tests.pipeline.engines.wan.inside import transformer_of
from tests.tiny_wan import make_tiny_wan

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.engines.wan.name_table import NameTable
    from storage.connection import S3Options

STEM = "diffusion_pytorch_model"
FILE = f"transformer/{STEM}.safetensors"


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_wan(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def options(tiny: Path, tmp_path: Path) -> EngineOptions:
    return EngineOptions(weights=str(tiny), cache=str(tmp_path / "cache"), device="cpu")


def published(path: Path, table: NameTable) -> dict[str, Tensor]:
    return {table.published(name) or name: tensor for name, tensor in load_file(path).items()}


def state_of(options: EngineOptions) -> dict[str, Tensor]:
    engine: Any = load_engine(options)
    state: dict[str, Tensor] = transformer_of(engine).state_dict()
    return state


def same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def local(options: EngineOptions, **kwargs: Any) -> EngineOptions:
    return EngineFiles(options=options, **kwargs).local()


def test_a_diffusers_folder_is_taken_as_it_is(options: EngineOptions, tmp_path: Path) -> None:
    assert local(options) == options
    assert not (tmp_path / "cache").exists()
    assert local(EngineOptions()) == EngineOptions()
    gaussian = EngineOptions(name="gaussian")
    assert local(gaussian) == gaussian


def test_relative_paths_are_made_absolute_where_the_user_is(
    options: EngineOptions, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny.parent)
    files = EngineFiles(options=replace(options, weights=tiny.name))
    monkeypatch.chdir("/")
    assert pickle.loads(pickle.dumps(files)).local() == options


def test_one_file_goes_on_top_of_its_base(
    options: EngineOptions, tiny: Path, tmp_path: Path
) -> None:
    tuned = {k: v * 1.5 for k, v in published(tiny / FILE, TRANSFORMER).items()}
    file = tmp_path / "tuned.pt"
    torch.save({"generator_ema": {f"model.{k}": v for k, v in tuned.items()}}, file)
    found = local(replace(options, weights=str(file), base=str(tiny)))
    expected = {k: v * 1.5 for k, v in load_file(tiny / FILE).items()}
    assert same(state_of(found), expected)
    before, after = read_spec(options), read_spec(found)
    assert before.weights_digest != after.weights_digest
    assert replace(before, weights_digest="") == replace(after, weights_digest="")
    with pytest.raises(WeightsError, match=r"tuned\.pt: one file, expected engine\.base too"):
        local(replace(options, weights=str(file)))
    with pytest.raises(WeightsError, match=r"nothing\.pt: no such file or folder"):
        local(replace(options, weights=str(tmp_path / "nothing.pt"), base=str(tiny)))
    with pytest.raises(WeightsError, match=r"has no transformer_2"):
        local(replace(options, weights=str(file), base=str(tiny), weights_2=str(file)))


def original_folder(tiny: Path, folder: Path) -> Path:
    """A tiny checkpoint as the original repositories lay theirs out."""
    (folder / "google").mkdir(parents=True)
    save_file(published(tiny / FILE, TRANSFORMER), folder / f"{STEM}-00001-of-00001.safetensors")
    names = published(tiny / FILE, TRANSFORMER)
    index = {"weight_map": dict.fromkeys(names, f"{STEM}-00001-of-00001.safetensors")}
    (folder / f"{STEM}.safetensors.index.json").write_text(json.dumps(index))
    sizes = {"dim": 24, "ffn_dim": 48, "freq_dim": 32, "in_dim": 16, "num_heads": 2}
    config = {"_class_name": "WanModel", "model_type": "t2v", "num_layers": 2, "out_dim": 16}
    (folder / "config.json").write_text(json.dumps(config | sizes | {"eps": 1e-6, "text_len": 512}))
    vae = vae_names(JsonFile.read(tiny / "vae" / "config.json"))
    torch.save(published(tiny / "vae" / f"{STEM}.safetensors", vae), folder / "Wan2.1_VAE.pth")
    text = published(tiny / "text_encoder" / "model.safetensors", TEXT_ENCODER)
    torch.save(text, folder / "models_t5_umt5-xxl-enc-bf16.pth")
    shutil.copytree(tiny / "tokenizer", folder / "google" / "umt5-xxl")
    shutil.copy(tiny / "nightreel.json", folder)
    return folder


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint whose autoencoder has the published number of levels and parts."""
    from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

    folder = make_tiny_wan(tmp_path_factory.mktemp("wide"))
    shutil.rmtree(folder / "vae")
    AutoencoderKLWan(base_dim=4).save_pretrained(folder / "vae")
    return folder


def test_a_folder_of_the_original_repositories(
    options: EngineOptions, wide: Path, tmp_path: Path
) -> None:
    found = local(replace(options, weights=str(original_folder(wide, tmp_path / "original"))))
    plain, ours = (load_engine(replace(options, weights=str(w))) for w in (wide, found.weights))
    prompts = ["a red ball", "rain"]
    for before, after in zip(
        plain.encode_prompts(prompts), ours.encode_prompts(prompts), strict=True
    ):
        assert torch.equal(before, after)
    latents = torch.randn(3, 16, 4, 4, generator=torch.Generator().manual_seed(0))
    for before, after in zip(
        plain.stream_decoder().push(latents), ours.stream_decoder().push(latents), strict=True
    ):
        assert (before == after).all()
    assert same(state_of(found), load_file(wide / FILE))
    assert ours.spec.flow_shift == 5.0
    shutil.rmtree(tmp_path / "original" / "google")
    (tmp_path / "original" / "Wan2.1_VAE.pth").unlink()
    with pytest.raises(WeightsError, match="original: got no vae, tokenizer, expected them there"):
        local(replace(options, weights=str(tmp_path / "original")))
    with_base = replace(options, weights=str(tmp_path / "original"), base=str(wide))
    assert same(state_of(local(with_base)), load_file(wide / FILE))
    with pytest.raises(WeightsError, match="got neither model_index"):
        local(replace(options, weights=str(tmp_path)))


def test_loras_are_merged_and_recorded_in_the_digest(
    options: EngineOptions, tiny: Path, tmp_path: Path
) -> None:
    name = "transformer.blocks.0.attn1.to_q"
    down, up = torch.ones(2, 24), torch.ones(24, 2)
    tensors = {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}
    save_file(tensors, tmp_path / "one.safetensors")
    lora = LoraOptions(path=str(tmp_path / "one.safetensors"), scale=0.25)
    found = local(replace(options, loras=[lora]))
    expected = load_file(tiny / FILE)
    expected["blocks.0.attn1.to_q.weight"] += 0.25 * 2
    assert same(state_of(found), expected)
    digests = {read_spec(found).weights_digest, read_spec(options).weights_digest}
    for other in ([replace(lora, scale=0.5)], [lora, lora]):
        digests.add(read_spec(local(replace(options, loras=other))).weights_digest)
    save_file({k: v + 1 for k, v in tensors.items()}, tmp_path / "one.safetensors")
    digests.add(read_spec(local(replace(options, loras=[lora]))).weights_digest)
    assert len(digests) == 5
    with pytest.raises(WeightsError, match="low-noise expert, expected two experts"):
        local(replace(options, loras=[replace(lora, expert="low")]))
    with pytest.raises(WeightsError, match=r"no\.pt: no such file, expected a LoRA"):
        local(replace(options, loras=[replace(lora, path=str(tmp_path / "no.pt"))]))


def test_a_lora_on_the_embedded_model_leaves_it_alone(tmp_path: Path) -> None:
    save_file({"proj_out.diff_b": torch.zeros(1)}, tmp_path / "x.safetensors")
    lora = LoraOptions(path=str(tmp_path / "x.safetensors"))
    found = local(EngineOptions(loras=[lora], cache=str(tmp_path / "cache")))
    assert read_spec(found).weights_digest != read_spec(EngineOptions()).weights_digest
    assert not (EngineOptions().folder / "transformer" / "loras.json").exists()


@pytest.fixture
def bucket(tiny: Path, moto_bucket: str, moto_options: S3Options) -> str:
    store = open_store(f"s3://{moto_bucket}/models/tiny", s3=moto_options)
    for path in sorted(tiny.rglob("*")):
        if path.is_file():
            store.put_file(path.relative_to(tiny).as_posix(), path)
    return moto_bucket


def test_a_bucket_is_fetched_once_and_again_when_it_changes(
    options: EngineOptions, tiny: Path, bucket: str, moto_options: S3Options
) -> None:
    remote = replace(options, weights=f"s3://{bucket}/models/tiny")
    found = local(remote, s3=moto_options)
    assert read_spec(found) == read_spec(options)
    file = Path(found.weights) / FILE
    before = file.stat()
    assert local(remote, s3=moto_options) == found
    assert (file.stat().st_mtime_ns, file.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    whole = json.loads((Path(found.weights).parent / "whole.json").read_text())
    assert whole[FILE][0] == (tiny / FILE).stat().st_size
    file.write_bytes(b"cut off")
    assert local(remote, s3=moto_options) == found
    assert file.stat().st_size == before.st_size
    store = open_store(f"s3://{bucket}/models/tiny", s3=moto_options)
    store.put_bytes("nightreel.json", b'{"fps": 8}', overwrite=True)
    changed = local(remote, s3=moto_options)
    assert changed.weights != found.weights
    assert (read_spec(changed).fps, read_spec(found).fps) == (8.0, 16.0)


def test_one_object_of_a_bucket(
    options: EngineOptions, tiny: Path, bucket: str, moto_options: S3Options
) -> None:
    uri = f"s3://{bucket}/models/tiny/{FILE}"
    found = local(replace(options, weights=uri, base=str(tiny)), s3=moto_options)
    assert same(state_of(found), load_file(tiny / FILE))
    for missing in (f"s3://{bucket}/models/tin", f"s3://{bucket}/nothing/{FILE}"):
        with pytest.raises(WeightsError, match="no such object, and none under that prefix"):
            local(replace(options, weights=missing), s3=moto_options)


def test_actors_that_start_together_fetch_once(
    bucket: str, moto_options: S3Options, tmp_path: Path
) -> None:
    cache = WeightsCache(folder=tmp_path / "cache", s3=moto_options)

    def fetch(_: int) -> tuple[Path, int]:
        path = cache.fetch(f"s3://{bucket}/models/tiny")
        return path, (path / FILE).stat().st_ino

    with ThreadPoolExecutor(3) as pool:
        assert len(set(pool.map(fetch, range(3)))) == 1


def test_what_an_actor_is_handed_fetches_what_it_loads(
    options: EngineOptions, tiny: Path, bucket: str, moto_options: S3Options, tmp_path: Path
) -> None:
    files = EngineFiles(
        options=replace(
            options, weights=f"s3://{bucket}/models/tiny/{FILE}", base=f"s3://{bucket}/models/tiny"
        ),
        s3=moto_options,
    )
    assert same(state_of(pickle.loads(pickle.dumps(files)).local()), load_file(tiny / FILE))
    assert len([*(tmp_path / "cache" / "weights").glob("*/whole.json")]) == 2


def test_a_lock_is_not_waited_for_without_end(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "x.lock"),
        pytest.raises(StoreUnavailableError, match=r"x\.lock: another process"),
        locked(tmp_path / "x.lock", timeout_s=0.2),
    ):
        pass
    with locked(tmp_path / "x.lock", timeout_s=0.0):
        pass


def test_a_hub_is_asked_only_by_name_and_may_be_away(tmp_path: Path) -> None:
    cache = WeightsCache(folder=tmp_path, hub_endpoint="http://127.0.0.1:9")
    with pytest.raises(StoreUnavailableError, match="hf://someone/wan: "):
        cache.fetch("hf://someone/wan")
    with pytest.raises(WeightsError, match="hf://not/a/name: "):
        cache.fetch("hf://not/a/name")
    snapshot = tmp_path / "hub" / "models--someone--wan" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "model_index.json").write_text("{}")
    assert cache.fetch(f"hf://someone/wan@{'0' * 40}") == snapshot
