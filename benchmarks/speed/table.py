"""The figures as a table, and what they say of what was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.speed.sampling import Steps

# Two decimals: a step of ours moves a few megabytes between CPU and GPU, which is in the third.
LEAST_RATIO: Final = 0.995
PLAIN: Final = "ours, plain"


def table(stock: Steps, measured: Mapping[str, Steps | str]) -> str:
    """A row per run; where there is a text instead of figures, that is why there are none."""
    lines = [
        "| | seconds per step | times as fast as stock | first step | peak memory |"
        " latents against stock's, relative |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        _row("stock diffusers", stock, stock),
    ]
    for name, steps in measured.items():
        lines.append(
            f"| {name} | {steps} | | | | |" if isinstance(steps, str) else _row(name, steps, stock)
        )
    return "\n".join(lines)


def verdict(stock: Steps, measured: Mapping[str, Steps | str]) -> str:
    """Whether plain is as fast as stock, and by how much the best is faster."""
    ratios = {
        name: stock.step_s / steps.step_s
        for name, steps in measured.items()
        if not isinstance(steps, str)
    }
    said = "as asked" if ratios[PLAIN] >= LEAST_RATIO else "LESS than asked"
    best = max(ratios, key=ratios.__getitem__)
    return (
        f"Plain, ours is {ratios[PLAIN]:.2f} times as fast as stock (at least 1.00: {said}); the "
        f"fastest is {best}, {ratios[best]:.2f} times."
    )


def _row(name: str, steps: Steps, stock: Steps) -> str:
    peak = "" if steps.peak_bytes is None else f"{steps.peak_bytes / 2**30:.2f} GiB"
    return (
        f"| {name} | {steps.step_s:.3f} | {stock.step_s / steps.step_s:.2f} | "
        f"{steps.first_s:.2f} s | {peak} | {steps.relative_error(stock):.1e} |"
    )
