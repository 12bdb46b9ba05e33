"""Settings are merged in order, checked by name and place, and frozen."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import FrozenInstanceError, asdict, fields, is_dataclass, replace
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from jobs.config import canonical, config_hash, load_config
from jobs.engines import engines_table
from jobs.flat_settings import flat_settings
from jobs.layers import preset_layer, preset_names
from jobs.settings import JobConfig
from jobs.store_settings import load_store_options
from pipeline.encoding.encode_options import EncodeOptions
from pipeline.engines import gaussian
from pipeline.engines.registry import LoraOptions
from pipeline.engines.wan.architectures import ARCHITECTURES, Architecture
from pipeline.errors import ConfigError
from pipeline.request import VideoDefaults, VideoSpec, resolve

if TYPE_CHECKING:
    from pathlib import Path


def yaml_file(tmp_path: Path, text: str, name: str = "job.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_nothing_set_is_the_defaults() -> None:
    assert load_config() == JobConfig()


def test_later_places_win(tmp_path: Path) -> None:
    first = yaml_file(
        tmp_path,
        "encode: {crf: 20, codec: libx265}\ndefaults:\n  width: 640\n  height: 320\n",
        "first.yaml",
    )
    second = yaml_file(tmp_path, "encode:\n  crf: 21\n", "second.yaml")
    config = load_config(
        preset="wan2.1-t2v-1.3b",
        files=[first, second],
        overrides=["engine.weights=/weights", "defaults.height=384", "encode.crf=22"],
    )
    assert config.engine.dtype == "bfloat16"
    assert (config.defaults.width, config.defaults.height) == (640, 384)
    assert config.encode == EncodeOptions(codec="libx265", crf=22)
    assert config.boundary == JobConfig().boundary


def test_a_file_may_name_its_preset_and_the_caller_wins(tmp_path: Path) -> None:
    path = yaml_file(tmp_path, "preset: gaussian\ngang: {actors: 3}\n")
    assert load_config(files=[path]).engine.name == "gaussian"
    assert load_config(files=[path], preset="embedded").engine.name == "wan"


def test_everything_is_frozen_and_sectioned() -> None:
    config = load_config()
    for section in fields(config):
        value = getattr(config, section.name)
        assert is_dataclass(value)
        name = fields(value)[0].name
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, None)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("boundary.mod=halo", "boundary.mod: unknown key; did you mean boundary.mode?"),
        ("bundary.mode=halo", "did you mean boundary.mode?"),
        ("halo_latent_frames=3", "did you mean boundary.halo_latent_frames?"),
        ("gang.whatever=3", "gang has actors, "),
        ("zzz=3", "there are boundary, checkpoint, decode, defaults, encode, engine"),
        ("boundary=halo", "boundary = 'halo': expected a section with halo_latent_frames, mode"),
        ("engine.gaussian=3", "engine.gaussian = 3: expected a section with channels"),
        ("boundary.mode.x=1", "boundary.mode.x: unknown key"),
        ("gang.actors=many", "gang.actors: Value 'many' of type 'str'"),
        (
            "defaults.width=wide",
            "defaults.width: Value 'wide' of type 'str' could not be converted",
        ),
        ("defaults.retime=maybe", "defaults.retime: Value 'maybe'"),
        ("engine.dtype=int8", "engine.dtype: Invalid value 'int8', expected one of ['float32'"),
        (
            "engine.name=wam",
            "engine.name: Invalid value 'wam', expected one of ['wan', 'gaussian']",
        ),
        ("boundary.mode=halos", "boundary.mode: Invalid value 'halos', expected one of ['halo'"),
        ("boundary.halo_latent_frames=0", "boundary.halo_latent_frames = 0: expected at least 1"),
        ("noise.shared_dc=1.5", "noise.shared_dc = 1.5: expected 0 <= shared_dc < 1"),
        ("noise.shared_dc=.nan", "noise.shared_dc = nan: expected"),
        ("prompts.transition_s=-1", "prompts.transition_s = -1.0: expected"),
        ("encode.crf=70", "encode.crf = 70.0: libx264 takes 0 (best) to 51"),
        ("encode.codec=mpeg4", "encode.codec: Invalid value 'mpeg4', expected one of ['libx264'"),
        ("gang.actors=-1", "gang.actors = -1: expected"),
        ("gang.steps_ahead=3", "gang.steps_ahead = 3: expected 1 or 2"),
        ("defaults.duration_s=.inf", "defaults.duration_s = inf: expected a positive finite"),
        ("defaults.duration_s=0", "defaults.duration_s = 0.0: expected a positive finite"),
        ("defaults.width=0", "defaults.width = 0: expected at least 1"),
        ("defaults.num_inference_steps=0", "defaults.num_inference_steps = 0: expected at least 1"),
        ("defaults.guidance_scale=-1", "defaults.guidance_scale = -1.0: expected a finite number"),
        ("defaults.flow_shift=0", "defaults.flow_shift = 0.0: expected a positive finite number"),
        ("defaults.seed=-1", "defaults.seed = -1: expected 0 to 9223372036854775807"),
        ("ray.num_cpus=0", "ray.num_cpus = 0: expected at least 1"),
        ("ray.object_store_memory_bytes=1000", "expected at least 78643200"),
        ("ray.namespace=", "ray.namespace = '': expected a name"),
        ("engine.weights=https://x/y", "scheme 'https://' is not known"),
        ("engine.weights=s3://_/y", "can't be a bucket name"),
        ("engine.base=/base", "engine.base = '/base': expected engine.weights too"),
        ("engine.loras=/x.pt", "engine.loras: Invalid value assigned"),
        ("engine.loras=[{pth: x}]", "pth: Key 'pth' not in 'LoraOptions'"),
        ("engine.loras=[{path: ''}]", "engine.loras = '': expected the path of a LoRA"),
        ("engine.loras=[{path: x, scale: .inf}]", "engine.loras = inf: expected a finite scale"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(overrides=["encode.threads=2", override])
    assert message in str(caught.value)
    assert str(caught.value).endswith(f"(override {override!r})")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["engine.name=gaussian", "engine.weights=/w"], "engine 'gaussian' has no weights"),
        (["ray.address=auto", "ray.num_cpus=2"], "ray.num_cpus = 2: a running cluster"),
        (["encode.codec=libsvtav1", "encode.pixel_format=yuv444p"], "libsvtav1 writes yuv420p"),
    ],
)
def test_values_that_do_not_fit_together_are_named(overrides: list[str], message: str) -> None:
    load_config(overrides=overrides[:1])
    with pytest.raises(ConfigError, match=message):
        load_config(overrides=overrides)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[{path: '${x}'}]", "'${' is not allowed"),
        ("[{path: x, path: y}]", "path stands here and in line 1"),
        ("[[x]]", "is a list"),
    ],
)
def test_lists_are_read_as_strictly_as_the_rest(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(overrides=[f"engine.loras={text}"])
    assert message in str(caught.value)


def test_loras_are_a_list_that_survives_every_form(tmp_path: Path) -> None:
    path = yaml_file(
        tmp_path, "engine:\n  weights: s3://bucket/w\n  loras:\n  - {path: /l.pt, scale: 0.5}\n"
    )
    config = load_config(files=[path])
    assert config.engine.loras == [LoraOptions(path="/l.pt", scale=0.5)]
    assert load_config(overrides=flat_settings(config)) == config
    assert config_hash(config) != config_hash(
        load_config(overrides=["engine.weights=s3://bucket/w"])
    )


def test_file_and_line_are_named(tmp_path: Path) -> None:
    path = yaml_file(tmp_path, "# a job\nboundary:\n  shift: true\n  mod: halo\n")
    with pytest.raises(ConfigError) as caught:
        load_config(files=[path])
    expected = f"boundary.mod: unknown key; did you mean boundary.mode? ({path}, line 4)"
    assert str(caught.value) == expected


def test_an_overridden_mistake_is_none(tmp_path: Path) -> None:
    path = yaml_file(tmp_path, "defaults: {width: 0}\n")
    assert load_config(files=[path], overrides=["defaults.width=64"]).defaults.width == 64


def test_presets_are_listed_and_missing_ones_named() -> None:
    assert {"embedded", "gaussian", "wan2.1-t2v-1.3b", "wan2.1-t2v-14b"} <= set(preset_names())
    with pytest.raises(ConfigError, match=r"no preset 'gausian'; did you mean 'gaussian'\?"):
        load_config(preset="gausian")
    with pytest.raises(ConfigError, match=r"no preset '\.\./config'; there are embedded, "):
        load_config(preset="../config")


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_valid(name: str) -> None:
    layer = preset_layer(name)
    is_open = "???" in str(layer.values)
    config = load_config(preset=name, overrides=["engine.weights=/weights"] if is_open else [])
    defaults = config.defaults
    for size in (defaults.width, defaults.height):
        assert size is None or size % 16 == 0


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_presets_of_published_models_leave_the_weights_to_the_user(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(preset=name)
    message = str(caught.value)
    assert message.startswith(f"engine.weights: preset {name}, line ")
    assert message.endswith("leaves this to you; set engine.weights=...")


@pytest.mark.parametrize(("name", "model"), ARCHITECTURES.items())
def test_published_settings(name: str, model: Architecture) -> None:
    config = load_config(preset=name, overrides=["engine.weights=/w"])
    defaults = config.defaults
    assert config.engine.architecture == name
    assert (defaults.width, defaults.height) == (model.width, model.height)
    assert defaults.num_inference_steps == model.num_inference_steps
    assert defaults.flow_shift == model.flow_shift
    # Of two experts each has its own, which only the model itself can say.
    pair = model.guidance_scale_2 is not None
    assert defaults.guidance_scale == (None if pair else model.guidance_scale)
    assert defaults.negative_prompt.startswith("Bright tones, overexposed, static, ")
    assert "  " not in defaults.negative_prompt


def test_engines_lists_every_preset_with_what_is_published() -> None:
    console = Console(width=200, file=io.StringIO())
    console.print(engines_table())
    assert isinstance(console.file, io.StringIO)
    lines = {
        line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[1:-1]]
        for line in console.file.getvalue().splitlines()
        if line.startswith("│")
    }
    assert set(lines) == set(preset_names())
    assert lines["wan2.2-t2v-a14b"][1:9] == [
        *("wan", "1280x720", "16", "21 latent frames", "40", "4 / 3", "12", "2")
    ]
    assert lines["wan2.2-ti2v-5b"][2:5] == ["1280x704", "24", "31 latent frames"]
    assert lines["embedded"][8] == "1"


def test_preset_defaults_reach_a_request() -> None:
    config = load_config(preset="gaussian", overrides=["defaults.duration_s=2", "defaults.seed=3"])
    engine = gaussian.spec(config.engine.gaussian)
    request = resolve(VideoSpec(id="a", prompt="fog"), config.defaults, engine)
    assert (request.num_frames, request.seed) == (32, 3)


def test_canonical_is_plain_and_complete() -> None:
    config = load_config(overrides=["gang.actors=3"])
    plain = canonical(config)
    assert json.loads(json.dumps(plain)) == plain == asdict(config)


def test_hash_is_of_the_values_alone(tmp_path: Path) -> None:
    path = yaml_file(tmp_path, "encode: {crf: 20.0}\n")
    assert config_hash(load_config(files=[path])) == config_hash(
        load_config(overrides=["encode.crf=20"])
    )
    assert config_hash(load_config()) != config_hash(load_config(overrides=["encode.crf=20"]))


@pytest.mark.slow
def test_hash_is_the_same_in_another_process() -> None:
    code = "from jobs.config import *; import sys; sys.stdout.write(config_hash(load_config()))"
    answer = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert answer.stdout == config_hash(load_config())


def test_defaults_can_be_replaced_in_code() -> None:
    config = replace(JobConfig(), defaults=VideoDefaults(duration_s=5))
    assert config.defaults.duration_s == 5
    with pytest.raises(ConfigError):
        replace(JobConfig(), defaults=VideoDefaults(duration_s=-5))


def test_the_store_s_settings_alone_are_those_of_the_whole(tmp_path: Path) -> None:
    """Every layer counts, and not only the last."""
    file = tmp_path / "store.yaml"
    file.write_text("store: {region: eu-west-3, max_attempts: 3}\ngang: {actors: 2}\n")
    overrides = ['store.endpoint_url="http://127.0.0.1:1"', "store.max_attempts=4"]
    alone = load_store_options(files=[file], overrides=overrides)
    assert alone == load_config(files=[file], overrides=overrides).store
    assert (alone.endpoint_url, alone.region) == ("http://127.0.0.1:1", "eu-west-3")
    assert alone.max_attempts == 4
