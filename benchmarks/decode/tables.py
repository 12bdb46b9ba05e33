"""What was measured, as Markdown."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

from benchmarks.decode.warmup import same_bytes_from

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.decode.gang import Delivery
    from benchmarks.decode.warmup import Difference
    from pipeline.tiling import Tiling


def warmup_table(found: Mapping[str, dict[int, Difference]], reaches: Mapping[str, int]) -> str:
    """A row per width: PSNR, largest difference and share of bytes, for every autoencoder."""
    lines = [
        "PSNR against one whole stream, largest difference in grey values, share of bytes that "
        "differ:",
        "",
        f"| warm-up, latent frames | {' | '.join(found)} |",
        "| ---: |" + " --- |" * len(found),
    ]
    for width in sorted({width for of_one in found.values() for width in of_one}):
        cells = [_cell(of_one.get(width)) for of_one in found.values()]
        lines.append(f"| {width} | {' | '.join(cells)} |")
    lines += [""]
    for name, of_one in found.items():
        is_exact = not of_one[reaches[name]].largest
        lines.append(
            f"- {name}: its decoder hears {reaches[name]} latent frames; with as many no byte "
            f"differs ({'holds' if is_exact else 'does NOT hold'}). Of the widths measured none "
            f"differs from {same_bytes_from(of_one)} on."
        )
    return "\n".join(lines)


def tile_table(found: Mapping[Tiling, Difference]) -> str:
    """A row per size of tiles."""
    lines = [
        "The embedded model's video in tiles, against whole pictures:",
        "",
        "| tiles | overlap | PSNR, largest difference, share of bytes |",
        "| ---: | ---: | --- |",
    ]
    for tiling, difference in found.items():
        lines.append(f"| {tiling.tile_px} px | {tiling.overlap_px} px | {_cell(difference)} |")
    return "\n".join(lines)


def time_table(delivery: Delivery, reach: int, duration_s: float) -> str:
    """Seconds of a delivery by one actor's decoder and by all."""
    medians = {is_parallel: statistics.median(s) for is_parallel, s in delivery.seconds.items()}
    lines = [
        f"A video of {duration_s:g} s ({delivery.num_latent_frames} latent frames) of the embedded "
        "model from finished latents to the verified object, two actors of one thread:",
        "",
        "| decoded | median | every run |",
        "| --- | ---: | --- |",
    ]
    names = {False: "by the first actor, as a stream", True: f"by both, warm-up {reach}"}
    for is_parallel, times_s in delivery.seconds.items():
        every = ", ".join(f"{time_s:.2f} s" for time_s in times_s)
        lines.append(f"| {names[is_parallel]} | {medians[is_parallel]:.2f} s | {every} |")
    same = "the same file, byte for byte" if len(delivery.files) == 1 else "DIFFERENT files"
    ratio = medians[False] / medians[True]
    return "\n".join([*lines, "", f"Both make {same}. By pieces is {ratio:.2f} times as fast."])


def _cell(difference: Difference | None) -> str:
    if difference is None:
        return ""
    if math.isinf(difference.psnr_db):
        return "the same bytes"
    share = f"{difference.share:.2g}" if difference.share < 0.01 else f"{difference.share:.2f}"
    return f"{difference.psnr_db:.1f} dB, {difference.largest}, {share}"
