"""Too little memory: a thriftier profile, the same film, and a sidecar that says so."""

from __future__ import annotations

import io
import json
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import pytest
import torch

from actors.failures import SegmentOutOfMemoryError
from jobs import studio
from jobs.config import load_config
from jobs.memory_retry import render_within_memory
from jobs.progress_log import LogProgress
from jobs.render import Job, render
from pipeline.engines.wan.checkpoint import Checkpoint
from pipeline.engines.wan.engine import WanEngine
from pipeline.engines.wan.estimator import Estimator
from pipeline.engines.wan.memory_estimate import GB
from pipeline.engines.wan.memory_profile import LADDER, PROFILES
from pipeline.errors import MemoryExceededError
from storage.engine_files import EngineFiles
from storage.open import StoreConfig
from tests.manifests import row, write
from tests.pipeline.engines.wan.wide_wan import HEIGHT_PX, WIDTH_PX, make_wide_wan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jobs.settings import JobConfig
    from pipeline.delivery import Delivered
    from pipeline.engines.registry import EngineOptions

WAN = load_config(overrides=["engine.name=wan"])
DELIVERED = cast("Delivered", object())


def enough_from(name: str, asked: list[str]) -> Callable[[JobConfig], Delivered]:
    """Renders with this profile and thriftier ones."""
    order = ["auto", *(profile.name for profile in LADDER)]

    def rendered(config: JobConfig) -> Delivered:
        asked.append(config.engine.profile)
        if order.index(config.engine.profile) < order.index(name):
            raise MemoryExceededError("CUDA out of memory", config.engine.profile)
        return DELIVERED

    return rendered


def test_profiles_are_tried_until_one_is_enough() -> None:
    asked: list[str] = []
    delivered, config = render_within_memory(enough_from("offloaded", asked), WAN, "clip")
    assert delivered is DELIVERED
    assert asked == ["auto", "text-freed", "in-turn", "offloaded"]
    assert config == replace(WAN, engine=replace(WAN.engine, profile="offloaded"))


def test_what_the_actor_had_counts_and_not_what_it_was_told() -> None:
    asked: list[str] = []

    def rendered(config: JobConfig) -> Delivered:
        asked.append(config.engine.profile)
        if len(asked) == 1:
            raise MemoryExceededError("CUDA out of memory", "in-turn")
        return DELIVERED

    render_within_memory(rendered, WAN, "clip")
    assert asked == ["auto", "offloaded"]


def test_the_thriftiest_and_an_engine_without_profiles_fail() -> None:
    def dies(config: JobConfig) -> Delivered:
        asked.append(config.engine.profile)
        raise SegmentOutOfMemoryError("3 processes died")

    asked: list[str] = []
    with pytest.raises(SegmentOutOfMemoryError, match="3 processes died"):
        render_within_memory(dies, WAN, "clip")
    assert asked == ["auto", *(profile.name for profile in LADDER[1:])]
    asked.clear()
    with pytest.raises(SegmentOutOfMemoryError):
        render_within_memory(dies, load_config(overrides=["engine.name=gaussian"]), "clip")
    assert asked == ["auto"]


class GreedyFiles(EngineFiles):
    """Engines that want a petabyte for a window unless they are told to be thrifty."""

    def local(self) -> EngineOptions:
        options = super().local()
        if options.profile in {"auto", "resident", "text-freed"}:

            def predict(*_: object) -> torch.Tensor:
                return torch.empty(1 << 50)

            WanEngine.predict = predict  # type: ignore[method-assign, assignment]
        return options


@dataclass(frozen=True)
class Film:
    """What became of a row."""

    crc32: Any
    memory: Any


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_wide_wan(tmp_path_factory.mktemp("wide_wan"), "2.2-a14b")


def films(folder: Path, root: Path, *overrides: str, ids: tuple[str, ...] = ("a",)) -> list[Film]:
    size = {"width": WIDTH_PX, "height": HEIGHT_PX}
    rows = [row(video_id, num_frames=33, **size) for video_id in ids]
    usual = [
        *("engine.name=wan", f"engine.weights={folder}", "engine.device=cpu", "gang.actors=1"),
        *("encode.preset=ultrafast", "quality.gate=false"),
    ]
    job = Job(
        manifest=str(write(root / "manifest.parquet", rows)),
        store=StoreConfig(uri=str(root / "out")),
        config=load_config(overrides=[*usual, *overrides]),
    )
    assert render(job, LogProgress(io.StringIO())).rendered == list(ids)
    made = []
    for video_id in ids:
        (path,) = (root / "out").glob(f"videos/{video_id}/*.json")
        content = json.loads(path.read_bytes())
        made.append(Film(content["video"]["crc32"], content["memory"]))
    return made


# Seven gangs, whose actors import diffusers and transformers.
@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.longest
def test_less_memory_leads_to_the_same_film(
    folder: Path,
    tmp_path: Path,
    ray_cluster: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """By a small limit, and by actors that run out of memory, the second row no more."""
    for name in ("usual", "limited", "greedy"):
        (tmp_path / name).mkdir()
    (usual,) = films(folder, tmp_path / "usual")
    assert usual.memory == {"profiles": ["resident"], "is_exact": True}
    estimator = Estimator.of_checkpoint(Checkpoint.open(folder), torch.float32, "cpu")
    limit_gb = (estimator.of(PROFILES["in-turn"]).device_bytes + 1) / GB
    (limited,) = films(folder, tmp_path / "limited", f"engine.memory_limit_gb={limit_gb:.9f}")
    assert limited == replace(usual, memory={"profiles": ["in-turn"], "is_exact": True})
    monkeypatch.setattr(
        studio,
        "engine_source",
        lambda config: GreedyFiles(options=config.engine, s3=config.store),
    )
    with caplog.at_level(logging.WARNING, "nightreel.memory_retry"):
        first, second = films(folder, tmp_path / "greedy", ids=("a", "b"))
    assert first == limited
    assert second.memory == first.memory
    tries = [record.getMessage() for record in caplog.records]
    assert [text.rpartition(" = ")[2] for text in tries] == ["text-freed", "in-turn"]
    assert "video 'a': profile resident: " in tries[0]
    assert "can't allocate memory" in tries[0]
