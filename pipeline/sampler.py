"""One segment's part in sampling a video: exchange, predict, advance.

The state is one buffer of latents and one of solver history, each made once, large enough for every
place the segment slides to. A step runs over its windows in order and writes a slot's new latents
as soon as no later window will read the old ones, so beside the state there is never more in memory
than two windows, however long the segment.

Shape suffixes: T slots, C channels, D history depth times C, H height, W width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pipeline.blend import Prediction, blend
from pipeline.errors import NotFiniteError
from pipeline.guidance import guided_velocity
from pipeline.image_guide import ImageGuide
from pipeline.message import BoundaryMessage
from pipeline.noise import initial_noise
from pipeline.snapshot import digest_of
from pipeline.snapshot_part import Part, PartLabel, part_spans
from pipeline.solvers import advance
from pipeline.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from torch import Tensor

    from pipeline.engines.protocol import Engine, ImageEmbeds
    from pipeline.plan import VideoPlan
    from pipeline.segments import Handover, Partition
    from pipeline.windows import Window


class SegmentSampler:
    """The latents of one segment, and the only code that changes them.

    Attributes:
        step: the next step to compute; equal to the plan's ``num_steps`` when all is done.
    """

    def __init__(
        self,
        plan: VideoPlan,
        partition: Partition,
        segment: int,
        engine: Engine,
        prompt_embeds: Mapping[str, Tensor],
        *,
        image_embeds: ImageEmbeds | None = None,
    ) -> None:
        self.plan, self.partition, self.segment = plan, partition, segment
        self.step = self._first_step = 0
        self._engine, self._prompt_embeds = engine, prompt_embeds
        self._image = ImageGuide(plan, image_embeds)
        steps = range(plan.num_steps)
        self._extent = _cover([partition.reads(step, segment) for step in steps])
        self._history_extent = _cover([partition.owned(step, segment) for step in steps])
        self._latents_TCHW = torch.zeros(len(self._extent), *plan.latent_shape)
        self._depth = plan.options.sampler.history_depth
        self._history_TDHW: Tensor | None = None
        if self._depth:
            channels, height, width = plan.latent_shape
            shape = (len(self._history_extent), self._depth * channels, height, width)
            self._history_TDHW = torch.zeros(shape)
        self._draw_noise()

    @property
    def neighbours(self) -> tuple[int, ...]:
        """The segments that boundaries are exchanged with."""
        both = (self.segment - 1, self.segment + 1)
        return tuple(other for other in both if 0 <= other < self.partition.num_segments)

    @property
    def owned(self) -> Span:
        """The slots owned after the last finished step (before the first: at the first)."""
        return self.partition.owned(max(0, self.step - 1), self.segment)

    def latents(self, span: Span) -> Tensor:
        """A copy of the latents ``[T, C, H, W]`` of part of what is owned."""
        assert span in self.owned, f"{span} is not in {self.owned}"
        return self._latents_TCHW[span.within(self._extent)].clone()

    def history(self, span: Span) -> Tensor | None:
        """A copy of the solver history of part of what is owned; ``None`` before and after all."""
        assert span in self.owned, f"{span} is not in {self.owned}"
        if self._history_TDHW is None or self.step == 0:
            return None
        return self._history_TDHW[span.within(self._history_extent)].clone()

    def needs(self, step: int) -> tuple[Span, Span]:
        """The slots whose latents, and those whose history, ``restore`` wants for ``step``."""
        if step == self.plan.num_steps:
            return self.partition.owned(step - 1, self.segment), Span(0, 0)
        remembered = self.partition.owned(step, self.segment)
        has_history = self._history_TDHW is not None and step > 0
        return self.partition.reads(step, self.segment), remembered if has_history else Span(0, 0)

    def restore(self, step: int, latents_TCHW: Tensor, history_TDHW: Tensor | None) -> None:
        """Go on as after ``step`` finished steps, without messages for the first one.

        Args:
            step: the next step to compute.
            latents_TCHW: the latents of the first span of ``needs(step)``, after ``step`` steps.
            history_TDHW: the solver history of the second, if that is not empty.
        """
        latents, remembered = self.needs(step)
        self.step = self._first_step = step
        self._latents_TCHW[latents.within(self._extent)] = latents_TCHW
        if step == self.plan.num_steps:
            self._history_TDHW = None
        elif self._history_TDHW is not None and remembered:
            assert history_TDHW is not None, f"step {step} needs the solver's history"
            self._history_TDHW[remembered.within(self._history_extent)] = history_TDHW

    def parts(self) -> Iterator[Part]:
        """Copies of all that is owned, for a snapshot, one after another."""
        digest = digest_of(self.plan)
        for span in part_spans(self.owned):
            label = PartLabel(self.plan.request.id, digest, self.step, span)
            yield Part(label, self.latents(span), self.history(span))

    def advance(self, messages: Sequence[BoundaryMessage]) -> list[BoundaryMessage]:
        """Compute the next step.

        Args:
            messages: one from each neighbour, but none for the first step, since noise and
                snapshots have everything that it reads.

        Returns:
            What each neighbour needs for the step after, in the order of ``neighbours``; nothing
            after the last step.

        Raises:
            SegmentError: a message is not the one that this step needs.
            NotFiniteError: the new latents are not all finite.
        """
        self._receive(messages)
        self._couple()
        self._predict_and_solve()
        self._check_finite()
        self.step += 1
        if self.step == self.plan.num_steps:
            self._history_TDHW = None  # most of the state; what comes now only reads latents
            return []
        return [self._message_for(neighbour) for neighbour in self.neighbours]

    def _check_finite(self) -> None:
        """One pass over what is owned, without a copy: NaN wins in both minimum and maximum."""
        owned = self.partition.owned(self.step, self.segment)
        owned_TCHW = self._latents_TCHW[owned.within(self._extent)]
        if all(bool(torch.isfinite(end)) for end in torch.aminmax(owned_TCHW)):
            return
        bad = next(i for i, row_CHW in enumerate(owned_TCHW) if not torch.isfinite(row_CHW).all())
        raise NotFiniteError(
            f"video '{self.plan.request.id}', segment {self.segment}, step {self.step}: the model "
            f"gave latents that are NaN or infinite, first in slot {owned.start + bad}"
        )

    def _draw_noise(self) -> None:
        reads = self.partition.reads(0, self.segment)
        noise = initial_noise(
            self.plan.request.seed,
            self.plan.boundary.latent_frames(reads),
            self.plan.latent_shape,
            self.plan.options.noise,
        )
        for slot, noise_CHW in zip(reads, noise, strict=True):
            self._latents_TCHW[slot - self._extent.start] = noise_CHW
        given_CHW = self._image.first_latent
        if given_CHW is not None and reads.start == 0:
            self._latents_TCHW[0] = given_CHW

    def _message_for(self, receiver: int) -> BoundaryMessage:
        handover = self.partition.handover(self.step, self.segment, receiver)
        parts = [self._latents_TCHW[handover.latents.within(self._extent)]]
        if self._history_TDHW is not None and handover.history:
            remembered_TDHW = self._history_TDHW[handover.history.within(self._history_extent)]
            parts.append(remembered_TDHW.reshape(-1, *self.plan.latent_shape))
        return BoundaryMessage(
            video=self.plan.request.id,
            step=self.step,
            sender=self.segment,
            receiver=receiver,
            handover=handover,
            payload_TCHW=torch.cat(parts).numpy(),
        )

    def _receive(self, messages: Sequence[BoundaryMessage]) -> None:
        if self.step == self._first_step:
            assert not messages, f"step {self.step} is the first"
            return
        assert len(messages) == len(self.neighbours), f"{len(messages)} messages"
        for neighbour, message in zip(self.neighbours, messages, strict=True):
            expected = self.partition.handover(self.step, neighbour, self.segment)
            message.check(
                video=self.plan.request.id,
                step=self.step,
                receiver=self.segment,
                handover=expected,
            )
            self._write(expected, message.payload_TCHW)

    def _write(self, handover: Handover, payload_TCHW: np.ndarray) -> None:
        """Copy a payload into the buffers; the payload itself is never written to."""
        count = len(handover.latents)
        for index, slot in enumerate(handover.latents):
            self._latents_TCHW[slot - self._extent.start].numpy()[:] = payload_TCHW[index]
        if self._history_TDHW is not None:
            for index, slot in enumerate(handover.history):
                row = self._history_TDHW[slot - self._history_extent.start]
                start = count + index * self._depth
                kept_DHW = payload_TCHW[start : start + self._depth].reshape(row.shape)
                row.numpy()[:] = kept_DHW

    def _couple(self) -> None:
        """Draw copies of the same frames together, where the boundary mode keeps copies."""
        owned = self.partition.owned(self.step, self.segment)
        for coupling in self.plan.boundary.couplings(self.step, owned):
            left_TCHW = self._latents_TCHW[coupling.left.within(self._extent)]
            right_TCHW = self._latents_TCHW[coupling.right.within(self._extent)]
            move_TCHW = (right_TCHW - left_TCHW) * coupling.pull
            left_TCHW += move_TCHW
            right_TCHW -= move_TCHW

    def _predict_and_solve(self) -> None:
        owned = self.partition.owned(self.step, self.segment)
        windows = self.plan.boundary.windows(self.step, owned)
        pending: list[Prediction] = []
        done = owned.start
        for index, window in enumerate(windows):
            weights = self.plan.boundary.weights(window)
            pending.append(Prediction(window.span, weights, self._predict(window)))
            last = index + 1 == len(windows)
            settled = owned.stop if last else min(owned.stop, windows[index + 1].span.start)
            for slot in range(done, settled):
                self._solve(slot, blend(slot, pending))
            done = max(done, settled)
            pending = [prediction for prediction in pending if prediction.span.stop > done]

    def _predict(self, window: Window) -> Tensor:
        level = self.plan.levels[self.step]
        first_latent_frame = self.plan.boundary.latent_frames(window.span)[0]
        latents_TCHW = self._latents_TCHW[window.span.within(self._extent)]
        latents_TCHW, image = self._image.seen_by(first_latent_frame, latents_TCHW, level)
        return guided_velocity(
            self._engine,
            latents_TCHW,
            level,
            shares=self.plan.shares_of(window),
            negative_prompt=self.plan.request.negative_prompt if self.plan.is_guided else None,
            guidance_scale=self.plan.guidance_scale_at(self.step),
            prompt_embeds=self._prompt_embeds,
            image=image,
        )

    def _solve(self, slot: int, velocity_CHW: Tensor) -> None:
        if slot == 0 and self._image.first_latent is not None:
            return  # it is there already
        row, kept = slot - self._extent.start, slot - self._history_extent.start
        history_DHW: Tensor | None = None
        if self._history_TDHW is not None and self.step > 0:
            history_DHW = self._history_TDHW[kept]
        self._latents_TCHW[row], new_DHW = advance(
            self._latents_TCHW[row],
            velocity_CHW,
            history_DHW,
            self.plan.levels,
            self.step,
            solver=self.plan.options.sampler.solver,
        )
        if self._history_TDHW is not None:
            assert new_DHW is not None, "a solver with a depth remembers"
            self._history_TDHW[kept] = new_DHW


def _cover(spans: Sequence[Span]) -> Span:
    total = spans[0]
    for span in spans[1:]:
        total = total.cover(span)
    return total
