"""``python -m benchmarks.batching``: is a window cheaper in a batch with other videos' windows?

The embedded model's transformer on one core, and, where there is a GPU, Wan 2.1 1.3B with random
weights on one window of 81 frames at 832x480. ``--quick`` measures little and leaves the README
alone.

Shapes: B windows, C channels, T latent frames, H and W latent pixels, S tokens, D text width.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from diffusers import WanTransformer3DModel

from benchmarks.hardware import setting
from benchmarks.readme import write_section
from benchmarks.speed.model import published
from benchmarks.usage import command_line
from pipeline.embedded import weights_folder
from pipeline.engines.registry import EngineOptions, read_spec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

README: Final = Path(__file__).parent / "README.md"
BATCHES: Final = (1, 2, 4)
NUM_ROUNDS: Final = 20
TEXT_TOKENS: Final = 64

# Runs one forward of so many windows.
Forward = Callable[[int], "Tensor"]


def main(words: Sequence[str] | None = None) -> None:
    parser = command_line(__package__, __doc__)
    parser.add_argument("--quick", action="store_true", help="two rounds; prints only")
    is_quick = parser.parse_args(words).quick
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    models = {"embedded model, one core": _embedded()}
    if torch.cuda.is_available():
        models["Wan 2.1 1.3B, 832x480, 81 frames, bf16"] = _published()
    rounds = 2 if is_quick else NUM_ROUNDS
    text = f"{setting('python -m benchmarks.batching')}.\n\n" + table(
        {name: seconds_of_a_window(forward, rounds) for name, forward in models.items()}
    )
    print(text)
    if not is_quick:
        write_section(README, "table", text)


def seconds_of_a_window(forward: Forward, num_rounds: int) -> dict[int, list[float]]:
    """Seconds of a forward over its windows, by batch; batches take turns, after one to warm up."""
    found: dict[int, list[float]] = {batch: [] for batch in BATCHES}
    for batch in BATCHES:
        forward(batch)
    for _ in range(num_rounds):
        for batch, seconds in found.items():
            started_s = time.perf_counter()
            # Whoever looks at a number has waited for it.
            float(forward(batch).flatten()[0])
            seconds.append((time.perf_counter() - started_s) / batch)
    return found


def table(found: dict[str, dict[int, list[float]]]) -> str:
    """Fastest of the rounds, and the median over rounds of the ratio to a window alone."""
    rows = ["| model | windows in a batch | a window | beside one alone |", "|---|---:|---:|---:|"]
    for name, by_batch in found.items():
        for batch, seconds in by_batch.items():
            ratios = [one / alone for one, alone in zip(seconds, by_batch[1], strict=True)]
            ratio = statistics.median(ratios)
            rows.append(f"| {name} | {batch} | {1e3 * min(seconds):.1f} ms | {ratio:.2f} |")
    return "\n".join(rows)


def _embedded() -> Forward:
    folder = weights_folder()
    spec = read_spec(EngineOptions(weights=str(folder)))
    network = WanTransformer3DModel.from_pretrained(folder / "transformer").eval()
    shape_THW = (spec.window_latent_frames, spec.height // 8, spec.width // 8)
    return _forward(network, shape_THW, TEXT_TOKENS, torch.device("cpu"), torch.float32)


def _published() -> Forward:
    model = published()
    shape_THW = (model.window_latent_frames, model.height // 8, model.width // 8)
    device = torch.device(model.device)
    return _forward(model.transformer(), shape_THW, model.text_tokens, device, model.dtype)


def _forward(
    network: Any,
    shape_THW: tuple[int, int, int],
    num_tokens: int,
    device: torch.device,
    dtype: torch.dtype,
) -> Forward:
    config = network.config

    def forward(batch: int) -> Tensor:
        latents_BCTHW = torch.ones(batch, config.in_channels, *shape_THW, device=device)
        embeds_BSD = torch.ones(batch, num_tokens, config.text_dim, device=device)
        velocities_BCTHW: Tensor = network(
            hidden_states=latents_BCTHW.to(dtype),
            timestep=torch.full((batch,), 500.0, device=device),
            encoder_hidden_states=embeds_BSD.to(dtype),
            return_dict=False,
        )[0]
        return velocities_BCTHW

    return forward


if __name__ == "__main__":
    main()
