"""Actors that stay when their job ends: who finds them, and when they go."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
import ray
import torch

from actors import loan
from actors.cluster import available_resources
from actors.placement import Share, release, reserve
from pipeline import reference
from pipeline.errors import ClusterError
from storage.open import StoreConfig, open_store
from tests.cluster.gangs import GAUSSIAN, Notes, gang_of, latents_of, oracle, order, processes
from tests.manifests import SMALL, row, write
from tests.plans import small_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.plan import VideoPlan

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("ray_cluster")]

KEPT_S = 120.0
PATIENCE_S = 30.0


@pytest.fixture
def store(tmp_path: Path) -> StoreConfig:
    return StoreConfig(uri=str(tmp_path / "first"))


@pytest.fixture(autouse=True)
def _nobody_left() -> Iterator[None]:
    yield
    loan.make_room()
    until(lambda: not stewards())


@pytest.fixture
def plan() -> VideoPlan:
    return small_plan(oracle(), 205)


def until(is_so: Callable[[], bool]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end_s, "it never came to be so"
        time.sleep(0.1)


def stewards() -> list[psutil.Process]:
    return _workers("ray::Steward")


def _workers(title: str) -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [child for child in children if _title(child).startswith(title)]


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def have_ended(found: list[psutil.Process]) -> bool:
    return not any(process.is_running() for process in found)


@pytest.mark.slow
def test_the_next_job_finds_the_same_actors_and_makes_the_same_video(
    store: StoreConfig, plan: VideoPlan, tmp_path: Path
) -> None:
    with gang_of(2, store, keep_warm_s=KEPT_S) as gang:
        first = processes(gang)
        gang.render(plan, order(), Notes())
    assert all(process.is_running() for process in first)

    first[0].kill()
    other = StoreConfig(uri=str(tmp_path / "second"))
    with gang_of(2, other, keep_warm_s=KEPT_S) as gang:
        second = processes(gang)
        assert second[1] == first[1]
        assert second[0] != first[0]
        take = gang.begin(plan)
        take.sample(Notes())
        assert torch.equal(latents_of(take), reference.sample(plan, oracle()))
        gang.render(plan, order(), Notes())
    videos = [open_store(one.uri).get_bytes("videos/clip/f.mp4") for one in (store, other)]
    assert videos[0] == videos[1]

    # Four need all of the cluster: those who are only kept make room.
    with gang_of(4, store) as gang:
        assert len(processes(gang)) == 4
        assert have_ended(second)
    until(lambda: available_resources().get("CPU") == 4)


@pytest.mark.slow
@pytest.mark.longest
def test_another_engine_is_not_mistaken_for_it(store: StoreConfig) -> None:
    with gang_of(1, store, keep_warm_s=KEPT_S) as gang:
        first = processes(gang)
    with gang_of(1, store, keep_warm_s=KEPT_S, threads_per_actor=2) as gang:
        assert processes(gang) != first
    with gang_of(1, store, keep_warm_s=KEPT_S) as gang:
        assert processes(gang) == first


@pytest.mark.slow
@pytest.mark.longest
def test_two_jobs_at_once_have_actors_of_their_own(store: StoreConfig) -> None:
    with gang_of(2, store, keep_warm_s=KEPT_S) as one:
        with gang_of(2, store, keep_warm_s=KEPT_S) as another:
            found = processes(one), processes(another)
            assert not set(found[0]) & set(found[1])
            assert one._crew.next_epoch() == loan.EPOCHS_PER_LOAN
        with gang_of(2, store, keep_warm_s=KEPT_S) as another:
            assert processes(another) == found[1]
            assert another._crew.next_epoch() == 2 * loan.EPOCHS_PER_LOAN


@pytest.mark.slow
@pytest.mark.longest
def test_nobody_is_kept_for_longer_than_was_asked_for(store: StoreConfig) -> None:
    with gang_of(1, store, keep_warm_s=1.0) as gang:
        found = processes(gang)
        time.sleep(2.0)
        assert not have_ended(found)
    until(lambda: have_ended(found))
    until(lambda: available_resources().get("CPU") == 4)


@pytest.mark.slow
@pytest.mark.longest
def test_after_a_borrower_that_fell_silent_nobody_is_kept(
    store: StoreConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loan, "SILENT_S", 10.0)
    monkeypatch.setattr(loan, "BEAT_S", 60.0)
    with gang_of(1, store, keep_warm_s=KEPT_S) as gang:
        found = processes(gang)
        until(lambda: have_ended(found))
    assert not stewards()


@pytest.mark.slow
@pytest.mark.longest
def test_a_job_that_fails_leaves_nobody(store: StoreConfig) -> None:
    def fails() -> None:
        with gang_of(1, store, keep_warm_s=KEPT_S) as gang:
            found.extend(processes(gang))
            raise ZeroDivisionError

    found: list[psutil.Process] = []
    with pytest.raises(ZeroDivisionError):
        fails()
    until(lambda: have_ended(found))
    assert not stewards()


@pytest.mark.slow
@pytest.mark.longest
def test_a_job_whose_steward_dies_says_so(store: StoreConfig, plan: VideoPlan) -> None:
    with gang_of(2, store, keep_warm_s=KEPT_S) as gang:
        found = processes(gang)
        notes = Notes(on_report=lambda _: [process.kill() for process in stewards()] and None)
        with pytest.raises(ClusterError, match="steward"):
            gang.render(plan, order(), notes)
    until(lambda: have_ended(found))


@pytest.mark.slow
@pytest.mark.longest
def test_an_actor_that_dies_is_replaced_by_the_steward(store: StoreConfig, plan: VideoPlan) -> None:
    with gang_of(2, store, keep_warm_s=KEPT_S) as gang:
        first = processes(gang)
        notes = Notes(on_report=lambda report: first[1].kill() if report.step == 2 else None)
        take = gang.begin(plan)
        take.sample(notes)
        assert torch.equal(latents_of(take), reference.sample(plan, oracle()))
        second = processes(gang)
    assert second[0] == first[0]
    with gang_of(2, store, GAUSSIAN, keep_warm_s=KEPT_S) as gang:
        assert processes(gang) == second


@pytest.mark.slow
@pytest.mark.longest
def test_who_finds_no_room_leaves_no_steward(store: StoreConfig) -> None:
    group = reserve(Share(num_actors=1, num_cpus=3.0, num_gpus=0.0), 30.0, loan.make_room)
    try:
        wanted = pytest.raises(ClusterError, match=r"no room for 2 .* within 0.5 s; free")
        with wanted, gang_of(2, store, keep_warm_s=KEPT_S, placement_timeout_s=0.5):
            pass
        until(lambda: not stewards())
    finally:
        release(group)


@pytest.mark.slow
@pytest.mark.longest
def test_two_programs_one_after_the_other_use_the_same_actors(tmp_path: Path) -> None:
    manifest = write(tmp_path / "manifest.parquet", [row("clip", num_frames=41)])
    program = [Path(sys.executable).with_name("nightreel"), "render", manifest]
    settings = [*SMALL, "gang.actors=2", f"gang.keep_warm_s={KEPT_S}"]
    environment = {**os.environ, "RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    found, digests = [], []
    for name in ("first", "second"):
        output = f"--output={tmp_path / name}"
        subprocess.run([*program, output, *settings], env=environment, check=True, timeout=120)
        found.append(_workers("ray::SegmentActor"))
        (video,) = (tmp_path / name).glob("videos/clip/*.mp4")
        digests.append(hashlib.sha256(video.read_bytes()).hexdigest())
    assert len(found[0]) == 2
    assert found[0] == found[1]
    assert digests[0] == digests[1]
