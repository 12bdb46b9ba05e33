"""What one size of boundary between so many actors costs, and what is asked of it."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20
MOST_FIXED_S = 0.010
MOST_COPIES = 3.0
LEAST_RATIO = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Seconds per step of all ways to exchange the same boundaries, measured one after another.

    Attributes:
        num_actors: in a line; there are two boundaries a step between any two neighbours.
        num_bytes: of each boundary, in one direction.
        store_s: Ray's object store, as nightreel uses it.
        memcpy_s: all bytes copied in and out once, by as many processes at once.
        gloo_s: a blocking exchange of torch.distributed.
        naive_s: pickled torch tensors, and a driver that waits for all before the next step.
    """

    num_actors: int
    num_bytes: int
    store_s: float
    memcpy_s: float
    gloo_s: float
    naive_s: float

    @property
    def limit_s(self) -> float:
        """The most that a step may take."""
        return MOST_FIXED_S + MOST_COPIES * self.memcpy_s

    @property
    def is_within(self) -> bool:
        """Whether it takes no more."""
        return self.store_s <= self.limit_s

    @property
    def ratio(self) -> float:
        """How much faster than Ray used without thought."""
        return self.naive_s / self.store_s

    @property
    def is_twice_as_fast(self) -> bool:
        """Whether that is enough."""
        return self.ratio >= LEAST_RATIO


def table(measured: list[Figures]) -> str:
    """One row per measurement, and how many of them are as asked."""
    lines = [
        "Milliseconds per step:",
        "",
        "| actors | boundary | object store | at most | memcpy in and out | gloo | naive Ray |"
        " naive / object store |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for got in measured:
        times_s = (got.store_s, got.limit_s, got.memcpy_s, got.gloo_s, got.naive_s)
        cells = " | ".join(f"{1e3 * time_s:.1f}" for time_s in times_s)
        size = f"{got.num_bytes / MIB:g} MiB"
        lines.append(f"| {got.num_actors} | {size} | {cells} | {got.ratio:.1f} |")
    within = sum(got.is_within for got in measured)
    twice = sum(got.is_twice_as_fast for got in measured)
    lines += [
        "",
        f"At most {1e3 * MOST_FIXED_S:g} ms and {MOST_COPIES:g} times the copies: "
        f"{within} of {len(measured)} ({_verdict(within == len(measured))}). "
        f"At least {LEAST_RATIO:g} times as fast as naive Ray: "
        f"{twice} of {len(measured)} ({_verdict(twice == len(measured))}).",
    ]
    lines += [_in_full(got) for got in measured if _is_asked_of(got)]
    return "\n".join(lines)


def _is_asked_of(got: Figures) -> bool:
    """The size and number that was measured before anything was done about it."""
    return (got.num_actors, got.num_bytes) == (4, 8 * MIB)


def _in_full(got: Figures) -> str:
    return (
        f"\n8 MiB between 4 actors take {1e3 * got.store_s:.1f} ms a step "
        f"(at most {1e3 * got.limit_s:.1f}: {_verdict(got.is_within)}), {got.ratio:.1f} times as "
        f"fast as naive Ray (at least {LEAST_RATIO:g}: {_verdict(got.is_twice_as_fast)}); "
        f"gloo takes {1e3 * got.gloo_s:.1f} ms."
    )


def _verdict(holds: bool) -> str:
    return "as asked" if holds else "NOT as asked"
