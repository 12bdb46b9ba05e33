"""Files for Grafana and Prometheus, and where they are."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Final

from pipeline.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

# A dashboard to import, alert rules, and a configuration that reads them.
FILES: Final = ("nightreel.json", "alerts.yml", "prometheus.yml")


def text_of(name: str) -> str:
    """One of ``FILES``."""
    return (files("jobs.dashboards") / name).read_text(encoding="utf-8")


def write_dashboards(folder: Path) -> list[Path]:
    """Copy the files into a folder; what is there under their names stays, with an error.

    Raises:
        UserError: a file is there already and says something else, or can't be written.
    """
    written = [folder / name for name in FILES]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in written:
            if path.exists() and path.read_text(encoding="utf-8") != text_of(path.name):
                raise UserError(f"{path}: is there already, and was changed: move it away first")
        for path in written:
            path.write_text(text_of(path.name), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder}: can't write dashboards: {error}") from error
    return written
