from __future__ import annotations

import os
import subprocess
import sys
import time

from benchmarks.processes import ProcessWatch, cpu_s_of, descendants, memory_of

MIB = 1 << 20
TOUCH_64_MIB = "import time; block = bytearray(b'x' * (64 << 20)); del block; time.sleep(1.0)"
GRANDCHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {TOUCH_64_MIB!r}])"


def test_a_processs_memory_is_the_sum_of_its_parts() -> None:
    memory = memory_of(os.getpid())
    assert memory is not None
    assert 0 < memory.anonymous < memory.peak
    assert memory.peak < memory.anonymous + memory.shared + memory.file + 2048 * MIB


def test_processor_time_is_what_the_process_itself_counts() -> None:
    before_s = time.process_time()
    seen_s = cpu_s_of(os.getpid())
    assert before_s - 0.05 <= seen_s <= time.process_time() + 0.05


def test_a_process_that_is_gone_has_no_memory_and_no_time() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert memory_of(process.pid) is None
    assert cpu_s_of(process.pid) == 0.0


def test_a_peak_that_has_passed_is_seen_in_a_grandchild() -> None:
    process = subprocess.Popen([sys.executable, "-c", GRANDCHILD])
    with ProcessWatch(process.pid) as watch:
        time.sleep(0.7)
        assert process.pid in descendants(process.pid)
        process.wait()
    (grandchild,) = (p for p in watch.processes() if p.parent == process.pid)
    assert grandchild.memory.peak > 64 * MIB
    assert any("bytearray" in title for title in grandchild.titles)
