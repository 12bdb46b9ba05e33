"""The manifest's rows as the page shows them: those that nobody has begun have nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from jobs.report.facts import MAX_PROMPT_CHARS, filled, prompts_of, short
from storage.rejected import Rejection

if TYPE_CHECKING:
    from jobs.report.facts import Facts
    from pipeline.request import VideoSpec
    from storage.manifest import Manifest

# A page of more films is of no use to a person; ``results.parquet`` has all.
MAX_SHOWN: Final = 5_000


@dataclass(slots=True, kw_only=True)
class Rows:
    """The first rows of a manifest, good ones as facts by id.

    Attributes:
        num_rows: rows in all, shown or not.
        num_read: rows that were looked at.
    """

    num_rows: int = 0
    num_read: int = 0
    asked: dict[str, Facts] = field(default_factory=dict)
    rejected: list[Rejection] = field(default_factory=list)


def read_rows(manifest: Manifest | None) -> Rows:
    """Read a manifest as far as the page shows it.

    Raises:
        UserError: it can't be read.
        StoreError: the S3 server refused.
    """
    if manifest is None:
        return Rows()
    rows = Rows(num_rows=manifest.num_rows)
    for row in manifest.rows():
        rows.num_read += 1
        if isinstance(row, Rejection):
            rows.rejected.append(row)
        else:
            rows.asked[row.spec.id] = _facts(row.spec)
        if rows.num_read >= MAX_SHOWN:
            break
    return rows


def _facts(spec: VideoSpec) -> Facts:
    facts: Facts = {
        "prompts": prompts_of(spec.prompt, spec.events),
        "negative_prompt": short(spec.negative_prompt, MAX_PROMPT_CHARS),
        "seed": spec.seed,
        "duration_s": spec.duration_s,
        "num_frames": spec.num_frames,
        "width": spec.width,
        "height": spec.height,
        "num_inference_steps": spec.num_inference_steps,
        "guidance_scale": spec.guidance_scale,
        "guidance_scale_2": spec.guidance_scale_2,
        "deadline": spec.deadline,
        "priority": spec.priority or None,
        "metadata": {str(name): str(value)[:1_000] for name, value in spec.metadata.items()},
    }
    return filled(facts)
