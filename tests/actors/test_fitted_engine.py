"""An engine with the memory profile that there is room for."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from actors.fitted_engine import fitted, is_out_of_memory
from actors.free_memory import free_host_bytes, free_room
from pipeline.engines.gaussian import GaussianOptions
from pipeline.engines.protocol import PairEngine
from pipeline.engines.registry import EngineOptions
from pipeline.engines.speed import SpeedOptions
from pipeline.engines.wan.checkpoint import Checkpoint
from pipeline.engines.wan.estimator import Estimator
from pipeline.engines.wan.memory_estimate import Room
from pipeline.engines.wan.memory_profile import PROFILES
from pipeline.errors import MemoryExceededError
from tests.pipeline.engines.wan.wide_wan import HEIGHT_PX, WIDTH_PX, make_wide_wan
from tests.plans import small_plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_wide_wan(tmp_path_factory.mktemp("wide_wan"), "2.2-a14b")


def options(folder: Path, memory_limit_gb: float | None = None) -> EngineOptions:
    return EngineOptions(weights=str(folder), device="cpu", memory_limit_gb=memory_limit_gb)


def room_for(folder: Path, name: str, size: tuple[int, int] | None = None) -> int:
    estimator = Estimator.of_checkpoint(Checkpoint.open(folder), torch.float32, "cpu", size)
    return estimator.of(PROFILES[name].on("cpu")).device_bytes


def with_bytes(num_bytes: int) -> Callable[[torch.device], Room]:
    return lambda device: Room(device_type=device.type, device_bytes=num_bytes)


def test_what_is_said_before_loading(folder: Path) -> None:
    said: list[str] = []
    plenty = fitted(options(folder), with_bytes(1 << 40), said.append)
    assert plenty.profile == "resident"
    assert said[-1].startswith("profile resident: under 0.")
    limit_gb = (room_for(folder, "text-freed") + 1) / 1e9
    limited = fitted(options(folder, limit_gb), with_bytes(1 << 40), said.append)
    assert limited.profile == "text-freed"
    assert said[-1].startswith("profile text-freed: 0.02")
    assert "GB free, most of it in 'decode': pictures 0.0" in said[-1]


@pytest.mark.slow
def test_a_larger_video_may_need_a_thriftier_profile(folder: Path) -> None:
    said: list[str] = []
    larger = WIDTH_PX + 128, HEIGHT_PX
    num_bytes = room_for(folder, "in-turn", larger)
    assert room_for(folder, "text-freed") <= num_bytes < room_for(folder, "text-freed", larger)
    engine = fitted(options(folder), with_bytes(num_bytes), said.append)
    engine.prepare(small_plan(engine, 33, width=WIDTH_PX, height=HEIGHT_PX))
    assert engine.profile == "text-freed"
    engine.prepare(small_plan(engine, 33, width=larger[0], height=larger[1]))
    assert engine.profile == "in-turn"
    assert len(said) == 2
    with pytest.raises(MemoryExceededError, match="no memory profile fits"):
        engine.prepare(small_plan(engine, 33, width=8 * WIDTH_PX, height=8 * HEIGHT_PX))


def test_no_room_at_all_is_an_error_with_figures(folder: Path) -> None:
    with pytest.raises(MemoryExceededError, match=r"takes least: .*GB of 0.001 GB free") as caught:
        fitted(options(folder), with_bytes(1_000_000), lambda _: None)
    assert caught.value.profile == "smallest"


def test_an_engine_without_profiles_asks_nobody() -> None:
    oracle = EngineOptions(name="gaussian", gaussian=GaussianOptions(channels=4))
    assert fitted(oracle, free_room, lambda _: None).profile == ""


def test_who_waits_for_the_other_s_network_knows_how_long() -> None:
    oracle = EngineOptions(name="gaussian", gaussian=GaussianOptions(channels=4))
    engine, has_begun = fitted(oracle, free_room, lambda _: None), threading.Event()

    def compute() -> float:
        with engine.within_memory():
            has_begun.set()
            time.sleep(0.2)
        return engine.waited_s

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(compute)
        assert has_begun.wait(20.0)
        with engine.within_memory():
            pass
        assert other.result(20.0) < 0.1 < engine.waited_s
    waited_s = engine.waited_s
    with engine.within_memory():
        pass
    assert engine.waited_s - waited_s < 0.1


def test_what_running_out_of_memory_looks_like() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("expected scalar type Float"))


def test_what_is_free_is_less_than_there_is() -> None:
    assert 0 < free_host_bytes() == pytest.approx(free_room(CPU).device_bytes, rel=0.2)


@pytest.mark.parametrize("in_pairs", [False, True])
def test_both_predictions_of_guidance_are_asked_for_at_once_where_that_was_wanted(
    folder: Path, in_pairs: bool
) -> None:
    asked = replace(options(folder), speed=SpeedOptions(batch_guidance=in_pairs))
    engine = fitted(asked, with_bytes(1 << 40), lambda _: None)
    assert isinstance(engine, PairEngine) == in_pairs
