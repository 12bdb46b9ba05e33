"""What the runs show, as Markdown, each claim with its verdict."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from benchmarks.long.work import CONTEXT, GANG, ONE_PASS
from jobs.inspection import effect_rows
from jobs.inspection_text import interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.long.runs import Measurement
    from benchmarks.long.seams import Joined
    from benchmarks.long.work import Outcome

MIB = float(1 << 20)
FP32_BYTES = 4

# A second of a longer video may cost this much more than one of the first of these.
FLAT_FROM_S = 60.0
MOST_PER_SECOND = 1.05

# Memory may grow by the latent state, and by so much of it for what the heap rounds up.
MOST_OVER_STATE = 1.05

# What a gang's overheads may be, per forward, over one worker's context windows.
MOST_PER_FORWARD = 1.05


def main_table(found: Measurement, state_bytes_per_latent_frame: int) -> str:
    """A row per length: time, time per second of video, memory, for all three."""
    lengths = sorted({*found.gang, *found.context, *found.one_pass})
    heading = [
        "video",
        "latent frames",
        f"{GANG} of 2",
        "a second of video",
        "most memory of an actor",
        f"{CONTEXT}, 1 worker",
        "memory",
        f"{ONE_PASS}, 1 worker",
        "memory",
    ]
    rows = []
    for duration_s in lengths:
        ours = found.gang.get(duration_s)
        known = ours or found.context.get(duration_s) or found.one_pass[duration_s]
        rows.append(
            [
                f"{duration_s:g} s",
                str(known.num_latent_frames),
                *(_gang_cells(ours, duration_s)),
                *_cells(found.context.get(duration_s)),
                *_cells(found.one_pass.get(duration_s)),
            ]
        )
    text = ["Sampling alone, fastest of the runs; memory is the highest resident size:", ""]
    text += [*_table(heading, rows), "", _growth(found.gang, state_bytes_per_latent_frame)]
    return "\n".join([*text, "", _flatness(found.gang)])


def compute_table(found: Measurement, scaling_s: float) -> str:
    """Processor time per forward, and what a second actor is worth."""
    two, one, context = found.gang.get(scaling_s), found.one_actor, found.context.get(scaling_s)
    assert two is not None, f"no gang rendered {scaling_s:g} s"
    assert context is not None, f"no context windows rendered {scaling_s:g} s"
    named = {f"{CONTEXT}, one worker": context, "gang of 1": one, "gang of 2": two}
    rows = [
        [
            name,
            str(got.num_forwards),
            f"{min(got.processor_s):.2f} s",
            f"{1000.0 * per_forward_s(got):.2f} ms",
            f"{min(got.seconds):.2f} s",
        ]
        for name, got in named.items()
    ]
    ratio = per_forward_s(one) / per_forward_s(context)
    speedup = min(one.seconds) / min(two.seconds)
    heading = ["", "forwards", "processor time", "a forward", "on the clock"]
    return "\n".join(
        [
            f"Work on a video of {scaling_s:g} s, driver included:",
            "",
            *_table(heading, rows),
            "",
            f"A gang of one spends {ratio:.3f} times the processor time per forward that context "
            f"windows do (at most {MOST_PER_FORWARD}: {_verdict(ratio <= MOST_PER_FORWARD)}). A "
            f"gang of two is {speedup:.2f} times as fast as a gang of one.",
        ]
    )


def seam_table(found: Mapping[str, Joined], duration_s: float, num_steps: int) -> str:
    """A row per method, a column per measure."""
    names = [label for label, _ in effect_rows(found[GANG].seams)]
    rows = []
    for method, joined in found.items():
        effects = dict(effect_rows(joined.seams))
        cells = [
            f"{effects[name].ratio:.2f} ({interval(effects[name])})" if name in effects else ""
            for name in names
        ]
        label = f"{method}, at a gang's joins" if method == ONE_PASS else method
        rows.append([label, str(joined.num_joins), *cells])
    return "\n".join(
        [
            f"Seams of videos of {duration_s:g} s in {num_steps} steps; 1 is none, a star says "
            "that the 95 % interval leaves 1 out:",
            "",
            *_table(["", "joins", *names], rows),
        ]
    )


def per_forward_s(outcome: Outcome) -> float:
    """Processor time per forward: of several runs, the lowest."""
    return min(outcome.processor_s) / outcome.num_forwards


def _growth(gang: Mapping[float, Outcome], state_bytes_per_latent_frame: int) -> str:
    """Memory of the largest actor, from the first flat length to the last, against the state's."""
    first, last = _ends(gang)
    grown = max(gang[last].peak_bytes) - max(gang[first].peak_bytes)
    frames = gang[last].num_latent_frames - gang[first].num_latent_frames
    num_actors = len(gang[last].peak_bytes) - 1
    state = frames * state_bytes_per_latent_frame / num_actors
    return (
        f"From {first:g} s to {last:g} s one actor's share of the latent state (latents and solver "
        f"history) grows by {state / MIB:.1f} MiB, the largest process by {grown / MIB:.1f} MiB: "
        f"{grown / state:.3f} times as much (at most {MOST_OVER_STATE}: "
        f"{_verdict(grown <= MOST_OVER_STATE * state)})."
    )


def _flatness(gang: Mapping[float, Outcome]) -> str:
    first, last = _ends(gang)
    ratios = {
        duration_s: (min(got.seconds) / duration_s) / (min(gang[first].seconds) / first)
        for duration_s, got in gang.items()
        if duration_s >= first
    }
    worst = max(ratios.values())
    return (
        f"A second of video costs {ratios[last]:.3f} times at {last:g} s what it costs at "
        f"{first:g} s; the most at any length between is {worst:.3f} (at most {MOST_PER_SECOND}: "
        f"{_verdict(worst <= MOST_PER_SECOND)})."
    )


def _ends(gang: Mapping[float, Outcome]) -> tuple[float, float]:
    """The first length that time must be flat from, and the last."""
    lengths = sorted(gang)
    return next((d for d in lengths if d >= FLAT_FROM_S), lengths[0]), lengths[-1]


def _gang_cells(outcome: Outcome | None, duration_s: float) -> list[str]:
    if outcome is None:
        return ["", "", ""]
    fastest_s = min(outcome.seconds)
    memory = f"{max(outcome.peak_bytes) / MIB:.0f} MiB"
    return [f"{fastest_s:.2f} s", f"{1000.0 * fastest_s / duration_s:.1f} ms", memory]


def _cells(outcome: Outcome | None) -> list[str]:
    if outcome is None:
        return ["", ""]
    if outcome.failure:
        return [outcome.failure, "-"]
    memory = statistics.median(outcome.peak_bytes)
    return [f"{min(outcome.seconds):.2f} s", f"{memory / MIB:.0f} MiB"]


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    rule = ["---", *["---:"] * (len(heading) - 1)]
    return [f"| {' | '.join(cells)} |" for cells in (heading, rule, *rows)]


def _verdict(holds: bool) -> str:
    return "holds" if holds else "does NOT hold"
