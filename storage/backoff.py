"""Trying again: exponential backoff with full jitter, for what botocore doesn't retry itself."""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.errors import StoreError

LOG = logging.getLogger("nightreel.storage.backoff")

T = TypeVar("T")

FIRST_DELAY_S: Final = 0.2
# As botocore's standard mode: longer waits don't help a server that throttles.
LONGEST_DELAY_S: Final = 20.0
_RANDOM: Final = random.SystemRandom()


def retry(call: Callable[[], T], attempts: int, errors: tuple[type[StoreError], ...]) -> T:
    """Call until it returns, at most ``attempts`` times, while it raises one of ``errors``."""
    for number in range(attempts - 1):
        try:
            return call()
        except errors as error:
            delay_s = delay(number)
            LOG.warning("%s; trying again in %.1f s", error, delay_s)
            time.sleep(delay_s)
    return call()


def delay(failures: int) -> float:
    """Seconds to wait after so many earlier failures: anything up to a limit that doubles."""
    return _RANDOM.uniform(0.0, min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0**failures))
