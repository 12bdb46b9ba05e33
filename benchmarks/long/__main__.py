"""``python -m benchmarks.long``: one video of ten seconds to half an hour, beside peers.

``--quick`` renders 10 and 20 s in one step, to see that it works, and leaves the README alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmarks.hardware import setting
from benchmarks.long.plot import plot
from benchmarks.long.runs import FULL, QUICK, measure_all
from benchmarks.long.seams import measure_seams
from benchmarks.long.tables import FP32_BYTES, compute_table, main_table, seam_table
from benchmarks.long.work import SETTINGS, plan_of
from benchmarks.readme import write_section
from benchmarks.usage import command_line
from jobs.config import load_config
from pipeline.engines.registry import read_spec

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).parent
README, PICTURE = HERE / "README.md", HERE / "long.png"


def main(words: Sequence[str] | None = None) -> None:
    parser = command_line(__package__, __doc__)
    parser.add_argument("--quick", action="store_true", help="10 and 20 s, one step; prints only")
    is_quick = parser.parse_args(words).quick
    extent = QUICK if is_quick else FULL
    found = measure_all(extent)
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    seams = measure_seams(extent.seams_s, extent.seams_steps)
    where = (
        f"{setting('python -m benchmarks.long')}; the embedded model, "
        f"`{' '.join(SETTINGS)} defaults.num_inference_steps={extent.num_steps}`, one thread each."
    )
    text = "\n\n".join(
        [
            where,
            main_table(found, _state_bytes(extent.num_steps)),
            compute_table(found, extent.scaling_s),
            seam_table(seams, extent.seams_s, extent.seams_steps),
            f"![Time and memory against length]({PICTURE.name})",
        ]
    )
    print(text)
    if not is_quick:
        write_section(README, "table", text)
        plot(found, PICTURE)


def _state_bytes(num_steps: int) -> int:
    """Latents of one latent frame, and the solver's history of them."""
    plan = plan_of(read_spec(load_config().engine), 10.0, num_steps)
    channels, height, width = plan.latent_shape
    copies = 1 + plan.options.sampler.history_depth
    return copies * channels * height * width * FP32_BYTES


if __name__ == "__main__":
    main()
