"""The segment actor: one actor, one device, one segment of the video at hand.

A thin shell: what it does is in ``pipeline``. An actor keeps its engine between videos; everything
else belongs to one video and one *epoch*, a number that the driver gives each attempt, so that a
call meant for an earlier attempt, or for an actor that has lost its state, is refused instead of
obeyed.

Shape suffixes: T slots, C channels, H height, W width, S text tokens, D text width.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ray
import torch

from actors.heap import give_back_holes
from actors.scratch import ScratchFolder
from pipeline.delivery import VideoDelivery
from pipeline.encoding.encoder_trial import try_encoder
from pipeline.engines.registry import load_engine
from pipeline.errors import SegmentError
from pipeline.latents_file import file_name, files_of, to_bytes
from pipeline.sampler import SegmentSampler

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from pipeline.delivery import Delivered, DeliveryOrder
    from pipeline.encoding.encode_options import EncodeOptions
    from pipeline.engines.registry import EngineOptions
    from pipeline.message import BoundaryMessage
    from pipeline.plan import VideoPlan
    from pipeline.segments import Partition
    from pipeline.spans import Span
    from pipeline.stores import StoreFactory


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What a finished step tells the driver: numbers, never tensors.

    Attributes:
        compute_s: seconds in the step itself, without waiting for neighbours.
        num_windows: windows that the model saw.
        sent_bytes: boundary bytes handed to neighbours.
    """

    segment: int
    step: int
    compute_s: float
    num_windows: int
    sent_bytes: int


class SegmentActor:
    """One segment's share of a video, and, on the gang's first actor, its text and its delivery."""

    def __init__(self, options: EngineOptions, threads: int, store: StoreFactory) -> None:
        """Load the engine; this is what makes a warm actor worth keeping."""
        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        self._engine = load_engine(options)
        self._open_store = store
        self._epoch = -1
        self._sampler: SegmentSampler | None = None
        self._delivery: VideoDelivery | None = None
        self._pushed = 0
        self._tried_encoders: set[EncodeOptions] = set()
        self._scratch: ScratchFolder | None = None

    def identity(self) -> tuple[str, int]:
        """Node id and process id, for logs; answers when the engine is loaded."""
        return ray.get_runtime_context().get_node_id(), os.getpid()

    def encode_prompts(self, plan: VideoPlan) -> dict[str, NDArray[np.float32]]:
        """Every prompt of the plan with its embedding ``[S, D]``."""
        embeds = self._engine.encode_prompts(plan.prompts)
        return {prompt: embed.numpy() for prompt, embed in zip(plan.prompts, embeds, strict=True)}

    def check_encoder(self, options: EncodeOptions) -> None:
        """Try the encoder on this node, before hours of sampling depend on it."""
        if options not in self._tried_encoders:
            try_encoder(options)
            self._tried_encoders.add(options)

    def begin(
        self,
        epoch: int,
        plan: VideoPlan,
        partition: Partition,
        segment: int,
        prompt_embeds: Mapping[str, NDArray[np.float32]],
    ) -> None:
        """Take over a segment of a video. Copies the embeddings: theirs is shared memory."""
        self.abandon()
        embeds_SD = {
            prompt: torch.from_numpy(embed.copy()) for prompt, embed in prompt_embeds.items()
        }
        self._sampler = SegmentSampler(plan, partition, segment, self._engine, embeds_SD)
        self._epoch = epoch

    @ray.method(num_returns=3)
    def step(
        self,
        epoch: int,
        step: int,
        from_left: BoundaryMessage | None,
        from_right: BoundaryMessage | None,
    ) -> tuple[BoundaryMessage | None, BoundaryMessage | None, StepReport]:
        """Compute one step; give what the left and the right neighbour need for the next."""
        sampler = self._sampler_at(epoch, step)
        started_s = time.perf_counter()
        messages = [message for message in (from_left, from_right) if message is not None]
        sent = {message.receiver: message for message in sampler.advance(messages)}
        owned = sampler.partition.owned(step, sampler.segment)
        report = StepReport(
            segment=sampler.segment,
            step=step,
            compute_s=time.perf_counter() - started_s,
            num_windows=len(sampler.plan.boundary.windows(step, owned)),
            sent_bytes=sum(message.num_bytes for message in sent.values()),
        )
        return sent.get(sampler.segment - 1), sent.get(sampler.segment + 1), report

    def slots(self, epoch: int, span: Span) -> NDArray[np.float32]:
        """Finished latents ``[T, C, H, W]`` of part of what this segment owns."""
        sampler = self._sampler_at(epoch, None)
        return sampler.latents(span).numpy()

    def persist(self, epoch: int, prefix: str) -> list[str]:
        """Store this segment's finished latents under ``prefix``; give the keys."""
        sampler = self._sampler_at(epoch, None)
        store, stored = self._open_store(), []
        for span in files_of(sampler.owned):
            data = to_bytes(sampler.latents(span), span, sampler.plan.request.id)
            stored.append(store.put_bytes(prefix + file_name(span), data, overwrite=True).key)
        return stored

    def open_delivery(self, epoch: int, plan: VideoPlan, order: DeliveryOrder) -> None:
        """Become the one that decodes, encodes and uploads the video."""
        self._sampler_at(epoch, None)
        self._scratch = ScratchFolder()
        self._delivery = VideoDelivery(plan, order, self._engine, self._scratch.path)
        self._pushed = 0

    def push(self, epoch: int, index: int, slots_TCHW: NDArray[np.float32]) -> int:
        """Take the next run of slots; give the number of frames encoded so far."""
        self._sampler_at(epoch, None)
        if self._delivery is None or index != self._pushed:
            raise SegmentError(f"delivery: got run {index} of slots, expected {self._pushed}")
        self._pushed += 1
        num_frames = self._delivery.push(torch.from_numpy(slots_TCHW.copy()))
        give_back_holes()
        return num_frames

    def deliver(self, epoch: int) -> Delivered:
        """Complete, check and upload the video."""
        self._sampler_at(epoch, None)
        if self._delivery is None:
            raise SegmentError("delivery: none is open")
        delivered = self._delivery.finish(self._open_store())
        self.abandon()
        return delivered

    def abandon(self) -> None:
        """Forget the video at hand and what lies of it on the local disk; the engine stays."""
        if self._delivery is not None:
            self._delivery.abandon()
        if self._scratch is not None:
            self._scratch.remove()
        self._epoch, self._sampler, self._delivery, self._scratch = -1, None, None, None

    def _sampler_at(self, epoch: int, step: int | None) -> SegmentSampler:
        """The sampler, if this call is meant for its epoch and its next step."""
        if self._sampler is None or epoch != self._epoch:
            raise SegmentError(
                f"got a call for epoch {epoch}, but this actor is at epoch {self._epoch}"
            )
        expected = self._sampler.plan.num_steps if step is None else step
        if self._sampler.step != expected:
            raise SegmentError(
                f"video '{self._sampler.plan.request.id}', segment {self._sampler.segment}: got a "
                f"call for step {expected}, but step {self._sampler.step} is next"
            )
        return self._sampler
