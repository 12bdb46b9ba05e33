"""Files and overrides are read as what they look like, and never reach outside their own text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobs.config import load_config
from jobs.settings import JobConfig
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def yaml_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        "engine:\n  weights: ${oc.env:HOME}\n",
        'engine:\n  weights: "\\x24{oc.env:HOME}"\n',
        "engine:\n  weights: >-\n    a\n    ${oc.env:HOME}\n",
        "engine: {weights: '${ray.address}'}\n",
        "${oc.env:HOME}: 1\n",
        "preset: ${oc.env:HOME}\n",
    ],
)
def test_interpolation_in_a_file_is_refused(tmp_path: Path, text: str) -> None:
    path = yaml_file(tmp_path, text)
    with pytest.raises(ConfigError, match=r"job\.yaml, line \d: '\$\{' is not allowed"):
        load_config(files=[path])


@pytest.mark.parametrize(
    "override",
    [
        "engine.weights=${oc.env:HOME}",
        'engine.weights="\\x24{oc.env:HOME}"',
        "engine={weights: '${oc.env:HOME}'}",
        "${oc.env:HOME}=1",
    ],
)
def test_interpolation_in_an_override_is_refused(override: str) -> None:
    with pytest.raises(ConfigError, match=r"'\$\{' is not allowed"):
        load_config(overrides=[override])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b\n", "the whole is a list; only engine.loras is one"),
        ("just words\n", "got str, expected keys and values"),
        ("defaults: [1, 2]\n", "defaults is a list"),
        ("a: b: c\n", "not valid YAML"),
        ("ray: {num_cpus: 1}\nray: {num_cpus: 2}\n", "line 2: ray stands here and in line 1"),
        ("ray: &a {num_cpus: 1}\ngang: *a\n", r"aliases \(\*name\) are not allowed"),
        ("ray: !!python/object:os.system {}\n", "not valid YAML"),
        ("{[a]: 1}\n", "a key is a word, not a section"),
    ],
)
def test_what_is_no_configuration_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = yaml_file(tmp_path, text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(files=[path])
    assert str(path) in str(caught.value)


def test_files_that_can_not_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: can't read .*: No such file"):
        load_config(files=[tmp_path / "none.yaml"])
    with pytest.raises(ConfigError, match=r"can't read .*: Is a directory"):
        load_config(files=[tmp_path])
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"binary\.yaml: not UTF-8 text"):
        load_config(files=[tmp_path / "binary.yaml"])
    with pytest.raises(ConfigError, match="expected at most 1048576"):
        load_config(files=[yaml_file(tmp_path, "#" * 2_000_000)])


def test_an_empty_file_sets_nothing(tmp_path: Path) -> None:
    assert load_config(files=[yaml_file(tmp_path, "# nothing yet\n")]) == JobConfig()


@pytest.mark.parametrize("override", ["boundary.mode", "=halo", "boundary..mode=halo", ""])
def test_overrides_that_are_none_are_named(override: str) -> None:
    with pytest.raises(ConfigError, match=r"expected key=value, such as boundary\.mode=halo"):
        load_config(overrides=[override])


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", ""), ("fog, rain", "fog, rain"), ('"a: b"', "a: b"), ("on", "on"), ("12:30", "12:30")],
)
def test_texts_stay_texts(text: str, expected: str) -> None:
    config = load_config(overrides=[f"defaults.negative_prompt={text}"])
    assert config.defaults.negative_prompt == expected


def test_words_of_yaml_1_1_stay_words(tmp_path: Path) -> None:
    path = yaml_file(tmp_path, "store: {conditional_writes: on}\ndefaults: {retime: yes}\n")
    config = load_config(files=[path])
    assert (config.store.conditional_writes, config.defaults.retime) == ("on", True)


def test_null_unsets() -> None:
    overrides = ["defaults.seed=7", "defaults.seed=null", "encode.crf=1e1"]
    config = load_config(overrides=overrides)
    assert (config.defaults.seed, config.encode.crf) == (None, 10.0)
