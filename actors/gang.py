"""A gang: the warm actors that render one video after another.

It owns who renders and from where. A video that loses a process goes on within its take; one that
loses a node begins another take, from the last whole cut, with whoever is left.
"""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING, Any

from actors.crew import Crew
from actors.cuts import CheckpointOptions, Cuts
from actors.failures import GangBrokenError, SegmentDiedError
from actors.handles import abandon_all, keep, wait_for
from actors.losses import Losses
from actors.metrics import RetryMetrics
from actors.pause import Pause, never
from actors.segment import Assignment
from actors.take import Take
from actors.track import Track
from pipeline.errors import (
    ClusterError,
    EncodeError,
    ObjectCorruptError,
    ObjectMissingError,
    SnapshotMismatchError,
)
from pipeline.segments import cut as cut_into
from pipeline.snapshot_store import discard_cut, latest_cut

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from ray import ObjectRef

    from actors.handles import SegmentHandle
    from actors.placement import GangOptions
    from actors.take import Watcher
    from pipeline.delivery import Delivered, DeliveryOrder
    from pipeline.encoding.encode_options import EncodeOptions
    from pipeline.engines.registry import EngineSource
    from pipeline.plan import VideoPlan
    from pipeline.snapshot import Cut
    from pipeline.stores import StoreFactory

logger = logging.getLogger("nightreel.gang")

# What a snapshot that can't be read is; the video then begins at an older one, or anew.
UNREADABLE = (ObjectCorruptError, ObjectMissingError, SnapshotMismatchError)


class Gang:
    """Warm actors in a placement group; renders one video after another.

    Use as a context manager: leaving it ends the actors and gives the room back.

    Attributes:
        losses: what the video at hand, or the last one, has cost in repeated work.
    """

    def __init__(
        self,
        engine: EngineSource,
        options: GangOptions,
        store: StoreFactory,
        job: str,
        checkpoint: CheckpointOptions | None = None,
    ) -> None:
        """Reserve the room and start the actors; they load their engines.

        Raises:
            ClusterError: no room on the cluster, or an actor could not start.
            WeightsError: the engine's weights are missing or damaged.
        """
        self._options, self._store = options, store
        self._checkpoint = checkpoint or CheckpointOptions()
        self._epochs = itertools.count(1)
        self._crew = Crew(engine, options, store, job)
        self._retries = RetryMetrics(job)
        self.losses = self._no_losses()

    def __len__(self) -> int:
        """Number of actors."""
        return len(self._handles)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _handles(self) -> list[SegmentHandle]:
        return self._crew.handles

    def close(self) -> None:
        """End the actors and give the room back; nothing if that is done already."""
        self._crew.close()

    def render(
        self,
        plan: VideoPlan,
        order: DeliveryOrder,
        watcher: Watcher,
        wants_pause: Callable[[], bool] = never,
    ) -> Delivered:
        """Render one video to verified objects, from its last whole snapshot if it has one.

        Args:
            plan: what to make.
            order: where it goes.
            watcher: told of every finished step and of the frames encoded.
            wants_pause: whether the video is to stop at its next snapshot; asked often.

        Raises:
            PausedError: it has.
            SegmentDiedError: it has cost as many actors as a video may cost, or all there are.
            ClusterError: the encoder does not work on the gang's first node.
            NightreelError: the video itself can't be made, encoded or stored.
        """
        self.losses = self._no_losses()
        self._crew.refill()
        try:
            while True:
                base = self._latest_cut(plan, order)
                try:
                    return self._one_take(plan, order, watcher, base, Pause(wants_pause))
                except GangBrokenError as error:
                    self._go_back(base, error)
                except UNREADABLE as error:
                    # Not always the one that it went on from: a replacement reads newer ones.
                    damaged = self._latest_cut(plan, order)
                    if damaged is None:
                        raise
                    logger.warning("%s; the snapshot at step %d is not used", error, damaged.step)
                    self._discard(order, damaged)
        finally:
            abandon_all(self._handles)

    def begin(
        self,
        plan: VideoPlan,
        *,
        max_segments: int | None = None,
        order: DeliveryOrder | None = None,
        base: Cut | None = None,
    ) -> Take:
        """Give each actor its segment, with prompts and image encoded, from noise or from a cut.

        Args:
            plan: what to make.
            max_segments: how many of the actors to use at most; ``None``: as many as the video can
                bear.
            order: where snapshots go; ``None``: nowhere.
            base: the cut to go on from; ``None``: from noise.

        Raises:
            GangBrokenError: the actor that encodes prompts and image died or hung.
            NightreelError: they can't be encoded.
        """
        wanted = min(max_segments or len(self._handles), len(self._handles))
        partition = cut_into(plan.boundary, wanted, plan.num_steps)
        handles = self._handles[: partition.num_segments]
        epoch, plan_ref, partition_ref = next(self._epochs), keep(plan), keep(partition)
        embeds, image = handles[0].encode_prompts(plan), handles[0].encode_image(plan)
        self._wait(embeds, f"video '{plan.request.id}': encoding prompts")
        self._wait(image, f"video '{plan.request.id}': encoding its image")

        def begins(track: Track, cuts: Cuts) -> ObjectRef[None]:
            return track.handle.begin(
                plan.request.id,
                Assignment(
                    epoch=track.epoch, segment=track.segment, prefix=cuts.prefix, cut=cuts.base
                ),
                plan=plan_ref,
                partition=partition_ref,
                prompt_embeds=embeds,
                image=image,
            )

        first_step = 0 if base is None else base.step
        return Take(
            plan=plan,
            plan_ref=plan_ref,
            partition=partition,
            tracks=[Track(i, handle, epoch, first_step) for i, handle in enumerate(handles)],
            crew=self._crew,
            cuts=self._cuts(plan, order, base),
            options=self._options,
            losses=self.losses,
            begins=begins,
            next_epoch=self._epochs.__next__,
        )

    def _one_take(
        self,
        plan: VideoPlan,
        order: DeliveryOrder,
        watcher: Watcher,
        base: Cut | None,
        pause: Pause,
    ) -> Delivered:
        self._check_encoder(order.encode)
        take = self.begin(plan, order=order, base=base)
        take.pause = pause
        watcher.on_start(take.partition.num_segments, take.cuts.base_step)
        try:
            take.sample(watcher)
            return take.deliver(order, watcher)
        except GangBrokenError:
            again = [track.furthest - take.cuts.base_step for track in take.tracks]
            self.losses.replays(sum(max(0, steps) for steps in again))
            take.cancel()
            raise
        except UNREADABLE:
            take.cancel()
            raise

    def _go_back(self, base: Cut | None, error: GangBrokenError) -> None:
        """Gather who is left, for another take."""
        step = 0 if base is None else base.step
        if not self.losses.returned(step):
            raise error
        logger.warning("%s; the gang goes back to its last snapshot", error)
        self._crew.heal(self._options.min_step_timeout_s)
        if not self._handles:
            raise SegmentDiedError(f"{error}; no actor is left") from error

    def _check_encoder(self, options: EncodeOptions) -> None:
        """Better to know now than after hours of sampling."""
        try:
            self._wait(self._handles[0].check_encoder(options), f"trying {options.codec}")
        except EncodeError as error:
            raise ClusterError(
                f"encode.codec = {options.codec} does not work on the gang's first node: {error}"
            ) from error

    def _wait(self, ref: ObjectRef[Any], doing: str) -> None:
        """Wait for something small on the first actor, before there are tracks to look after it."""
        try:
            wait_for([ref], timeout_s=self._options.step_timeout_s, doing=doing)
        except SegmentDiedError as error:
            raise GangBrokenError(str(error)) from error

    def _cuts(self, plan: VideoPlan, order: DeliveryOrder | None, base: Cut | None) -> Cuts:
        prefix = None if order is None else order.checkpoints_prefix
        return Cuts(
            plan,
            self._checkpoint,
            store=None if prefix is None else self._store(),
            prefix=prefix,
            keeps_last=order is not None and order.keeps_latents,
            base=base,
        )

    def _no_losses(self) -> Losses:
        options = self._options
        return Losses(options.max_deaths, options.max_returns, tell=self._retries.count)

    def _latest_cut(self, plan: VideoPlan, order: DeliveryOrder) -> Cut | None:
        prefix = order.checkpoints_prefix
        return None if prefix is None else latest_cut(self._store(), prefix, plan)

    def _discard(self, order: DeliveryOrder, cut: Cut) -> None:
        assert order.checkpoints_prefix is not None
        discard_cut(self._store(), order.checkpoints_prefix, cut)
