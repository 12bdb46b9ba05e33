from __future__ import annotations

import pytest

from benchmarks.command import Run
from benchmarks.processes import Memory, Process
from benchmarks.scaling.bound import state_bytes
from benchmarks.scaling.line import fit
from benchmarks.scaling.measurement import Measurement
from benchmarks.scaling.roles import memory_by_role, processor_s
from benchmarks.scaling.tables import memory_table, time_table, work_table

MIB = 1 << 20

SIDECAR = {
    "engine": {"channels": 16, "temporal_compression": 4, "spatial_compression": 8, "fps": 16.0},
    "request": {"width": 256, "height": 144},
}


def _process(pid: int, parent: int, peak: int, *titles: str) -> Process:
    memory = Memory(peak=peak * MIB, anonymous=peak * MIB // 2, shared=0, file=0)
    return Process(pid, parent, set(titles), memory, cpu_s=float(pid))


def _run(total_s: float = 1.0, carrier: int = 40) -> Run:
    return Run(
        driver=1,
        sidecar={**SIDECAR, "timings": {"total_s": total_s, "sampling_s": total_s / 4}},
        processes=[
            _process(1, 0, 30, "python -m jobs.cli render"),
            _process(2, 1, 5, "/ray/raylet --setup_worker_path=/ray/setup_worker.py"),
            _process(3, 1, 6, "/bin/python -u /ray/log_monitor.py --x"),
            _process(4, 2, carrier, "/bin/python default_worker.py", "ray::SegmentActor"),
            _process(5, 2, 20, "ray::SegmentActor", "ray::film/segment-001"),
            _process(6, 4, 9, "ray::film/delivery", "/x/binaries/ffmpeg-linux-x86_64 -y"),
            _process(7, 4, 8, "/x/binaries/ffmpeg-linux-x86_64 -y"),
            _process(8, 2, 7, "ray::IDLE"),
        ],
    )


def test_processes_are_told_apart_by_what_they_do() -> None:
    peaks = {role: memory.peak // MIB for role, memory in memory_by_role(_run()).items()}
    assert peaks == {
        "driver": 30,
        "actor that decodes too": 40,
        "other actor": 20,
        "ffmpeg": 9,
        "Ray: IDLE": 7,
        "Ray: log_monitor": 6,
        "Ray: raylet": 5,
    }
    assert list(peaks)[:2] == ["driver", "actor that decodes too"]


def test_work_is_the_processor_time_of_all_but_rays_own_processes() -> None:
    assert processor_s(_run()) == 1 + 4 + 5 + 6 + 7


def test_the_state_is_latents_and_as_much_history_in_fp32() -> None:
    # 60 s are 960 frames, in 241 latent frames of 16 x 18 x 32 numbers.
    assert state_bytes(SIDECAR, 60.0) == 241 * 16 * 18 * 32 * 4 * 2


def test_a_line_is_found_and_its_fixed_part_taken_off() -> None:
    line = fit({60.0: 8.0, 120.0: 14.0, 300.0: 32.0, 600.0: 62.0})
    assert line.fixed == pytest.approx(2.0)
    assert line.slope == pytest.approx(0.1)
    assert line.per_second(600.0, 62.0) == pytest.approx(0.1)


def test_linear_time_holds_and_quadratic_time_does_not() -> None:
    linear = {d: 2.0 + 0.1 * d for d in (60.0, 120.0, 300.0, 600.0)}
    assert "1.05: holds" in time_table(Measurement({d: [_run(t)] for d, t in linear.items()}))
    slow_once = Measurement({d: [_run(2 * t), _run(t)] for d, t in linear.items()})
    assert "+0.0%" in time_table(slow_once)
    assert "23.00 s" in work_table(slow_once)
    bent = {d: t + 1e-4 * d * d for d, t in linear.items()}
    assert "does NOT hold" in time_table(Measurement({d: [_run(t)] for d, t in bent.items()}))


@pytest.mark.parametrize(("growth", "verdict"), [(75, "holds"), (77, "does NOT hold")])
def test_growth_is_held_against_one_actors_share_of_the_state(growth: int, verdict: str) -> None:
    runs = {60.0: [_run()], 600.0: [_run(carrier=40 + growth)]}
    table = memory_table(Measurement(runs))
    assert "grows by 75.9 MiB from 60 s to 600 s" in table
    assert f"any process grows is {growth}.0 MiB ({verdict})" in table
