"""What holds for the tree as a whole, and would otherwise rot."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from typer.main import get_command

from jobs import demo
from jobs.cli import app
from jobs.config import load_config
from jobs.layers import preset_names
from pipeline.errors import ConfigError

ROOT = Path(__file__).parents[2]
PACKAGES = ("pipeline", "actors", "storage", "jobs")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
ALL_SOURCES = sorted(
    path for folder in (*PACKAGES, "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")
)
MAX_LINES = 400
CLOCKS = {
    *("time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns"),
    *("time.perf_counter", "time.perf_counter_ns", "time.process_time"),
    *("datetime.now", "datetime.utcnow", "datetime.today", "date.today"),
    *("datetime.datetime.now", "datetime.date.today"),
}


def dotted_names(path: Path) -> set[str]:
    """Every dotted name that a file uses, and every name that it imports from a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_imports_point_in_one_direction() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_are_those_of_this_checkout_and_explain_themselves(package: str) -> None:
    folder = ROOT / package
    assert importlib.import_module(package).__file__ == str(folder / "__init__.py")
    assert (folder / "README.md").is_file()
    assert (folder / "py.typed").is_file()


def test_nothing_below_jobs_reads_the_environment() -> None:
    below = [path for path in SOURCES if path.relative_to(ROOT).parts[0] != "jobs"]
    readers = [
        str(path.relative_to(ROOT))
        for path in below
        if dotted_names(path) & {"os.environ", "os.getenv", "os.environb"}
    ]
    assert readers == []


def test_rendering_knows_no_clock() -> None:
    readers = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path.is_relative_to(ROOT / "pipeline") and dotted_names(path) & CLOCKS
    ]
    assert readers == []


def test_no_file_is_too_long_to_read() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in ALL_SOURCES
    }
    assert {name: length for name, length in lengths.items() if length >= MAX_LINES} == {}


def test_every_dependency_is_pinned_to_a_version_that_it_allows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        wanted += extra
    pins = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            name, version = line.split(";")[0].strip().split("==")
            pins[canonicalize_name(name)] = Version(version)
    assert pins[canonicalize_name("torch")] == Version("2.13.0")
    for text in wanted:
        requirement = Requirement(text)
        pinned = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pinned), f"{text}, pinned to {pinned}"


def test_the_example_is_what_the_program_would_write() -> None:
    table = pq.read_table(ROOT / "examples" / "demo.parquet")
    assert table.schema.equals(demo.SCHEMA)
    rows = [{k: v for k, v in row.items() if v is not None} for row in table.to_pylist()]
    assert rows == list(demo.ROWS)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_and_asks_for_nothing_but_weights(name: str) -> None:
    if "???" in (ROOT / "jobs" / "presets" / f"{name}.yaml").read_text(encoding="utf-8"):
        with pytest.raises(ConfigError, match=r"engine\.weights: .* set engine\.weights=\.\.\."):
            load_config(preset=name)
        config = load_config(preset=name, overrides=["engine.weights=/weights"])
        assert config.engine.weights == "/weights"
    else:
        load_config(preset=name)


def test_the_readme_names_every_command_and_every_preset() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert [name for name in commands if f"nightreel {name}" not in readme] == []
    named = set(re.findall(r"--preset ([\w.-]+)", readme))
    assert named <= set(preset_names())


def test_the_readme_s_commands_are_understood() -> None:
    """Every option of ``nightreel`` that stands in the README exists."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = get_command(app).commands  # type: ignore[attr-defined]
    for line in re.findall(r"^\S*nightreel (\w.*)$", readme, flags=re.MULTILINE):
        name, *words = line.split("  #")[0].split()
        command = commands[name]
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word.split("=")[0] for word in words if word.startswith("-")} <= known, line
