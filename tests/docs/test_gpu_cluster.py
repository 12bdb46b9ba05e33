"""Image, constraints, cluster example and the operator's page agree, and what they say works.

No Docker here: the Dockerfile is read, not built.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.utils import canonicalize_name
from typer.testing import CliRunner

from jobs.cli import app
from jobs.layers import preset_names
from pipeline.engines.registry import EngineOptions
from pipeline.engines.wan.architectures import ARCHITECTURES

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PAGE = (ROOT / "jobs" / "operating.md").read_text()
CACHE = "/home/ray/.cache/nightreel"
# The fields of RayClusterSpec and its groups that KubeRay 1.5.1 knows and the example may use
# (ray-project/kuberay, ray-operator/apis/ray/v1/raycluster_types.go).
CLUSTER_FIELDS = {"rayVersion", "authOptions", "headGroupSpec", "workerGroupSpecs"}
GROUP_FIELDS = {
    *("groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"),
}


def pins(name: str) -> dict[str, str]:
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    pairs = [line.split("==") for line in lines if "==" in line]
    return {canonicalize_name(package): version for package, version in pairs}


def instructions() -> list[tuple[str, str]]:
    """Instruction and arguments, in order, lines joined."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE, flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [
        (word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines) if word
    ]


def test_constraints_for_cuda_are_the_same_and_more() -> None:
    both, more = pins("constraints.txt"), pins("constraints-cuda.txt")
    assert "-c constraints.txt" in (ROOT / "constraints-cuda.txt").read_text().splitlines()
    assert more.keys().isdisjoint(both)
    assert all(name.startswith(("nvidia-", "cuda-", "triton")) for name in more)
    assert both["torch"] == "2.13.0"
    # Packages of one CUDA, the one that torch 2.13.0 asks for.
    assert more["cuda-toolkit"].startswith("13.0.")
    suffixes = {found.group() for name in more if (found := re.search(r"-cu\d+$", name))}
    assert suffixes == {"-cu13"}


def test_pip_understands_the_constraints_for_cuda() -> None:
    wanted = ["--dry-run", "--no-index", "--no-deps", "--constraint", "constraints-cuda.txt"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *wanted, "torch"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_the_image_is_ray_s_own_of_the_pinned_version() -> None:
    python = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    (base,) = [rest for word, rest in instructions() if word == "FROM"]
    version = pins("constraints.txt")["ray"]
    assert base == f"rayproject/ray:{version}-py{python.removeprefix('>=').replace('.', '')}-gpu"


def test_the_image_installs_with_the_constraints_and_never_as_root() -> None:
    words = instructions()
    users = [rest for word, rest in words if word == "USER"]
    assert users == ["ray"]
    assert words.index(("USER", "ray")) < min(i for i, (w, _) in enumerate(words) if w == "RUN")
    installs = [rest for word, rest in words if word == "RUN" and "pip install" in rest]
    assert len(installs) == 2
    assert all("--constraint constraints-cuda.txt" in each for each in installs)
    assert not re.search(r"(TOKEN|SECRET|PASSWORD|ACCESS_KEY)", DOCKERFILE)
    assert EngineOptions().cache == CACHE.replace("/home/ray", "~")
    assert ("VOLUME", CACHE) in words
    assert words[-2][1].endswith(f"mkdir -p {CACHE.removeprefix('/home/ray/')}")


def test_the_image_is_made_of_what_the_wheel_is_made_of_and_docker_is_shown_no_more() -> None:
    copied = [
        source for word, rest in instructions() if word == "COPY" for source in rest.split()[1:-1]
    ]
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = build["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    needed = {*packages, "pyproject.toml", build["project"]["readme"], "LICENSE"}
    assert set(copied) == needed | {"constraints.txt", "constraints-cuda.txt"}
    assert all((ROOT / source).exists() for source in copied)
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule.removeprefix("!") for rule in rules if rule.startswith("!")} == set(copied)
    assert any(fnmatch("pipeline/__pycache__", rule) for rule in rules[-1:])


def groups() -> list[dict[str, Any]]:
    spec = cluster()["spec"]
    return [spec["headGroupSpec"], *spec["workerGroupSpecs"]]


def cluster() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "examples" / "kuberay-cluster.yaml").read_text())
    return found


def test_the_cluster_example_is_what_kuberay_knows() -> None:
    found = cluster()
    assert (found["apiVersion"], found["kind"]) == ("ray.io/v1", "RayCluster")
    spec = found["spec"]
    assert set(spec) == CLUSTER_FIELDS
    assert spec["rayVersion"] == pins("constraints.txt")["ray"]
    assert spec["authOptions"] == {"mode": "token"}
    for group in groups():
        assert set(group) <= GROUP_FIELDS
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
    for group in spec["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_every_pod_has_room_for_weights_and_for_ray() -> None:
    for group in groups():
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        mounted = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
        volumes = {each["name"]: each for each in pod["volumes"]}
        assert volumes[mounted["/dev/shm"]]["emptyDir"]["medium"] == "Memory"
        assert "hostPath" in volumes[mounted[CACHE]]
        assert container["resources"]["requests"] == container["resources"]["limits"]
        (first,) = pod["initContainers"]
        assert first["image"] == container["image"]
        assert first["command"][-1] == CACHE
    limits = [each["template"]["spec"]["containers"][0]["resources"]["limits"] for each in groups()]
    gpus = [int(limit.get("nvidia.com/gpu", 0)) for limit in limits]
    assert gpus[0] == 0
    assert all(each > 0 for each in gpus[1:])


def test_the_page_s_links_and_presets_are_there() -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", PAGE)
    assert targets
    assert [each for each in targets if not (ROOT / "jobs" / each).exists()] == []
    assert set(re.findall(r"--preset ([\w.-]+)", PAGE)) <= set(preset_names())
    assert set(re.findall(r"`(wan2\.[\w.-]+)`", PAGE)) <= set(preset_names())


@pytest.mark.parametrize("name", ["wan2.1-t2v-1.3b", "wan2.1-t2v-14b", "wan2.2-ti2v-5b"])
def test_the_page_s_sizes_are_those_of_the_models(name: str) -> None:
    size = f"| `{name}` | {ARCHITECTURES[name].num_parameters * 2 / 1e9:.1f} GB |"
    assert size in PAGE


def test_the_page_s_estimate_is_what_the_command_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    shown = r"```sh\n(nightreel estimate ex.*?)```\n\n```\n(.*?)```"
    ((command, said),) = re.findall(shown, PAGE, flags=re.DOTALL)
    done = CliRunner().invoke(app, shlex.split(command)[1:])
    assert done.exit_code == 0, done.output
    assert done.output == said


def test_the_page_s_arithmetic() -> None:
    windows = int(re.findall(r"(\d+) windows x steps", PAGE)[0]) / 5
    assert f"a minute of film is {windows:.0f} windows x steps" in PAGE
    assert f"{windows * 20 / 50:.0f} at 20 steps" in PAGE
    row = r"^\| .*B, \d+x\d+ \| .* \| ([\d.]+) \| .* \| ([\d.]+) \| ([\d.]+) \|$"
    rows = re.findall(row, PAGE, flags=re.MULTILINE)
    assert len(rows) == 4
    for step_s, hours, minutes in (map(float, found) for found in rows):
        took_hours = windows * step_s / 3600
        assert hours == pytest.approx(took_hours, abs=0.06)
        assert minutes == pytest.approx(8 * 8 * 0.8 / took_hours, rel=0.015)
