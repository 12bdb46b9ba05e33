"""Checking a manifest without rendering it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.engine_source import engine_spec
from jobs.triage import Triage
from storage.manifest import Manifest
from storage.rejected import Rejection

if TYPE_CHECKING:
    from jobs.settings import JobConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationReport:
    """What a manifest's rows are good for under one configuration."""

    num_rows: int
    num_valid: int
    rejected: tuple[Rejection, ...]


def validate_manifest(uri: str, config: JobConfig) -> ValidationReport:
    """Check every row against manifest, configuration and engine; write nothing.

    Raises:
        UserError: the manifest as a whole, or the engine's weights, can't be read.
    """
    manifest = Manifest.open(uri, s3=config.store)
    num_valid, rejected = 0, []
    for row in Triage(config, engine_spec(config)).rows(manifest):
        if isinstance(row, Rejection):
            rejected.append(row)
        else:
            num_valid += 1
    return ValidationReport(
        num_rows=manifest.num_rows, num_valid=num_valid, rejected=tuple(rejected)
    )
