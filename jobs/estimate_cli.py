"""``nightreel estimate``: what a manifest will take, before it is rendered."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from jobs.estimate import Estimate
    from jobs.prices import Cost

# A video that alone takes so much of the time is named.
_SHARE_OF_LONGEST: Final = 0.9


def estimate(
    manifest: Annotated[str, typer.Argument(metavar="MANIFEST", help="As for render.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings, as for render.")
    ] = None,
    gpus: Annotated[
        int, typer.Option("--gpus", min=1, help="GPUs; CPU cores where there are none.")
    ] = 1,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="As for render: what is there is not counted."),
    ] = None,
    measured: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="OUTPUT", help="Also measure the finished videos there."),
    ] = None,
    hardware: Annotated[
        str | None,
        typer.Option("--hardware", help="Only what was measured on this, such as H100 or cpu."),
    ] = None,
    prices: Annotated[
        Path | None, typer.Option("--prices", metavar="FILE", help="Price table, YAML.")
    ] = None,
    preset: Annotated[str | None, typer.Option("--preset", help="As for render.")] = None,
    config: Annotated[list[Path] | None, typer.Option("--config", help="As for render.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Estimate frames, GPU-hours, time, storage and cost; render nothing."""
    from jobs.config import load_config
    from jobs.estimate_job import estimate_manifest
    from jobs.prices import cost_of, read_prices

    table = read_prices(prices) if prices is not None else None
    found = estimate_manifest(
        manifest,
        load_config(preset=preset, files=config or [], overrides=overrides or []),
        output=output,
        num_gpus=gpus,
        sources=measured or [],
        hardware=hardware,
    )
    cost = cost_of(found, table) if table is not None else None
    if as_json:
        values = {**asdict(found), "cost": None if cost is None else asdict(cost)}
        typer.echo(json.dumps(values, indent=2))
    else:
        for line in lines(found, cost):
            typer.echo(line)


def lines(found: Estimate, cost: Cost | None) -> list[str]:
    """The estimate as a person reads it."""
    from jobs.pace import clock_text

    pace = found.pace
    text = [
        f"videos      {found.num_videos} to render, {found.num_skipped} there already, "
        f"{found.num_rejected} rejected",
        f"film        {clock_text(found.duration_s)}, {found.num_frames} frames",
        f"work        {found.num_segments} segments, {found.num_windows} windows x steps",
    ]
    if pace is None:
        return [*text, "time        not known: nothing was measured; see --from and --hardware"]
    unit = "cores" if pace.hardware == "cpu" else "GPUs"
    hours = "core-hours" if pace.hardware == "cpu" else "GPU-hours"
    assert found.makespan_s is not None
    assert found.makespan_bound_s is not None
    assert found.longest_s is not None
    assert found.storage_bytes is not None
    text += [
        f"time        {clock_text(found.makespan_s)} on {found.num_gpus:g} {unit}, to the last "
        f"upload's end; no plan beats {clock_text(found.makespan_bound_s)}"
    ]
    if found.num_videos > 1 and found.longest_s >= _SHARE_OF_LONGEST * found.makespan_s:
        text += [f"longest     {clock_text(found.longest_s)}: '{found.longest_id}' by itself"]
    if found.num_late:
        text += [f"late        {found.num_late} videos end after their deadlines, if it starts now"]
    text += [
        f"{hours:11} {found.gpu_hours:.3g}, of which {found.busy_gpu_hours:.3g} in the model",
        f"storage     {found.storage_bytes / 1e6:.1f} MB",
    ]
    if cost is not None:
        text += [
            f"cost        {cost.gpu:.2f} {cost.currency}, and {cost.storage_month:.2f} "
            f"{cost.currency} a month for storage"
        ]
    return [*text, f"{pace.source:11} {pace.origin}, on {pace.hardware}"]
