"""Forward and backward as one CUDA graph per shape of batch.

These models are so small that a GPU spends most of an eager step waiting for launches. A graph is
captured the first time that a shape is seen and replayed from then on: the same kernels on the same
numbers, launched at once. Everywhere else the step runs as it is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    Batch = tuple[Tensor, ...]
    Outcome = tuple[Tensor, Mapping[str, Tensor]]

WARM_UPS = 3


@dataclass(frozen=True, slots=True)
class _Captured:
    """A graph with the tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    inputs: Batch
    outcome: Outcome
    gradients: tuple[Tensor | None, ...]


class LossAndGradients:
    """Computes a loss and leaves its gradients in the parameters."""

    def __init__(self, loss: Callable[[Batch], Outcome], parameters: Sequence[Tensor]) -> None:
        self._loss = loss
        self._parameters = parameters
        self._captured: dict[tuple[torch.Size, ...], _Captured] = {}

    def __call__(self, batch: Batch) -> Outcome:
        """The loss of ``batch`` and its figures; the parameters' ``grad`` are replaced."""
        if not self._parameters[0].is_cuda:
            return self._eager(batch)
        shapes = tuple(tensor.shape for tensor in batch)
        if shapes not in self._captured:
            self._captured[shapes] = self._capture(batch)
        captured = self._captured[shapes]
        for held, given in zip(captured.inputs, batch, strict=True):
            held.copy_(given)
        captured.graph.replay()
        for parameter, gradient in zip(self._parameters, captured.gradients, strict=True):
            parameter.grad = gradient
        return captured.outcome

    def _eager(self, batch: Batch) -> Outcome:
        for parameter in self._parameters:
            parameter.grad = None
        loss, figures = self._loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach(), figures

    def _capture(self, batch: Batch) -> _Captured:
        """Run a few times beside the main stream, so that compiling and tuning are over; record."""
        inputs = tuple(tensor.clone() for tensor in batch)
        beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(WARM_UPS):
                self._eager(inputs)
        torch.cuda.current_stream().wait_stream(beside)
        for parameter in self._parameters:
            parameter.grad = None
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outcome = self._eager(inputs)
        gradients = tuple(parameter.grad for parameter in self._parameters)
        return _Captured(graph, inputs, outcome, gradients)
