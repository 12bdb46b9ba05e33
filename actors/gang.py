"""A gang: the warm actors that render a video together.

It owns who renders and from where. A video that loses a process goes on within its take; one that
loses a node begins another take, from the last whole cut, with whoever is left.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from actors.crew import Crew
from actors.cuts import CheckpointOptions, Cuts
from actors.failures import GangBrokenError, SegmentDiedError
from actors.handles import abandon_all, keep, wait_for
from actors.losses import Losses
from actors.metrics import RetryMetrics
from actors.pause import Pause, never
from actors.segment import Assignment
from actors.streaming import stream
from actors.take import Take
from actors.track import Track
from pipeline.errors import (
    ClusterError,
    EncodeError,
    NightreelError,
    ObjectCorruptError,
    ObjectMissingError,
    SnapshotMismatchError,
)
from pipeline.segments import cut as cut_into
from pipeline.snapshot_store import discard_cut, latest_cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Self

    import numpy as np
    from numpy.typing import NDArray
    from ray import ObjectRef

    from actors.handles import SegmentHandle
    from actors.image_arrays import ImageArrays
    from actors.placement import GangOptions
    from actors.take import Watcher
    from actors.usage import ActorUsage
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
    """Some of a crew's actors, or all; renders one video after another.

    Attributes:
        losses: what the video at hand, or the last one, has cost in repeated work.
    """

    def __init__(
        self,
        crew: Crew,
        options: GangOptions,
        store: StoreFactory,
        *,
        job: str,
        checkpoint: CheckpointOptions | None = None,
        places: Iterable[int] | None = None,
    ) -> None:
        """Nothing is asked of the actors yet.

        Args:
            crew: whose actors they are.
            options: what a video may take and cost.
            store: opens the output on any node.
            job: whose work it is.
            checkpoint: how often state is stored.
            places: which actors, neighbours side by side; ``None``: all.
        """
        self._crew, self._options, self._store = crew, options, store
        self._checkpoint = checkpoint or CheckpointOptions()
        self._places = tuple(crew.places if places is None else places)
        self._retries = RetryMetrics(job)
        self.losses = self._no_losses()

    @classmethod
    @contextmanager
    def gathered(
        cls,
        engine: EngineSource,
        options: GangOptions,
        store: StoreFactory,
        job: str,
        checkpoint: CheckpointOptions | None = None,
    ) -> Iterator[Self]:
        """A gang of all actors of a crew of its own, which goes home at the end of the block.

        Raises:
            ClusterError: no room on the cluster, or an actor could not start.
            WeightsError: the engine's weights are missing or damaged.
        """
        crew = Crew(engine, options, store, job)
        try:
            yield cls(crew, options, store, job=job, checkpoint=checkpoint)
        except BaseException:
            crew.close(keeps=False)
            raise
        crew.close()

    def __len__(self) -> int:
        """Number of actors."""
        return len(self._handles)

    def usage(self) -> list[ActorUsage]:
        """How its actors have spent their time, in the order of their places.

        Raises:
            SegmentDiedError: one of them is gone.
        """
        refs = [handle.usage() for handle in self._handles]
        return wait_for(refs, timeout_s=self._options.min_step_timeout_s, doing="asking for usage")

    @property
    def _handles(self) -> list[SegmentHandle]:
        return self._crew.handles(self._places)

    def render(
        self,
        plan: VideoPlan,
        order: DeliveryOrder,
        watcher: Watcher,
        wants_pause: Callable[[], bool] = never,
        hand_on: Callable[[], int] | None = None,
    ) -> Delivered:
        """Render one video to verified objects, from its last whole snapshot if it has one.

        Args:
            plan: what to make.
            order: where it goes.
            watcher: told of every finished step and of the frames encoded.
            wants_pause: whether the video is to stop at its next snapshot; asked often.
            hand_on: called when the video is sampled: from then on others may sample on these
                actors. It gives the place of the actor that is to deliver. That is tried once.

        Raises:
            PausedError: it has.
            SegmentDiedError: it has cost as many actors as a video may cost, or all there are.
            ClusterError: the encoder does not work on the gang's first node.
            NightreelError: the video itself can't be made, encoded or stored.
        """
        self.losses = self._no_losses()
        self._crew.refill(places=self._places)
        try:
            while True:
                base = self._latest_cut(plan, order)
                try:
                    take = self._sampled(plan, order, watcher, base, Pause(wants_pause))
                    return self._delivered(take, order, watcher, hand_on)
                except GangBrokenError as error:
                    self._go_back(plan, base, error)
                except UNREADABLE as error:
                    # Not always the one that it went on from: a replacement reads newer ones.
                    damaged = self._latest_cut(plan, order)
                    if damaged is None:
                        raise
                    logger.warning("%s; the snapshot at step %d is not used", error, damaged.step)
                    self._discard(order, damaged)
        finally:
            abandon_all(self._handles, plan.request.id)

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
        handles = self._handles
        if not handles:
            raise SegmentDiedError(f"video '{plan.request.id}': no actor is left")
        wanted = min(max_segments or len(handles), len(handles))
        partition = cut_into(plan.boundary, wanted, plan.num_steps)
        handles = handles[: partition.num_segments]
        epoch, plan_ref, partition_ref = self._crew.next_epoch(), keep(plan), keep(partition)
        embeds, image = self._told(plan, handles[0])

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
            next_epoch=self._crew.next_epoch,
        )

    def _told(
        self, plan: VideoPlan, handle: SegmentHandle
    ) -> tuple[list[ObjectRef[NDArray[np.float32]]], ObjectRef[ImageArrays | None]]:
        """Prompts and image as the engine is told of them."""
        prompts = self._crew.prompts
        embeds, image = prompts.embeds(plan.prompts, handle), handle.encode_image(plan)
        try:
            self._wait(embeds, f"video '{plan.request.id}': encoding prompts")
        except NightreelError:
            prompts.forget(plan.prompts)
            raise
        self._wait([image], f"video '{plan.request.id}': encoding its image")
        return embeds, image

    def _sampled(
        self,
        plan: VideoPlan,
        order: DeliveryOrder,
        watcher: Watcher,
        base: Cut | None,
        pause: Pause,
    ) -> Take:
        """One take, with its finished latents in the store if they are kept."""
        self._check_encoder(order.encode)
        take = self.begin(plan, order=order, base=base)
        take.pause = pause
        watcher.on_start(take.partition.num_segments, take.cuts.base_step)
        with self._called_off(take):
            take.sample(watcher)
        return take

    def _delivered(
        self,
        take: Take,
        order: DeliveryOrder,
        watcher: Watcher,
        hand_on: Callable[[], int] | None,
    ) -> Delivered:
        with self._called_off(take):
            if hand_on is None:
                return take.deliver(order, watcher)
            place = hand_on()
            carrier = next((t for t in take.tracks if t.handle.place == place), take.tracks[0])
            return stream(take, order, watcher, carrier)

    @contextmanager
    def _called_off(self, take: Take) -> Iterator[None]:
        """Count what is lost with a take that can't go on, and take back what it asked for."""
        try:
            yield
        except GangBrokenError:
            again = [track.furthest - take.cuts.base_step for track in take.tracks]
            self.losses.replays(sum(max(0, steps) for steps in again))
            take.cancel()
            raise
        except UNREADABLE:
            take.cancel()
            raise

    def _go_back(self, plan: VideoPlan, base: Cut | None, error: GangBrokenError) -> None:
        """Gather who is left, for another take."""
        step = 0 if base is None else base.step
        if not self.losses.returned(step):
            raise error
        logger.warning("%s; the gang goes back to its last snapshot", error)
        self._crew.prompts.forget(plan.prompts)
        self._crew.heal(self._options.min_step_timeout_s, self._places)
        if not self._handles:
            raise SegmentDiedError(f"{error}; no actor is left") from error

    def _check_encoder(self, options: EncodeOptions) -> None:
        """Better to know now than after hours of sampling."""
        try:
            for handle in self._handles[:1]:
                self._wait([handle.check_encoder(options)], f"trying {options.codec}")
        except EncodeError as error:
            raise ClusterError(
                f"encode.codec = {options.codec} does not work on the gang's first node: {error}"
            ) from error

    def _wait(self, refs: Sequence[ObjectRef[Any]], doing: str) -> None:
        """Wait for something small on the first actor, before there are tracks to look after it."""
        try:
            wait_for(refs, timeout_s=self._options.step_timeout_s, doing=doing)
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
