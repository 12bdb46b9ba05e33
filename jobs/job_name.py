"""What a running job is called on the dashboard, in logs and in metrics."""

from __future__ import annotations

import json
import os
from typing import Final

# Set by Ray for a driver that its Jobs API has started.
RAY_JOB_CONFIG: Final = "RAY_JOB_CONFIG_JSON_ENV_VAR"
BY_HAND: Final = "render"


def job_name() -> str:
    """The submission id; ``render`` for a driver that somebody started by hand."""
    try:
        metadata = json.loads(os.environ.get(RAY_JOB_CONFIG, "{}")).get("metadata", {})
        return metadata.get("job_submission_id") or BY_HAND
    except (ValueError, AttributeError):
        return BY_HAND
