"""A real gang's delivery of the same video, decoded by its first actor and by all of them."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from actors.cluster import ClusterOptions, connected
from actors.gang import Gang
from actors.placement import GangOptions
from jobs.config import load_config
from pipeline.decode_options import DecodeOptions
from pipeline.delivery import DeliveryOrder
from pipeline.encoding.encode_options import EncodeOptions
from pipeline.encoding.provenance import Provenance
from pipeline.engines.registry import read_spec
from pipeline.plan import plan_video
from pipeline.quality.gate import QualityOptions
from pipeline.request import VideoSpec, resolve
from storage.open import StoreConfig

if TYPE_CHECKING:
    from actors.step_report import StepReport
    from actors.take import Take

NUM_ACTORS = 2

# Of sampling only so much as gives latents: what is decoded need not be a good video.
NUM_STEPS = 1


@dataclass(slots=True)
class Delivery:
    """Seconds from the first latents asked for to the verified object, and the object's bytes."""

    seconds: dict[bool, list[float]] = field(default_factory=lambda: {False: [], True: []})
    files: set[bytes] = field(default_factory=set)
    num_latent_frames: int = 0


def deliver(duration_s: float, num_pairs: int) -> Delivery:
    """Deliver in turn by a stream and by pieces, so that slow hours fall on both alike."""
    config = load_config(overrides=[f"defaults.num_inference_steps={NUM_STEPS}"])
    engine = read_spec(config.engine)
    spec = VideoSpec(id="decode", prompt="a hill at dusk", seed=1, duration_s=duration_s)
    plan = plan_video(resolve(spec, config.defaults, engine), engine, config.render_options)
    found = Delivery(num_latent_frames=plan.num_latent_frames)
    options = GangOptions(actors=NUM_ACTORS, threads_per_actor=1)
    with tempfile.TemporaryDirectory() as folder, connected(ClusterOptions(num_cpus=NUM_ACTORS)):
        store = StoreConfig(uri=folder)
        with Gang.gathered(config.engine, options, store, "benchmark") as gang:
            for turn in range(num_pairs):
                for is_parallel, times_s in found.seconds.items():
                    take, key = gang.begin(plan), f"videos/decode/{turn}-{is_parallel}.mp4"
                    take.sample(_Nobody())
                    times_s.append(_deliver(take, key, is_parallel))
                    found.files.add(store().get_bytes(key))
                    print(f"parallel={is_parallel}: {times_s[-1]:.2f} s", flush=True)
    return found


def _deliver(take: Take, key: str, is_parallel: bool) -> float:
    order = DeliveryOrder(
        video_key=key,
        poster_key=key.replace(".mp4", ".jpg"),
        decode=DecodeOptions(parallel=is_parallel),
        encode=EncodeOptions(),
        quality=QualityOptions(gate=False),
        provenance=Provenance(title="decode", engine="embedded", version="0"),
    )
    started_s = time.perf_counter()
    take.deliver(order, _Nobody())
    return time.perf_counter() - started_s


class _Nobody:
    """A watcher that looks away."""

    def on_start(self, num_segments: int, first_step: int) -> None:
        """Nothing."""

    def on_step(self, report: StepReport) -> None:
        """Nothing."""

    def on_frames(self, num_frames: int) -> None:
        """Nothing."""
