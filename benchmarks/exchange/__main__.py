"""``python -m benchmarks.exchange [--quick] [MIB]...``: milliseconds per step by size and actors.

The four ways are measured right after one another for each size, so that whatever else the machine
does falls on all of them. ``--quick`` lets two actors exchange little, to see that it works. With
it, or with MIB, which are other sizes, the README stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from actors.cluster import ClusterOptions, connected
from benchmarks.exchange.actor_line import Line
from benchmarks.exchange.figures import MIB, Figures, table
from benchmarks.exchange.peers import Peers
from benchmarks.exchange.plot import plot
from benchmarks.hardware import setting
from benchmarks.readme import write_section
from benchmarks.usage import command_line, positive

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER = Path(__file__).parent

NUM_STEPS = 16
NUM_STEPS_OF_PEERS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much is measured.

    Attributes:
        sizes_mib: of each boundary, in one direction.
        actors: how many exchange.
        store_bytes: of Ray's object store: four steps of the largest boundaries between the most
            actors lie in it at once.
    """

    sizes_mib: tuple[float, ...]
    actors: tuple[int, ...]
    store_bytes: int

    @property
    def warmed_bytes(self) -> int:
        """As much of the store as can be touched before."""
        return self.store_bytes * 9 // 10


FULL = Extent(sizes_mib=(1.0, 4.0, 8.0, 13.0, 32.0), actors=(2, 4, 8), store_bytes=2 << 30)
QUICK = Extent(sizes_mib=(1.0,), actors=(2,), store_bytes=1 << 27)


def main(words: Sequence[str] | None = None) -> None:
    extent = _asked_for(words)
    most_actors, measured = max(extent.actors), list[Figures]()
    with connected(
        ClusterOptions(num_cpus=most_actors, object_store_memory_bytes=extent.store_bytes)
    ):
        line = Line(most_actors)
        line.warm_up(extent.warmed_bytes)
        for num_actors in extent.actors:
            with Peers(num_actors) as peers:
                for size_mib in sorted(extent.sizes_mib):
                    measured.append(_measure(line, peers, num_actors, int(size_mib * MIB)))
                    print(_in_short(measured[-1]), flush=True)
    measured.sort(key=lambda got: (got.num_actors, got.num_bytes))
    text = f"{setting('python -m benchmarks.exchange')}.\n\n{table(measured)}"
    print(text)
    if extent == FULL:
        write_section(FOLDER / "README.md", "table", text)
        plot(measured, FOLDER / "exchange.png")


def _asked_for(words: Sequence[str] | None) -> Extent:
    parser = command_line(__package__, __doc__)
    parser.add_argument("--quick", action="store_true", help="two actors, 1 MiB; prints only")
    about = "sizes of a boundary; prints only"
    parser.add_argument("sizes_mib", metavar="MIB", nargs="*", type=positive, help=about)
    arguments = parser.parse_args(words)
    extent = QUICK if arguments.quick else FULL
    return replace(extent, sizes_mib=tuple(arguments.sizes_mib) or extent.sizes_mib)


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
