"""Where settings come from: a preset, a YAML file or a ``key=value`` override, each with its place.

Read as YAML 1.2, so that ``on``, ``off`` and ``12:30`` are the words that they look like. A value
never reaches outside its own text: ``${...}``, which OmegaConf would resolve to environment
variables among others, is refused, however it is spelt.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import yaml

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable
    from pathlib import Path

# Far beyond any configuration, far below what hurts.
MAX_FILE_BYTES = 1 << 20

_INTERPOLATION = "${"

# Settings that are lists of sections.
LISTS = frozenset({"engine.loras"})

# What a preset writes where only the user knows the value.
OPEN = "???"


@dataclass(frozen=True, slots=True)
class ConfigLayer:
    """Settings from one place.

    Attributes:
        origin: the place, as a person knows it.
        values: the settings, nested as they are in ``JobConfig``.
        lines: line numbers of the settings, by dotted key, where the place has lines.
    """

    origin: str
    values: dict[str, Any]
    lines: dict[str, int] = field(default_factory=dict)

    def place_of(self, key: str) -> str:
        """The origin, with the line where there is one."""
        line = self.lines.get(key)
        return self.origin if line is None else f"{self.origin}, line {line}"


def preset_names() -> tuple[str, ...]:
    """Names of the presets that come with the package."""
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in _preset_files()))


def preset_layer(name: str) -> ConfigLayer:
    """A preset that comes with the package.

    Raises:
        ConfigError: there is none of that name.
    """
    for entry in _preset_files():
        if entry.name == f"{name}.yaml":
            return _parse(f"preset {name}", entry.read_text(encoding="utf-8"))
    close = get_close_matches(name, preset_names(), n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(preset_names())}"
    raise ConfigError(f"no preset {name!r}; {hint}")


def file_layer(path: Path) -> ConfigLayer:
    """A YAML file.

    Raises:
        ConfigError: it can't be read, is no YAML mapping, repeats a key or interpolates.
    """
    try:
        size_bytes = path.stat().st_size
        if size_bytes > MAX_FILE_BYTES:
            raise ConfigError(f"{path}: {size_bytes} bytes, expected at most {MAX_FILE_BYTES}")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path}: can't read this configuration file: {error.strerror}"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text ({error.reason})") from error
    return _parse(str(path), text)


def override_layer(override: str) -> ConfigLayer:
    """One ``key=value``, its value written as in YAML; nothing after ``=`` is the empty text.

    Raises:
        ConfigError: it is not of that form, or interpolates.
    """
    origin = f"override {override!r}"
    key, separator, text = override.partition("=")
    parts = key.strip().split(".")
    if not separator or not all(parts):
        raise ConfigError(f"{origin}: expected key=value, such as boundary.mode=halo")
    value = _construct(origin, text, section=key.strip()) if text.strip() else ""
    if _INTERPOLATION in key:
        raise _interpolation(origin)
    for part in reversed(parts):
        value = {part: value}
    assert isinstance(value, dict)
    return ConfigLayer(origin, value)


def _preset_files() -> Iterator[Traversable]:
    for entry in (files("jobs") / "presets").iterdir():
        if entry.name.endswith(".yaml"):
            yield entry


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML 1.2's core schema: what is not plainly null, boolean or a number is text."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012 - filled below


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first
    )


def _parse(origin: str, text: str) -> ConfigLayer:
    lines: dict[str, int] = {}
    values = _construct(origin, text, lines)
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise ConfigError(f"{origin}: got {type(values).__name__}, expected keys and values")
    return ConfigLayer(origin, values, lines)


def _construct(
    origin: str, text: str, lines: dict[str, int] | None = None, section: str = ""
) -> Any:
    try:
        loader = _Loader(text)
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, _Loader)):
            raise ConfigError(f"{origin}: aliases (*name) are not allowed: write the value itself")
        node = loader.get_single_node()
        if node is None:
            return None
        _inspect(node, origin, section, {} if lines is None else lines)
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ConfigError(f"{origin}: not valid YAML: {_one_line(error)}") from error


def _inspect(node: yaml.Node, origin: str, key: str, lines: dict[str, int]) -> None:
    """Note the line of every key, and refuse what has no business in a configuration."""
    line = node.start_mark.line + 1
    if isinstance(node, yaml.ScalarNode):
        if _INTERPOLATION in node.value:
            raise _interpolation(f"{origin}, line {line}")
    elif isinstance(node, yaml.SequenceNode):
        if key not in LISTS:
            raise ConfigError(
                f"{origin}, line {line}: {key or 'the whole'} is a list; only "
                f"{', '.join(sorted(LISTS))} is one"
            )
        for item in node.value:
            _inspect(item, origin, "", {})
    else:
        for name, value in node.value:
            _inspect_setting(name, value, origin, key, lines)


def _inspect_setting(
    name: yaml.Node, value: yaml.Node, origin: str, section: str, lines: dict[str, int]
) -> None:
    line = name.start_mark.line + 1
    if not isinstance(name, yaml.ScalarNode):
        raise ConfigError(f"{origin}, line {line}: a key is a word, not a section")
    _inspect(name, origin, section, lines)
    full_key = f"{section}.{name.value}" if section else str(name.value)
    if full_key in lines:
        raise ConfigError(
            f"{origin}, line {line}: {full_key} stands here and in line {lines[full_key]}"
        )
    lines[full_key] = line
    _inspect(value, origin, full_key, lines)


def _interpolation(place: str) -> ConfigError:
    return ConfigError(
        f"{place}: '{_INTERPOLATION}' is not allowed, since settings are not resolved: "
        "write the value itself"
    )


def _one_line(error: yaml.YAMLError) -> str:
    return " ".join(str(error).split())
