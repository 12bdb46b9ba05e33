"""One segment's part in sampling a video: exchange, predict, advance.

The state is one buffer of latents and one of solver history, each made once, large enough for every
place the segment slides to. A step writes a slot's new latents as soon as none of its windows will
read the old ones, so beside the state there is never more in memory than a few windows, however
long the segment. The windows at the segment's ends come first: what the neighbours wait for is
theirs while the middle is still to be computed.

Shape suffixes: T slots, C channels, D history depth times C, H height, W width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pipeline.errors import NotFiniteError, SegmentError
from pipeline.guidance import guided_velocity
from pipeline.image_guide import ImageGuide
from pipeline.message import BoundaryMessage
from pipeline.noise import initial_noise
from pipeline.snapshot import digest_of
from pipeline.snapshot_part import Part, PartLabel, part_spans
from pipeline.solvers import advance
from pipeline.spans import Span
from pipeline.sweep import Sweep, sweep

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
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
        self._sweep: Sweep | None = None
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
        """Compute the next step: ``begin_step`` and ``finish_step`` in one."""
        given = self.begin_step(messages)
        self.finish_step()
        return given

    def begin_step(self, messages: Sequence[BoundaryMessage]) -> list[BoundaryMessage]:
        """Compute as much of the next step as the neighbours wait for.

        Args:
            messages: one from each neighbour, but none for the first step, since noise and
                snapshots have everything that it reads.

        Returns:
            What each neighbour needs for the step after, in the order of ``neighbours``; nothing
            in the last step. It is this segment's own memory, good until the next step begins.

        Raises:
            SegmentError: a message is not the one that this step needs, or a step is under way.
            NotFiniteError: the new latents are not all finite.
        """
        if self._sweep is not None:
            raise SegmentError(f"{self._where}: got a step to begin, but this one is under way")
        self._receive(messages)
        self._couple()
        handovers = self._handovers()
        self._sweep = self._order_windows(handovers)
        self._predict_and_solve(self._sweep, self._sweep.first)
        return [self._message_for(*handover) for handover in handovers.items()]

    def finish_step(self) -> None:
        """Compute the rest of a step that was begun.

        Raises:
            SegmentError: none was.
            NotFiniteError: the new latents are not all finite.
        """
        if self._sweep is None:
            raise SegmentError(f"{self._where}: got a step to finish, but it was not begun")
        self._predict_and_solve(self._sweep, self._sweep.rest)
        self._sweep = None
        self.step += 1
        if self.step == self.plan.num_steps:
            self._history_TDHW = None  # most of the state; what comes now only reads latents

    @property
    def _where(self) -> str:
        return f"video '{self.plan.request.id}', segment {self.segment}, step {self.step}"

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

    def _handovers(self) -> dict[int, Handover]:
        """What each neighbour needs for the step after this one."""
        after = self.step + 1
        if after == self.plan.num_steps:
            return {}
        return {
            neighbour: self.partition.handover(after, self.segment, neighbour)
            for neighbour in self.neighbours
        }

    def _message_for(self, receiver: int, handover: Handover) -> BoundaryMessage:
        history_TDHW: NDArray[np.float32] | None = None
        if self._history_TDHW is not None and handover.history:
            remembered_TDHW = self._history_TDHW[handover.history.within(self._history_extent)]
            history_TDHW = remembered_TDHW.numpy()
        return BoundaryMessage(
            video=self.plan.request.id,
            step=self.step + 1,
            sender=self.segment,
            receiver=receiver,
            handover=handover,
            latents_TCHW=self._latents_TCHW[handover.latents.within(self._extent)].numpy(),
            history_TDHW=history_TDHW,
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
            self._write(message)

    def _write(self, message: BoundaryMessage) -> None:
        """Copy a message into the buffers; it is never written to."""
        into_TCHW = self._latents_TCHW[message.handover.latents.within(self._extent)]
        into_TCHW.numpy()[:] = message.latents_TCHW
        if self._history_TDHW is not None and message.history_TDHW is not None:
            remembered = message.handover.history.within(self._history_extent)
            self._history_TDHW[remembered].numpy()[:] = message.history_TDHW

    def _couple(self) -> None:
        """Draw copies of the same frames together, where the boundary mode keeps copies."""
        owned = self.partition.owned(self.step, self.segment)
        for coupling in self.plan.boundary.couplings(self.step, owned):
            left_TCHW = self._latents_TCHW[coupling.left.within(self._extent)]
            right_TCHW = self._latents_TCHW[coupling.right.within(self._extent)]
            move_TCHW = (right_TCHW - left_TCHW) * coupling.pull
            left_TCHW += move_TCHW
            right_TCHW -= move_TCHW

    def _order_windows(self, handovers: Mapping[int, Handover]) -> Sweep:
        boundary, owned = self.plan.boundary, self.partition.owned(self.step, self.segment)
        windows = boundary.windows(self.step, owned)
        awaited = {receiver: handover.latents for receiver, handover in handovers.items()}
        return sweep(
            windows,
            [boundary.weights(window) for window in windows],
            owned,
            to_left=awaited.get(self.segment - 1, Span(owned.start, owned.start)),
            to_right=awaited.get(self.segment + 1, Span(owned.stop, owned.stop)),
        )

    def _predict_and_solve(self, sweep: Sweep, indices: Sequence[int]) -> None:
        for index in indices:
            velocity_TCHW = self._predict(sweep.windows[index])
            for slot, velocity_CHW in sweep.add(index, velocity_TCHW):
                self._solve(slot, velocity_CHW)

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
        latents_CHW, new_DHW = advance(
            self._latents_TCHW[row],
            velocity_CHW,
            history_DHW,
            self.plan.levels,
            self.step,
            solver=self.plan.options.sampler.solver,
        )
        # In one pass: NaN wins in both minimum and maximum.
        if not all(bool(torch.isfinite(end)) for end in torch.aminmax(latents_CHW)):
            raise NotFiniteError(
                f"{self._where}: the model gave latents that are NaN or infinite, in slot {slot}"
            )
        self._latents_TCHW[row] = latents_CHW
        if self._history_TDHW is not None:
            assert new_DHW is not None, "a solver with a depth remembers"
            self._history_TDHW[kept] = new_DHW


def _cover(spans: Sequence[Span]) -> Span:
    total = spans[0]
    for span in spans[1:]:
        total = total.cover(span)
    return total
