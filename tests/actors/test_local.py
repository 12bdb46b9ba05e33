"""What the actors' package does by itself: shares, scratch folders, signals, failures by name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from typing import TYPE_CHECKING

import pytest
from ray import exceptions

from actors.failures import SegmentDiedError, reraise
from actors.placement import GangOptions, Share, share_out
from actors.scratch import PREFIX, ScratchFolder
from actors.signals import none_lost
from pipeline.errors import ClusterError, NightreelError, SegmentError, StoreFullError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import FrameType


@pytest.mark.parametrize(
    ("options", "resources", "share"),
    [
        (GangOptions(), {"CPU": 8.0}, Share(8, 1.0, 0.0)),
        (GangOptions(actors=2), {"CPU": 8.0}, Share(2, 1.0, 0.0)),
        (GangOptions(actors=3), {"CPU": 2.0}, Share(3, 0.6666, 0.0)),
        (GangOptions(), {"CPU": 64.0, "GPU": 4.0}, Share(4, 1.0, 1.0)),
        (GangOptions(), {"CPU": 2.0, "GPU": 8.0}, Share(8, 0.25, 1.0)),
        (GangOptions(gpus_per_actor=0.5), {"CPU": 8.0, "GPU": 2.0}, Share(4, 1.0, 0.5)),
    ],
)
def test_actors_share_what_there_is(
    options: GangOptions, resources: dict[str, float], share: Share
) -> None:
    got = share_out(options, resources)
    assert (got.num_actors, got.num_gpus) == (share.num_actors, share.num_gpus)
    assert got.num_cpus == pytest.approx(share.num_cpus)
    assert got.num_actors * got.num_cpus <= resources["CPU"]


def test_more_gpus_than_there_are_is_an_error_with_the_figures() -> None:
    with pytest.raises(ClusterError, match=r"actors = 5 with 1 GPUs each needs 5 .* has 4"):
        share_out(GangOptions(actors=5), {"CPU": 8.0, "GPU": 4.0})
    with pytest.raises(ClusterError, match="no CPUs"):
        share_out(GangOptions(), {"GPU": 4.0})


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_scratch_folder_is_there_until_it_is_removed(temporary: Path) -> None:
    scratch = ScratchFolder()
    (scratch.path / "video.mp4.partial").write_bytes(b"half")
    assert scratch.path.parent == temporary
    scratch.remove()
    assert not list(temporary.iterdir())


def test_what_a_killed_process_left_is_swept_and_what_is_in_use_is_not(temporary: Path) -> None:
    code = (
        "import os, signal\n"
        "from actors.scratch import ScratchFolder\n"
        "(ScratchFolder().path / 'video.mp4.partial').write_bytes(b'half')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    kept = ScratchFolder()
    env = {**os.environ, "TMPDIR": str(temporary)}
    killed = subprocess.run([sys.executable, "-c", code], env=env, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(temporary.glob(f"{PREFIX}*/*.partial"))) == 1
    new = ScratchFolder()
    assert set(temporary.iterdir()) == {kept.path, new.path}
    kept.remove()
    new.remove()


@pytest.fixture
def noted() -> Iterator[list[int]]:
    """Signals that reached the program's own handlers."""
    arrived: list[int] = []

    def note(signum: int, frame: FrameType | None) -> None:
        arrived.append(signum)

    before = {n: signal.signal(n, note) for n in (signal.SIGINT, signal.SIGTERM)}
    yield arrived
    for number, handler in before.items():
        signal.signal(number, handler)


def test_ctrl_c_waits_until_no_process_is_being_started(noted: list[int]) -> None:
    with none_lost(forks=True):
        signal.raise_signal(signal.SIGINT)
        assert noted == []
    assert noted == [signal.SIGINT]
    assert signal.getsignal(signal.SIGINT) is signal.getsignal(signal.SIGTERM)


def test_a_signal_whose_exception_was_lost_is_answered_again(noted: list[int]) -> None:
    with none_lost(forks=True):
        # What ray.init does, and an answer of its own that gets lost in a fork's hooks.
        signal.signal(signal.SIGTERM, lambda *_: None)
        signal.raise_signal(signal.SIGTERM)
        assert noted == []
    assert noted == [signal.SIGTERM]


def test_without_forks_ctrl_c_is_answered_at_once(noted: list[int]) -> None:
    with none_lost(forks=False):
        signal.raise_signal(signal.SIGINT)
        assert noted == [signal.SIGINT]
    assert noted == [signal.SIGINT]


def test_another_thread_has_no_signals_to_hold() -> None:
    failed: list[BaseException] = []

    def start() -> None:
        try:
            with none_lost(forks=True):
                pass
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test must see it
            failed.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert failed == []


def task_error(cause: Exception) -> exceptions.RayTaskError:
    return exceptions.RayTaskError("step", "Traceback ...", cause)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (task_error(StoreFullError("no room")), StoreFullError, "no room"),
        (task_error(RuntimeError("nan")), SegmentError, "clip: RuntimeError: nan"),
        (exceptions.ActorDiedError(), SegmentDiedError, "clip: ActorDiedError"),
        (
            exceptions.ActorDiedError(task_error(WeightsError("cut off"))),
            WeightsError,
            "cut off",
        ),
        (
            exceptions.ActorDiedError(task_error(MemoryError("12 GB"))),
            SegmentDiedError,
            "MemoryError: 12 GB",
        ),
        (exceptions.GetTimeoutError("late"), SegmentDiedError, "late"),
        (exceptions.OwnerDiedError("00" * 28, None, ""), SegmentDiedError, "OwnerDiedError"),
        (exceptions.NodeDiedError("gone"), ClusterError, "gone"),
    ],
)
def test_every_failure_out_of_ray_has_a_name_of_ours(
    error: Exception, kind: type[NightreelError], words: str
) -> None:
    with pytest.raises(kind, match=words) as caught:
        reraise(error, "clip")
    assert type(caught.value) is kind
