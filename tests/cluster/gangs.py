"""One Ray cluster for all tests, and gangs on it whose latents can be looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil
import pytest
import ray
import torch

from actors.cluster import ClusterOptions, connected
from actors.cuts import CheckpointOptions
from actors.gang import Gang
from actors.handles import wait_for
from actors.placement import GangOptions
from pipeline.decode_options import DecodeOptions
from pipeline.delivery import DeliveryOrder
from pipeline.encoding.encode_options import EncodeOptions
from pipeline.encoding.provenance import Provenance
from pipeline.engines.gaussian import GaussianEngine, GaussianOptions
from pipeline.engines.registry import EngineOptions
from pipeline.join import Joiner
from tests.s3_server import ACCESS_KEY, SECRET_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from torch import Tensor

    from actors.step_report import StepReport
    from actors.take import Take
    from pipeline.stores import StoreFactory

GAUSSIAN = EngineOptions(
    name="gaussian", gaussian=GaussianOptions(channels=4, window_latent_frames=9)
)
CLUSTER = ClusterOptions(num_cpus=4, object_store_memory_bytes=200 << 20)
PATIENCE_S = 60.0


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A cluster on this machine, started by the first test that wants it."""
    with pytest.MonkeyPatch.context() as patch:
        # Actors bring processes of their own; spare ones would only cost time.
        patch.setenv("RAY_prestart_worker_first_driver", "0")
        patch.setenv("RAY_enable_worker_prestart", "0")
        # The test server's; whoever starts a cluster gives its nodes the credentials.
        patch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        with connected(CLUSTER):
            yield


def gang_of(
    actors: int,
    store: StoreFactory,
    engine: EngineOptions = GAUSSIAN,
    every_steps: int = 0,
    **options: float,
) -> AbstractContextManager[Gang]:
    gang = GangOptions(actors=actors, **options)  # type: ignore[arg-type]
    checkpoint = CheckpointOptions(every_steps=every_steps)
    return Gang.gathered(engine, gang, store, "test", checkpoint)


def oracle(options: EngineOptions = GAUSSIAN) -> GaussianEngine:
    return GaussianEngine(options.gaussian)


def order(
    video_key: str = "videos/clip/f.mp4",
    checkpoints_prefix: str | None = None,
    decode: DecodeOptions = DecodeOptions(),  # noqa: B008  # frozen
) -> DeliveryOrder:
    return DeliveryOrder(
        video_key=video_key,
        poster_key=video_key.replace(".mp4", ".jpg"),
        checkpoints_prefix=checkpoints_prefix,
        decode=decode,
        encode=EncodeOptions(preset="ultrafast"),
        provenance=Provenance(title="clip", engine="gaussian", version="0"),
    )


@dataclass
class Notes:
    """A watcher that writes everything down; ``on_report`` may do something about it."""

    on_report: Callable[[StepReport], None] | None = None
    on_encoded: Callable[[int], None] | None = None
    num_segments: list[int] = field(default_factory=list)
    first_steps: list[int] = field(default_factory=list)
    steps: list[tuple[int, int]] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)

    def on_start(self, num_segments: int, first_step: int) -> None:
        self.num_segments.append(num_segments)
        self.first_steps.append(first_step)

    def on_step(self, report: StepReport) -> None:
        self.steps.append((report.segment, report.step))
        if self.on_report is not None:
            self.on_report(report)

    def on_frames(self, num_frames: int) -> None:
        self.frames.append(num_frames)
        if self.on_encoded is not None:
            self.on_encoded(num_frames)


def latents_of(take: Take) -> Tensor:
    """The finished latents, fetched out of the actors and joined as a decoder would see them."""
    joiner = Joiner(take.plan.boundary)
    slots = [torch.from_numpy(ray.get(ref, timeout=PATIENCE_S).copy()) for ref in take.slots()]
    return torch.cat([joiner.push(run) for run in slots])


def processes(gang: Gang) -> list[psutil.Process]:
    """The processes of a gang's actors, in order."""
    refs = [handle.identity() for handle in gang._handles]
    places = wait_for(refs, timeout_s=PATIENCE_S, doing="asking for process ids")
    return [psutil.Process(pid) for _, pid in places]
