"""What the runs show, as Markdown: memory against the latent state, time against a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.scaling.line import fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.scaling.measurement import Measurement

# The longest video may cost this much more per second than the shortest.
MOST_PER_SECOND = 1.05

MIB = float(1 << 20)


def memory_table(measurement: Measurement) -> str:
    """Peak resident size of every process at every length, and its growth from first to last."""
    lengths = sorted(measurement.runs)
    first, last = lengths[0], lengths[-1]
    by_length = {length: measurement.memory(length) for length in lengths}
    state = measurement.state_bytes(last) - measurement.state_bytes(first)
    rows, worst = [], 0.0
    for role in by_length[last]:
        found = [by_length[length].get(role) for length in lengths]
        peaks = [f"{memory.peak / MIB:.1f}" if memory else "-" for memory in found]
        before, after = found[0], found[-1]
        if before is None or after is None:
            rows.append([role, *peaks, "-", "-"])
            continue
        worst = max(worst, after.peak - before.peak)
        own = (after.anonymous - before.anonymous) / MIB
        rows.append([role, *peaks, f"{(after.peak - before.peak) / MIB:+.1f}", f"{own:+.1f}"])
    heading = ["process", *(f"{length:g} s" for length in lengths), "growth", "of its own memory"]
    return "\n".join(
        [
            "Peak resident size in MiB, by length of the video:",
            "",
            *_table(heading, rows),
            "",
            f"The latent state of one actor grows by {state / MIB:.1f} MiB from {first:g} s to "
            f"{last:g} s; the most that any process grows is {worst / MIB:.1f} MiB "
            f"({_verdict(worst <= state)}).",
        ]
    )


def work_table(measurement: Measurement) -> str:
    """Processor time against a fixed part and so much per second of video."""
    heading = "Work: processor time of driver, actors and ffmpeg, median of the runs:"
    return _line_table(heading, measurement, measurement.processor_s())


def time_table(measurement: Measurement) -> str:
    """Seconds on the clock against a fixed part and so much per second of video."""
    heading = "Time on the clock from prompt to verified object, fastest of the runs:"
    return _line_table(heading, measurement, measurement.fastest("total_s"))


def _line_table(heading: str, measurement: Measurement, seconds: dict[float, float]) -> str:
    line = fit(seconds)
    per_second = {length: line.per_second(length, y) for length, y in seconds.items()}
    rows = [
        [
            f"{length:g} s",
            str(len(measurement.runs[length])),
            f"{y:.2f} s",
            f"{line.at(length):.2f} s",
            f"{y / line.at(length) - 1.0:+.1%}",
            f"{1000.0 * per_second[length]:.1f} ms",
        ]
        for length, y in seconds.items()
    ]
    lengths = list(seconds)
    first, last = lengths[0], lengths[-1]
    ratio = per_second[last] / per_second[first]
    columns = ["video", "runs", "measured", "line", "off the line", "per second of video"]
    return "\n".join(
        [
            heading,
            "",
            *_table(columns, rows),
            "",
            f"The line is {line.fixed:.2f} s + {1000.0 * line.slope:.1f} ms per second of video. "
            f"With the fixed part taken off, a second of the {last:g} s video costs {ratio:.3f} "
            f"times one of the {first:g} s video (at most {MOST_PER_SECOND}: "
            f"{_verdict(ratio <= MOST_PER_SECOND)}).",
        ]
    )


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    rule = ["---", *["---:"] * (len(heading) - 1)]
    return [f"| {' | '.join(cells)} |" for cells in (heading, rule, *rows)]


def _verdict(holds: bool) -> str:
    return "holds" if holds else "does NOT hold"
