"""A gang: the warm actors that render one video after another.

It owns the room on the cluster and the actors in it; how one video goes through them is ``take``'s
business.
"""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING

from actors.cluster import cluster_resources
from actors.failures import SegmentDiedError
from actors.handles import SegmentHandle, close_all, keep, wait_for
from actors.placement import release, reserve, share_out
from actors.take import Take
from pipeline.errors import ClusterError, EncodeError
from pipeline.segments import cut

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from actors.placement import GangOptions
    from actors.take import Watcher
    from pipeline.delivery import Delivered, DeliveryOrder
    from pipeline.encoding.encode_options import EncodeOptions
    from pipeline.engines.registry import EngineOptions
    from pipeline.plan import VideoPlan
    from pipeline.stores import StoreFactory

logger = logging.getLogger("nightreel.gang")


class Gang:
    """Warm actors in a placement group; renders one video after another.

    Use as a context manager: leaving it ends the actors and gives the room back.
    """

    def __init__(
        self, engine: EngineOptions, options: GangOptions, store: StoreFactory, name: str
    ) -> None:
        """Reserve the room and start the actors; they load their engines.

        Raises:
            ClusterError: no room on the cluster, or an actor could not start.
            WeightsError: the engine's weights are missing or damaged.
        """
        self._options = options
        share = share_out(options, cluster_resources())
        self._group = reserve(share, options.placement_timeout_s)
        self._epochs = itertools.count(1)
        self._handles = [
            SegmentHandle.start(
                f"{name}/actor-{place:03d}",
                self._group,
                place,
                num_cpus=share.num_cpus,
                num_gpus=share.num_gpus,
                threads=options.threads_per_actor,
                engine=engine,
                store=store,
            )
            for place in range(share.num_actors)
        ]
        try:
            places = wait_for(
                [handle.identity() for handle in self._handles],
                timeout_s=options.load_timeout_s,
                doing="loading the engine",
            )
        except SegmentDiedError as error:
            self.close()
            raise ClusterError(f"no actor could load the engine: {error}") from error
        except BaseException:
            self.close()
            raise
        for handle, (node, pid) in zip(self._handles, places, strict=True):
            logger.info("%s: node %s, process %d", handle.name, node[:8], pid)

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

    def close(self) -> None:
        """End the actors and give the room back; nothing if that is done already."""
        handles, self._handles = self._handles, []
        if handles:
            close_all(handles)
            release(self._group)

    def render(
        self,
        plan: VideoPlan,
        order: DeliveryOrder,
        watcher: Watcher,
    ) -> Delivered:
        """Render one video from noise to verified objects.

        Args:
            plan: what to make.
            order: where it goes.
            watcher: told of every finished step and of the frames encoded.

        Raises:
            SegmentDiedError: an actor died or hung; make a new gang and try again.
            ClusterError: the encoder does not work on the gang's first node.
            NightreelError: the video itself can't be made, encoded or stored.
        """
        self._check_encoder(order.encode)
        take = self.begin(plan)
        watcher.on_start(take.partition.num_segments)
        take.sample(watcher)
        return take.deliver(order, watcher)

    def _check_encoder(self, options: EncodeOptions) -> None:
        """Better to know now than after hours of sampling."""
        try:
            wait_for(
                [self._handles[0].check_encoder(options)],
                timeout_s=self._options.decode_timeout_s,
                doing=f"trying {options.codec}",
            )
        except EncodeError as error:
            raise ClusterError(
                f"encode.codec = {options.codec} does not work on the gang's first node: {error}"
            ) from error

    def begin(self, plan: VideoPlan, *, max_segments: int | None = None) -> Take:
        """Give each actor its segment, with prompts encoded and noise drawn.

        Args:
            plan: what to make.
            max_segments: how many of the actors to use at most; ``None``: as many as the video can
                bear.

        Raises:
            SegmentDiedError: an actor died or hung.
            NightreelError: the prompts can't be encoded.
        """
        wanted = min(max_segments or len(self._handles), len(self._handles))
        partition = cut(plan.boundary, wanted, plan.num_steps)
        handles = self._handles[: partition.num_segments]
        epoch, plan_ref = next(self._epochs), keep(plan)
        embeds, partition_ref = handles[0].encode_prompts(plan), keep(partition)
        begun = [
            handle.begin(
                plan.request.id,
                epoch,
                segment,
                plan=plan_ref,
                partition=partition_ref,
                prompt_embeds=embeds,
            )
            for segment, handle in enumerate(handles)
        ]
        wait_for(
            begun,
            timeout_s=self._options.step_timeout_s,
            doing=f"video '{plan.request.id}': encoding prompts and drawing noise",
        )
        return Take(plan, plan_ref, partition, handles, epoch, self._options)
