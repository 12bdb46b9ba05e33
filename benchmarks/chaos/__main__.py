"""``python -m benchmarks.chaos [--faults N] [--seed N] [--minutes N] [--record]``.

Random faults until there were enough, or until the time is up; ``--record`` writes the README.

A real Ray cluster of three nodes on this machine, three actors on two of them, the closed-form
engine. Every video has a few faults at random moments; when it is delivered its finished latents
are compared, byte by byte, with those of one process without Ray.
"""

from __future__ import annotations

import logging
import math
import os
import random
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from actors.cuts import CheckpointOptions
from actors.failures import SegmentDiedError
from actors.gang import Gang
from actors.placement import GangOptions
from benchmarks.chaos.faults import WEIGHTS, Disturber, DriverGoneError
from benchmarks.chaos.nodes import add_node, nodes_of, remove
from benchmarks.hardware import setting
from benchmarks.readme import write_section
from benchmarks.usage import command_line
from pipeline import reference
from pipeline.delivery import DeliveryOrder
from pipeline.encoding.encode_options import EncodeOptions
from pipeline.encoding.provenance import Provenance
from pipeline.engines.gaussian import GaussianEngine, GaussianOptions
from pipeline.engines.registry import EngineOptions
from pipeline.plan import RenderOptions, VideoPlan, plan_video
from pipeline.request import VideoDefaults, VideoSpec, resolve
from pipeline.snapshot_store import latest_cut, load_slots
from pipeline.spans import Span
from storage.open import StoreConfig

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from ray._private.node import Node
    from ray.cluster_utils import Cluster
    from torch import Tensor

README = Path(__file__).parent / "README.md"
DEFAULT_FAULTS = 40

MAX_FAULTS_PER_VIDEO = 5
NUM_STEPS = 12
NUM_FRAMES = 402
EVERY_STEPS = 3
ENGINE = GaussianOptions(channels=4, window_latent_frames=9)
# Slow enough for faults to hit steps and not only the time between them.
SLOW = replace(ENGINE, window_cost_s=0.005)
GANG = GangOptions(actors=3, min_step_timeout_s=8.0, step_timeout_s=60.0, max_deaths=4)


@dataclass
class Toll:
    """What came of it all."""

    faults: Counter[str] = field(default_factory=Counter)
    videos: int = 0
    failed: int = 0
    bytes_lost: int = 0
    replaced: int = 0
    replayed_steps: int = 0
    returns: int = 0
    restreamed: int = 0

    def add(self, gang: Gang) -> None:
        """What one gang's last video has cost."""
        self.replaced += gang.losses.deaths
        self.replayed_steps += gang.losses.replayed_steps
        self.returns += gang.losses.returns
        self.restreamed += gang.losses.restreamed


def main(words: Sequence[str] | None = None) -> None:
    parser = command_line(__package__, __doc__)
    about = f"at least so many, {DEFAULT_FAULTS} by default"
    parser.add_argument("--faults", metavar="N", type=int, default=DEFAULT_FAULTS, help=about)
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of all that is random")
    parser.add_argument("--minutes", metavar="N", type=float, default=math.inf, help="at most")
    parser.add_argument("--record", action="store_true", help="write the README")
    arguments = parser.parse_args(words)
    os.environ["RAY_IGNORE_UNHANDLED_ERRORS"] = "1"
    logging.getLogger("nightreel").setLevel(logging.ERROR)
    torch.set_num_threads(1)  # as the actors do: sums over threads differ in their last bits
    started_s, toll = time.monotonic(), Toll()
    with tempfile.TemporaryDirectory() as folder, nodes_of(2, 1) as (cluster, nodes):
        world = World(StoreConfig(uri=folder), cluster, nodes, random.Random(arguments.seed))  # noqa: S311
        while not is_enough(arguments, toll, time.monotonic() - started_s):
            world.one_video(toll)
            print(
                f"{toll.faults.total()} faults, {toll.videos} videos delivered, "
                f"{toll.replayed_steps} steps replayed, {toll.bytes_lost} bytes lost",
                flush=True,
            )
        world.close()
    text = table(toll, arguments.seed, time.monotonic() - started_s)
    print(text)
    if arguments.record:
        write_section(README, "table", text)
    if toll.bytes_lost or toll.failed:
        raise SystemExit(1)


def is_enough(arguments: Namespace, toll: Toll, duration_s: float) -> bool:
    most_faults: int = arguments.faults
    most_s: float = 60 * arguments.minutes
    return toll.faults.total() >= most_faults or duration_s >= most_s


class World:
    """A store, a cluster with a node that comes and goes, and a gang that does so too."""

    def __init__(
        self, store: StoreConfig, cluster: Cluster, nodes: list[Node], rng: random.Random
    ) -> None:
        self._store, self._cluster, self._nodes, self._rng = store, cluster, nodes, rng
        self._oracle = GaussianEngine(ENGINE)
        self._gang: Gang | None = None
        self._crew = ExitStack()
        self._expected = reference.sample(self._plan("any"), self._oracle)

    def one_video(self, toll: Toll) -> None:
        """Render one video, whatever happens to it, and look at what is left."""
        video = f"chaos-{toll.videos:04d}"
        plan, order = self._plan(video), order_of(video)
        count = self._rng.randint(1, MAX_FAULTS_PER_VIDEO)
        faults = list(dict.fromkeys(self._rng.choices([*WEIGHTS], [*WEIGHTS.values()], k=count)))
        while True:
            gang = self._ready()
            disturber = Disturber(gang, self._rng, faults, NUM_STEPS, NUM_FRAMES, self._lose_node)
            try:
                delivered = gang.render(plan, order, disturber)
            except DriverGoneError:
                self.close()
            except SegmentDiedError as error:
                print(f"{video}: {error}")
                toll.failed += 1
                break
            else:
                toll.videos += 1
                assert delivered.info.num_frames == NUM_FRAMES
                toll.bytes_lost += self._bytes_lost(plan, order)
                break
            finally:
                toll.add(gang)
                toll.faults.update(disturber.struck)
        self._tidy(video)

    def close(self) -> None:
        """End the gang."""
        self._gang = None
        self._crew.close()

    def _ready(self) -> Gang:
        if len(self._nodes) == 1:
            self._nodes.append(add_node(self._cluster, 1))
            self._cluster.wait_for_nodes()
        if self._gang is None:
            engine = EngineOptions(name="gaussian", gaussian=SLOW)
            checkpoint = CheckpointOptions(every_steps=EVERY_STEPS)
            gathered = Gang.gathered(engine, GANG, self._store, "chaos", checkpoint)
            self._gang = self._crew.enter_context(gathered)
        return self._gang

    def _lose_node(self) -> None:
        if len(self._nodes) > 1:
            remove(self._cluster, self._nodes.pop())

    def _plan(self, video: str) -> VideoPlan:
        spec = VideoSpec(
            id=video,
            prompt="a meadow",
            seed=1,
            num_frames=NUM_FRAMES,
            width=64,
            height=32,
            num_inference_steps=NUM_STEPS,
        )
        engine = self._oracle.spec
        return plan_video(resolve(spec, VideoDefaults(), engine), engine, RenderOptions())

    def _bytes_lost(self, plan: VideoPlan, order: DeliveryOrder) -> int:
        """Bytes of the finished latents that are not there or not what they should be."""
        assert order.checkpoints_prefix is not None
        store = self._store()
        cut = latest_cut(store, order.checkpoints_prefix, plan)
        if cut is None or not cut.is_last or store.head(order.video_key) is None:
            return self._expected.nbytes
        slots, _ = load_slots(store, cut, Span(0, plan.boundary.num_slots), Span(0, 0))
        return differing_bytes(slots, self._expected)

    def _tidy(self, video: str) -> None:
        store = self._store()
        for prefix in (f"checkpoints/{video}/", f"videos/{video}/"):
            for key in list(store.list_keys(prefix)):
                store.delete(key)


def order_of(video: str) -> DeliveryOrder:
    return DeliveryOrder(
        video_key=f"videos/{video}/film.mp4",
        poster_key=f"videos/{video}/film.jpg",
        checkpoints_prefix=f"checkpoints/{video}/film/",
        encode=EncodeOptions(preset="ultrafast"),
        provenance=Provenance(title=video, engine="gaussian", version="0"),
    )


def differing_bytes(got: Tensor, expected: Tensor) -> int:
    return int((got.view(torch.uint8) != expected.view(torch.uint8)).sum())


def table(toll: Toll, seed: int, duration_s: float) -> str:
    lines = [
        setting(f"python -m benchmarks.chaos --faults {toll.faults.total()} --seed {seed}") + ".",
        "",
        "| fault | times |",
        "| --- | ---: |",
        *(f"| {fault} | {toll.faults[fault]} |" for fault in WEIGHTS),
        f"| **together** | **{toll.faults.total()}** |",
        "",
        "| | |",
        "| --- | ---: |",
        f"| videos delivered | {toll.videos} |",
        f"| videos that failed | {toll.failed} |",
        f"| processes replaced | {toll.replaced} |",
        f"| steps replayed, of segments | {toll.replayed_steps} |",
        f"| returns of the gang to a snapshot | {toll.returns} |",
        f"| times that decoding began again | {toll.restreamed} |",
        f"| bytes of finished latents lost or changed | {toll.bytes_lost} |",
        f"| minutes | {duration_s / 60:.0f} |",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
