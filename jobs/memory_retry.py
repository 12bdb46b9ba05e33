"""A video that takes too much memory is made once more on the next thriftier profile, and so on.

It goes on from its last snapshot. A profile that changes no bit stays for the rest of the job, so
that the next video does not run out of memory too; one that does is for this video alone. Either
way the sidecar says it. If the thriftiest is not enough, the row fails by name.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from actors.failures import SegmentOutOfMemoryError
from pipeline.engines.wan.memory_profile import thriftier
from pipeline.errors import MemoryExceededError

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.settings import JobConfig
    from pipeline.delivery import Delivered

logger = logging.getLogger("nightreel.memory_retry")


def render_within_memory(
    render: Callable[[JobConfig], Delivered], config: JobConfig, video_id: str
) -> tuple[Delivered, JobConfig]:
    """Render as configured, or on the first thriftier profile that is enough.

    Args:
        render: renders the video under a configuration.
        config: the first to try.
        video_id: for logs.

    Returns:
        What was delivered, and the configuration that was in force.

    Raises:
        MemoryExceededError, SegmentOutOfMemoryError: none is enough.
        NightreelError: the video can't be made, or the cluster can't serve.
    """
    while True:
        try:
            return render(config), config
        except (MemoryExceededError, SegmentOutOfMemoryError) as error:
            following = _thriftier(config, error)
            if following is None:
                raise
            logger.warning(
                "video '%s': %s; once more with engine.profile = %s",
                *(video_id, error, following.engine.profile),
            )
            config = following


def _thriftier(
    config: JobConfig, error: MemoryExceededError | SegmentOutOfMemoryError
) -> JobConfig | None:
    """The same but for the profile; ``None``: it was the thriftiest, or the engine has none."""
    if config.engine.name == "gaussian":
        return None
    # An actor that was ended can't say what it had; what it was told to have is the least it had.
    taken = error.profile if isinstance(error, MemoryExceededError) else ""
    profile = thriftier(taken or config.engine.profile)
    if profile is None:
        return None
    return replace(config, engine=replace(config.engine, profile=profile.name))
