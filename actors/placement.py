"""Where a gang's actors go: a placement group, one bundle per actor, neighbours close together."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from ray.util.placement_group import (
    PlacementGroup,
    placement_group,
    placement_group_table,
    remove_placement_group,
)

from actors.cluster import available_resources
from pipeline.errors import ClusterError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

# Between two slices of a wait for room, those who hold what they don't need are asked to leave.
_SLICE_S: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class GangOptions:
    """How many actors there are, how many render a video together, and what each of them gets.

    Attributes:
        actors: segment actors in all; ``auto``: one per GPU of the cluster, or per CPU if it has
            none.
        actors_per_video: how many of them render one video; ``auto``: as many as the planner finds
            best for all videos together.
        gpus_per_actor: GPUs of each actor, where the cluster has any.
        threads_per_actor: threads of each actor's arithmetic. A number and not "all cores": the
        last
            bits of a matrix product may depend on it, and a video must not.
        steps_ahead: steps that are queued on an actor beyond the one that it computes, 1 or 2.
        keep_warm_s: how long actors stay on the cluster with their engine loaded after the job, for
            the next one that has the same engine and needs as many. They go at once if anybody else
            needs their room.
        placement_timeout_s: how long to wait for room on the cluster.
        load_timeout_s: how long an actor may take to load its engine; once some have loaded theirs,
            ten times what they took if that is less.
        step_timeout_s: how long an actor may take for a step, or to begin, before it counts as
            hung; once steps have been seen, ten times their median if that is less.
        min_step_timeout_s: what a step may always take, however fast the others are.
        decode_timeout_s: how long a run of latents may take in the decoder, and the upload.
        max_deaths: processes that one step of one segment may cost before the video fails.
        max_returns: how often a video may go back to the same snapshot after a node is lost.
    """

    actors: int | Literal["auto"] = "auto"
    actors_per_video: int | Literal["auto"] = "auto"
    gpus_per_actor: float = 1.0
    threads_per_actor: int = 1
    steps_ahead: int = 2
    keep_warm_s: float = 0.0
    placement_timeout_s: float = 600.0
    load_timeout_s: float = 1800.0
    step_timeout_s: float = 3600.0
    min_step_timeout_s: float = 60.0
    decode_timeout_s: float = 3600.0
    max_deaths: int = 3
    max_returns: int = 3

    def __post_init__(self) -> None:
        if self.actors != "auto" and self.actors < 1:
            raise ConfigError(f"gang.actors = {self.actors}: expected auto, or at least 1")
        if self.actors_per_video != "auto" and self.actors_per_video < 1:
            raise ConfigError(
                f"gang.actors_per_video = {self.actors_per_video}: expected auto, or at least 1"
            )
        if "auto" not in {self.actors, self.actors_per_video} and (
            int(self.actors_per_video) > int(self.actors)
        ):
            raise ConfigError(
                f"gang.actors_per_video = {self.actors_per_video}: expected at most gang.actors = "
                f"{self.actors}"
            )
        if self.threads_per_actor < 1:
            raise ConfigError(
                f"gang.threads_per_actor = {self.threads_per_actor}: expected 1 or more"
            )
        if self.steps_ahead not in {1, 2}:
            raise ConfigError(f"gang.steps_ahead = {self.steps_ahead}: expected 1 or 2")
        if not 0 <= self.keep_warm_s < math.inf:
            raise ConfigError(f"gang.keep_warm_s = {self.keep_warm_s}: expected 0 or more")
        for name in ("max_deaths", "max_returns"):
            if getattr(self, name) < 1:
                raise ConfigError(f"gang.{name} = {getattr(self, name)}: expected at least 1")
        if self.gpus_per_actor <= 0:
            raise ConfigError(f"gang.gpus_per_actor = {self.gpus_per_actor}: expected more than 0")


@dataclass(frozen=True, slots=True)
class Share:
    """What one actor gets of the cluster."""

    num_actors: int
    num_cpus: float
    num_gpus: float


# Ray counts in ten-thousandths; a share rounded down always fits.
_SHARE_STEP = 1e-4


def share_out(options: GangOptions, resources: dict[str, float]) -> Share:
    """How many actors, and how much of the cluster's total each gets.

    With GPUs each actor has its own and no claim on CPUs but a small one. Without, CPUs are shared
    evenly when there are more actors than CPUs: slower, never stuck.

    Raises:
        ClusterError: the cluster has neither GPU nor CPU, or fewer GPUs than were asked for.
    """
    gpus, cpus = resources.get("GPU", 0.0), resources.get("CPU", 0.0)
    if cpus <= 0:
        raise ClusterError(f"the cluster has no CPUs to run actors on: it has {resources}")
    if gpus > 0:
        room = int(gpus / options.gpus_per_actor)
        count = max(1, room) if options.actors == "auto" else options.actors
        if count > room:
            raise ClusterError(
                f"gang.actors = {count} with {options.gpus_per_actor:g} GPUs each needs "
                f"{count * options.gpus_per_actor:g} GPUs; the cluster has {gpus:g}"
            )
        return Share(count, min(1.0, _rounded(cpus / count)), options.gpus_per_actor)
    count = max(1, int(cpus)) if options.actors == "auto" else options.actors
    return Share(count, min(1.0, _rounded(cpus / count)), 0.0)


def reserve(share: Share, timeout_s: float, make_room: Callable[[], None]) -> PlacementGroup:
    """Reserve the room for a gang, as close together as it can be.

    Args:
        share: how many bundles, of what.
        timeout_s: how long to wait.
        make_room: asks those to leave who hold room that they don't need; called now and then.

    Raises:
        ClusterError: there is no room within the time, with what was asked for and what is free.
    """
    group, end_s = requested(share), time.monotonic() + timeout_s
    # Ray cuts a fraction of a second off.
    while not group.wait(timeout_seconds=_SLICE_S):
        if time.monotonic() >= end_s:
            remove_placement_group(group)
            raise no_room(share, timeout_s)
        make_room()
    return group


def requested(share: Share) -> PlacementGroup:
    """A placement group that Ray looks for room for."""
    group: PlacementGroup = placement_group([_bundle(share)] * share.num_actors, strategy="PACK")
    return group


def no_room(share: Share, timeout_s: float) -> ClusterError:
    """There was none, with what was asked for and what is free."""
    return ClusterError(
        f"no room for {share.num_actors} actors of {_bundle(share)} within {timeout_s:g} s; free "
        f"now: {available_resources()}"
    )


def node_of_bundles(group: PlacementGroup) -> dict[int, str]:
    """The node of each bundle, empty while Ray looks for one."""
    table = placement_group_table(group)
    return dict(table["bundles_to_node_id"])


def release(group: PlacementGroup) -> None:
    """Give the room back."""
    remove_placement_group(group)


def _bundle(share: Share) -> dict[str, float]:
    bundle = {"CPU": share.num_cpus}
    return {**bundle, "GPU": share.num_gpus} if share.num_gpus else bundle


def _rounded(share: float) -> float:
    return int(share / _SHARE_STEP) * _SHARE_STEP
