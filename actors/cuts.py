"""The driver's side of snapshots: when a cut is due, and when it is whole.

Every segment stores its share of a cut by itself. When all shares are in the store the driver
writes the manifest, and only then are older cuts pruned. A cut in mid-video that can't be stored is
given up with a warning, since the older one still stands; the last one, the finished latents, has
to succeed.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.errors import ConfigError, StoreError
from pipeline.snapshot import Cut, digest_of, tiles
from pipeline.snapshot_store import prune, put_cut

if TYPE_CHECKING:
    from actors.snapshot_writer import Saved
    from pipeline.plan import VideoPlan
    from pipeline.snapshot import StoredPart
    from pipeline.stores import ObjectStore

logger = logging.getLogger("nightreel.cuts")

# What Young's rule needs to know: how often a gang loses a node or its driver.
TIME_BETWEEN_FAILURES_S = 6 * 3600.0

# Until it is known how long a cut takes to write.
EXPECTED_WRITE_S = 1.0

# However cheap steps are, the boundaries of no more than these are kept.
MAX_AUTO_STEPS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointOptions:
    """How often a video's state is stored while it is sampled.

    Attributes:
        every_steps: steps between two snapshots; ``auto``: by what they cost (Young, "A first order
            approximation to the optimum checkpoint interval", CACM 1974: the square root of twice
            the time to write one times the time between failures), at most 10; 0: none.
    """

    every_steps: int | Literal["auto"] = "auto"

    def __post_init__(self) -> None:
        if self.every_steps != "auto" and self.every_steps < 0:
            raise ConfigError(
                f"checkpoint.every_steps = {self.every_steps}: expected auto, or 0 or more"
            )


class Cuts:
    """The cuts of one video, from the one that it goes on from to the one with its last latents.

    Attributes:
        base: the newest whole cut; ``None`` is the noise that everything starts from.
        num_written: cuts that became whole here.
    """

    def __init__(
        self,
        plan: VideoPlan,
        options: CheckpointOptions,
        *,
        store: ObjectStore | None,
        prefix: str | None,
        keeps_last: bool,
        base: Cut | None = None,
    ) -> None:
        """Nothing is stored where ``store`` or ``prefix`` is ``None``."""
        self.base, self.num_written = base, 0
        self._plan, self._store, self._prefix = plan, store, prefix
        self._digest = digest_of(plan)
        is_on = store is not None and prefix is not None
        self._every: int | Literal["auto"] = options.every_steps if is_on else 0
        self._keeps_last = is_on and keeps_last
        self._due: dict[int, bool] = {}
        self._parts: dict[int, dict[int, StoredPart]] = {}
        self._has_older = False
        # The newest cut that is whole or was given up: what sampling may not run too far ahead of.
        self._settled = self.base_step
        self._write_s, self._decided_s = EXPECTED_WRITE_S, time.monotonic()

    @property
    def base_step(self) -> int:
        """The step that everything can go on from."""
        return 0 if self.base is None else self.base.step

    @property
    def prefix(self) -> str | None:
        """Where the cuts are stored; ``None``: nowhere."""
        return self._prefix if self._store is not None else None

    @property
    def can_store(self) -> bool:
        """Whether there is a place for cuts."""
        return self.prefix is not None

    @property
    def settled_step(self) -> int:
        """The step of the newest cut that is whole or was given up."""
        return self._settled

    @property
    def has_last(self) -> bool:
        """Whether the finished latents are in the store."""
        return self.base_step == self._plan.num_steps

    @property
    def is_last_settled(self) -> bool:
        """Whether the finished latents are as safe as they are to be."""
        return not self._keeps_last or self.base_step == self._plan.num_steps

    @property
    def open_cuts(self) -> tuple[int, ...]:
        """Cuts that were begun and are not whole."""
        return tuple(step for step, due in self._due.items() if due and step > self._settled)

    def owes(self, cut_step: int, owned_start: int) -> bool:
        """Whether the share of a cut that begins at a slot is still to come."""
        return owned_start not in self._parts.get(cut_step, {})

    def saves(self, step: int) -> bool:
        """Whether the state after ``step`` is to be stored; the same answer for every segment."""
        cut_step = step + 1
        if cut_step <= self._settled:
            return False
        if cut_step not in self._due:
            self._due[cut_step] = self._is_due(cut_step)
        return self._due[cut_step]

    def request(self, step: int, *, always: bool = False) -> None:
        """Store the state after ``step``, whatever the rule says; nobody has begun it yet.

        Args:
            step: the step.
            always: also where the rule is to take no snapshots.
        """
        is_on = self.can_store if always else bool(self._every)
        if is_on and step + 1 < self._plan.num_steps:
            self._due[step + 1] = True

    def may_run(self, step: int) -> bool:
        """Whether ``step`` is near enough to the newest cut to be computed.

        So what is kept for replays is bounded: twice the steps between cuts, for one cut may be
        under way while the next is approached.
        """
        if not self._every:
            return True
        every = MAX_AUTO_STEPS if self._every == "auto" else self._every
        return step < self._settled + 2 * every

    def note(self, saved: Saved) -> None:
        """A segment's share of a cut is stored, or can't be.

        Raises:
            StoreError: the finished latents can't be stored.
        """
        if saved.step <= self._settled:
            return
        self._write_s = max(saved.write_s, 0.5 * self._write_s)
        if saved.error is not None:
            self._give_up(saved.step, saved.error)
            return
        parts = self._parts.setdefault(saved.step, {})
        parts.update({part.span.start: part for part in saved.parts})
        in_order = tuple(parts[start] for start in sorted(parts))
        if tiles(in_order, self._plan.boundary.num_slots):
            self._complete(saved.step, in_order)

    def prune(self) -> None:
        """Remove cuts older than the newest, if there may be any; nobody may be reading them."""
        if not self._has_older:
            return
        assert self._store is not None
        assert self._prefix is not None
        assert self.base is not None
        self._has_older = False
        try:
            prune(self._store, self._prefix, self.base)
        except StoreError as error:
            logger.warning("video '%s': older snapshots stay: %s", self.base.video, error)

    def _is_due(self, cut_step: int) -> bool:
        if cut_step == self._plan.num_steps:
            return self._keeps_last
        if self._every != "auto":
            return bool(self._every) and cut_step % self._every == 0
        if self.open_cuts:
            return False
        since_s = time.monotonic() - self._decided_s
        interval_s = math.sqrt(2.0 * self._write_s * TIME_BETWEEN_FAILURES_S)
        if since_s < interval_s and cut_step < self._settled + MAX_AUTO_STEPS:
            return False
        self._decided_s = time.monotonic()
        return True

    def _complete(self, step: int, parts: tuple[StoredPart, ...]) -> None:
        assert self._store is not None
        assert self._prefix is not None
        cut = Cut(
            video=self._plan.request.id,
            plan_digest=self._digest,
            step=step,
            num_steps=self._plan.num_steps,
            num_slots=self._plan.boundary.num_slots,
            parts=parts,
        )
        try:
            put_cut(self._store, self._prefix, cut)
        except StoreError as error:
            self._give_up(step, error)
            return
        self.base, self.num_written = cut, self.num_written + 1
        self._has_older = True
        self._settle(step)

    def _give_up(self, step: int, error: Exception) -> None:
        if step == self._plan.num_steps:
            raise error
        logger.warning("video '%s': no snapshot at step %d: %s", self._plan.request.id, step, error)
        self._settle(step)

    def _settle(self, step: int) -> None:
        self._settled = step
        for passed in [other for other in self._parts if other <= step]:
            del self._parts[passed]
