"""Signs of life: a thread that renews one lease while its video is rendered."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from pipeline.errors import StoreAccessError, StoreError, StoreUnavailableError
from storage.leases import LeaseLostError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from storage.leases import Lease, LeaseOptions

LOG = logging.getLogger("nightreel.heartbeat")

# Two renewals may fail before a lease runs out.
RENEWALS_PER_TTL = 3
# For a renewal on its way to a store that doesn't answer.
PATIENCE_S = 30.0


class Heartbeat:
    """Renews a lease until the block ends, and gives it back then. Use as a context manager.

    A store that can't be reached is no loss: the video goes on, and the lease is renewed when the
    store is back, unless another driver has taken it by then.

    Attributes:
        done: set it when the ledger says that the video is rendered.
    """

    def __init__(self, lease: Lease, options: LeaseOptions) -> None:
        self._lease = lease
        self._interval_s = options.ttl_s / RENEWALS_PER_TTL
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._beat, name=f"lease-{lease.video_id}", daemon=True
        )
        self.done = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_S)
        if self._thread.is_alive():
            LOG.warning("%s: the lease runs out by itself", self._lease.video_id)
            return
        if isinstance(error, StoreUnavailableError | StoreAccessError):
            # Nobody is kept from stopping by a store that is out of reach.
            return
        try:
            self._lease.release(done=self.done)
        except StoreError as failed:
            LOG.warning("%s: the lease runs out by itself: %s", self._lease.video_id, failed)

    def check(self) -> None:
        """Go on only while the video is this driver's.

        Raises:
            LeaseLostError: another driver has it now.
        """
        if self._lease.lost:
            raise LeaseLostError(
                f"video '{self._lease.video_id}': another driver has taken it over, because this "
                "one gave no sign of life for too long"
            )

    def _beat(self) -> None:
        while not self._stop.wait(self._interval_s):
            try:
                if not self._lease.renew():
                    return
            except StoreError as error:
                LOG.warning("%s: can't renew the lease now: %s", self._lease.video_id, error)
