"""``python -m benchmarks.decode``: what a warm-up is worth, what tiles cost, who is faster.

``--quick`` looks at less of everything, to see that it works, and leaves the README alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.decode.autoencoders import embedded, random_weights
from benchmarks.decode.gang import deliver
from benchmarks.decode.tables import tile_table, time_table, warmup_table
from benchmarks.decode.warmup import KEPT, WIDTHS, compare, differences
from benchmarks.hardware import setting
from benchmarks.readme import write_section
from benchmarks.usage import command_line
from pipeline.tiling import Tiling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.decode.autoencoders import Subject
    from benchmarks.decode.warmup import Difference

README = Path(__file__).parent / "README.md"

TILINGS = (Tiling(tile_px=48, overlap_px=16), Tiling(tile_px=80, overlap_px=16))


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is looked at."""

    num_steps: int = 10
    num_pieces: int = 2
    side: int = 4
    widths: tuple[int, ...] = WIDTHS
    delivery_s: float = 60.0
    num_pairs: int = 2


QUICK = Effort(num_steps=1, num_pieces=1, side=1, widths=(0, 4), delivery_s=18.0, num_pairs=1)


def main(words: Sequence[str] | None = None) -> None:
    parser = command_line(__package__, __doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything; prints only")
    is_quick = parser.parse_args(words).quick
    effort = QUICK if is_quick else Effort()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    subjects = subjects_of(effort)
    found = {}
    for subject in subjects:
        found[subject.name] = differences(subject, effort.widths, effort.num_pieces)
        print(f"{subject.name}: measured", flush=True)
    reaches = {subject.name: subject.reach_latent_frames for subject in subjects}
    delivery = deliver(effort.delivery_s, effort.num_pairs)
    text = "\n\n".join(
        [
            setting("python -m benchmarks.decode") + ".",
            warmup_table(found, reaches),
            tile_table(in_tiles(subjects[0])),
            time_table(delivery, reaches[subjects[0].name], effort.delivery_s),
        ]
    )
    print(text)
    if not is_quick:
        write_section(README, "table", text)


def subjects_of(effort: Effort) -> list[Subject]:
    """The embedded model on a finished video, and both published shapes with random weights."""
    length = KEPT * effort.num_pieces
    # Latent frames of the embedded model are a quarter of a second.
    first = embedded((28 + length) / 4.0, effort.num_steps)
    return [first, *(random_weights(name, 38 + length, effort.side) for name in ("2.1", "2.2"))]


def in_tiles(subject: Subject) -> dict[Tiling, Difference]:
    """Some latent frames in tiles of each size, against the same in whole pictures."""
    latents = subject.latents_TCHW[:KEPT]
    whole = np.concatenate(list(subject.decoder(None).push(latents)))
    return {
        tiling: compare(np.concatenate(list(subject.decoder(tiling).push(latents))), whole)
        for tiling in TILINGS
    }


if __name__ == "__main__":
    main()
