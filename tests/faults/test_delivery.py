"""Faults after the last step: what was sampled is never sampled again."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from actors.failures import SegmentDiedError
from actors.handles import wait_for
from pipeline.decode_options import DecodeOptions
from storage.open import StoreConfig
from tests.cluster.gangs import PATIENCE_S, Notes, gang_of, order, processes
from tests.faults.renders import PREFIX, assert_same_bits, plan_of, wait_until
from tests.faults.slow_store import SlowStoreConfig

if TYPE_CHECKING:
    from pathlib import Path

    from actors.gang import Gang
    from pipeline.plan import VideoPlan

pytestmark = pytest.mark.cluster

NUM_FRAMES = 402
BY_PIECES = DecodeOptions(parallel=True, piece_latent_frames=16)


def large_plan() -> VideoPlan:
    """Pictures large enough for decoding to take a moment."""
    return plan_of(4, width=320, height=192)


def assert_sampled_once(gang: Gang, notes: Notes, num_segments: int, num_steps: int) -> None:
    assert sorted(notes.steps) == [(s, k) for s in range(num_segments) for k in range(num_steps)]
    assert gang.losses.replayed_steps == 0
    assert notes.num_segments == [num_segments]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("victim", "decode"),
    [
        (0, DecodeOptions()),
        pytest.param(1, DecodeOptions(), marks=pytest.mark.longest),
        pytest.param(0, BY_PIECES, marks=pytest.mark.longest),
        pytest.param(1, BY_PIECES, marks=pytest.mark.longest),
    ],
    ids=["first", "second", "first-by-pieces", "second-by-pieces"],
)
def test_an_actor_killed_while_the_film_is_encoded(
    ray_cluster: None, tmp_path: Path, victim: int, decode: DecodeOptions
) -> None:
    store, plan, killed = StoreConfig(uri=str(tmp_path / "out")), large_plan(), []
    with gang_of(2, store, every_steps=0) as gang:
        workers = processes(gang)

        def kill(num_frames: int) -> None:
            if num_frames > 50 and not killed:
                killed.append(workers[victim])
                workers[victim].kill()

        notes = Notes(on_encoded=kill)
        wanted = order(checkpoints_prefix=PREFIX, decode=decode)
        delivered = gang.render(plan, wanted, notes)
        assert killed
        assert (gang.losses.deaths, gang.losses.restreamed) == (1, 1)
        assert processes(gang)[1 - victim] == workers[1 - victim]
    assert delivered.info.num_frames == NUM_FRAMES
    assert_sampled_once(gang, notes, 2, plan.num_steps)
    assert_same_bits(store(), plan)
    films = [key for key in store().list_keys("videos/") if key.endswith(".mp4")]
    assert films == ["videos/clip/f.mp4"]
    left = psutil.wait_procs(workers, timeout=20)[1]
    assert left == []


@pytest.mark.slow
@pytest.mark.longest
def test_an_actor_that_hangs_over_a_piece_is_replaced(ray_cluster: None, tmp_path: Path) -> None:
    options = {"min_step_timeout_s": 2.0, "decode_timeout_s": 30.0}
    with gang_of(2, StoreConfig(uri=str(tmp_path / "out")), **options) as gang:
        second = processes(gang)[1]

        def hang(num_frames: int) -> None:
            if num_frames > 50 and not gang.losses.restreamed:
                second.suspend()

        delivered = gang.render(large_plan(), order(decode=BY_PIECES), Notes(on_encoded=hang))
        assert (gang.losses.deaths, gang.losses.restreamed) == (1, 1)
    assert delivered.info.num_frames == NUM_FRAMES


@pytest.mark.slow
@pytest.mark.parametrize("how", ["kill", pytest.param("suspend", marks=pytest.mark.longest)])
def test_the_decoder_s_process_stopped_in_mid_upload(
    ray_cluster: None, tmp_path: Path, how: str
) -> None:
    store = SlowStoreConfig(uri=str(tmp_path / "out"), upload_s=8.0)
    plan = plan_of(4)
    options = {"min_step_timeout_s": 1.0, "decode_timeout_s": 15.0}
    with gang_of(2, store, every_steps=0, **options) as gang:
        carrier = processes(gang)[0]

        def stop() -> None:
            wait_until(store.marker.exists, "upload")
            getattr(carrier, how)()

        thread = threading.Thread(target=stop)
        thread.start()
        notes = Notes()
        delivered = gang.render(plan, order(), notes)
        thread.join()
        assert gang.losses.restreamed == 1
    assert delivered.info.num_frames == NUM_FRAMES
    assert store().head("videos/clip/f.mp4") is not None
    unfinished = [path for path in (tmp_path / "out").rglob("*") if "unfinished" in path.name]
    assert unfinished == [] or how == "kill"
    assert [steps for steps in notes.steps if notes.steps.count(steps) > 1] == []


@pytest.mark.slow
def test_a_film_that_can_t_be_delivered_fails_by_name(ray_cluster: None, tmp_path: Path) -> None:
    store, plan = StoreConfig(uri=str(tmp_path)), plan_of(4)
    with gang_of(2, store, max_deaths=1) as gang:
        workers = processes(gang)
        notes = Notes(on_encoded=lambda _: workers[0].kill())
        with pytest.raises(SegmentDiedError):
            gang.render(plan, order(), notes)
        delivered = gang.render(plan, order(), Notes())
    assert delivered.info.num_frames == NUM_FRAMES


@pytest.mark.slow
def test_an_actor_ends_at_once_though_it_is_writing(ray_cluster: None, tmp_path: Path) -> None:
    store = SlowStoreConfig(uri=str(tmp_path / "out"), snapshot_s=600.0)
    plan = plan_of(4)
    with gang_of(2, store, every_steps=2) as gang:
        workers = processes(gang)
        saving = gang.begin(plan, max_segments=1, order=order(checkpoints_prefix=PREFIX))
        ref = saving.handles[0].step("step", saving.epoch, 0, None, None, saves=True)
        wait_for([ref.report], timeout_s=PATIENCE_S, doing="test")
        wait_until(store.marker.exists, "snapshot")
        started_s = time.monotonic()
    left = psutil.wait_procs(workers, timeout=15)[1]
    assert left == []
    assert time.monotonic() - started_s < 15.0
