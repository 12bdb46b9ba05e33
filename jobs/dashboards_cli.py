"""The command ``nightreel dashboards``."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  # typer reads the annotations
from typing import Annotated

import typer

from jobs.dashboards import write_dashboards


def dashboards(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Made if it is not there.")],
) -> None:
    """Write a Grafana dashboard, Prometheus alert rules and a configuration into a folder."""
    for path in write_dashboards(folder):
        typer.echo(str(path))
