"""``python -m benchmarks.exchange [MIB]...``: milliseconds per step against size and actors.

The four ways are measured right after one another for each size, so that whatever else the machine
does falls on all of them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from actors.cluster import ClusterOptions, connected
from benchmarks.exchange.actor_line import Line
from benchmarks.exchange.figures import MIB, Figures, table
from benchmarks.exchange.peers import Peers
from benchmarks.exchange.plot import plot
from benchmarks.hardware import setting
from benchmarks.readme import write_section

FOLDER = Path(__file__).parent

SIZES_MIB = (1.0, 4.0, 8.0, 13.0, 32.0)
ACTORS = (2, 4, 8)
# Four steps of the largest boundaries between the most actors lie in it at once.
OBJECT_STORE_BYTES = 2 << 30
WARMED_BYTES = OBJECT_STORE_BYTES * 9 // 10
NUM_STEPS = 16
NUM_STEPS_OF_PEERS = 8


def main() -> None:
    sizes = tuple(float(word) for word in sys.argv[1:]) or SIZES_MIB
    measured: list[Figures] = []
    with connected(
        ClusterOptions(num_cpus=max(ACTORS), object_store_memory_bytes=OBJECT_STORE_BYTES)
    ):
        line = Line(max(ACTORS))
        line.warm_up(WARMED_BYTES)
        for num_actors in ACTORS:
            with Peers(num_actors) as peers:
                for size_mib in sorted(sizes):
                    measured.append(_measure(line, peers, num_actors, int(size_mib * MIB)))
                    print(_in_short(measured[-1]), flush=True)
    measured.sort(key=lambda got: (got.num_actors, got.num_bytes))
    text = f"{setting('python -m benchmarks.exchange')}.\n\n{table(measured)}"
    print(text)
    if sizes == SIZES_MIB:
        write_section(FOLDER / "README.md", "table", text)
        plot(measured, FOLDER / "exchange.png")


def _measure(line: Line, peers: Peers, num_actors: int, num_bytes: int) -> Figures:
    def of_line(transport: str, *, barrier: bool) -> float:
        return line.seconds_per_step(transport, num_actors, num_bytes, NUM_STEPS, barrier=barrier)

    return Figures(
        num_actors=num_actors,
        num_bytes=num_bytes,
        store_s=of_line("object store", barrier=False),
        memcpy_s=peers.seconds_per_step("memcpy", num_bytes, NUM_STEPS_OF_PEERS),
        gloo_s=peers.seconds_per_step("gloo", num_bytes, NUM_STEPS_OF_PEERS),
        naive_s=of_line("pickled", barrier=True),
    )


def _in_short(got: Figures) -> str:
    return (
        f"{got.num_actors} actors, {got.num_bytes / MIB:g} MiB: {1e3 * got.store_s:.1f} ms, "
        f"memcpy {1e3 * got.memcpy_s:.1f}, gloo {1e3 * got.gloo_s:.1f}, "
        f"naive {1e3 * got.naive_s:.1f}"
    )


if __name__ == "__main__":
    main()
