"""Blocks whose weights stay in the machine's memory and visit the device for their own forward.

diffusers has this too (``apply_group_offloading``, huggingface/diffusers 0.42). It either copies
weights back after every forward, though they have not changed, or pins them tensor by tensor. Here
a block's tensors lie side by side in one buffer: one copy brings it in, putting it out is free.

A block's copy begins when the block before it does, on a CUDA stream of its own, so that copying
and computing overlap; two blocks are on the device at a time. Buffers belong to the computing
stream, and a copy waits for whatever that was given before it: nothing is overwritten that is still
read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

# Where a tensor begins decides which kernel adds it up: all begin as if they had storage of their
# own, on any device.
ALIGN_BYTES = 512


@dataclass(frozen=True, slots=True)
class _Place:
    """Where one tensor lies in its block's buffer."""

    tensor: Tensor
    begin: int
    size_bytes: int
    dtype: torch.dtype
    shape: torch.Size

    def view(self, buffer: Tensor) -> Tensor:
        piece = buffer[self.begin : self.begin + self.size_bytes]
        return piece.view(self.dtype).view(self.shape)


class _Block:
    """One block's tensors, and the buffer that holds them while it is not at work."""

    def __init__(self, module: torch.nn.Module, *, is_pinned: bool) -> None:
        self._places, size_bytes = [], 0
        for tensor in (*module.parameters(), *module.buffers()):
            place = _Place(tensor, size_bytes, tensor.nbytes, tensor.dtype, tensor.shape)
            self._places.append(place)
            size_bytes += -(-tensor.nbytes // ALIGN_BYTES) * ALIGN_BYTES
        device = self._places[0].tensor.device
        self.home = torch.empty(size_bytes, dtype=torch.uint8, device=device, pin_memory=is_pinned)
        for place in self._places:
            place.view(self.home).copy_(place.tensor.data)
        self.live_in(self.home)

    def live_in(self, buffer: Tensor) -> None:
        """Let the block's tensors be views of this buffer."""
        for place in self._places:
            place.tensor.data = place.view(buffer)


class BlockStream:
    """Streams a network's blocks, which are called one after the other, from one thread."""

    def __init__(self, modules: Sequence[torch.nn.Module], device: torch.device) -> None:
        """Take over ``modules``, whose tensors must be in the machine's memory."""
        self._device = device
        is_cuda = device.type == "cuda"
        self._blocks = [_Block(module, is_pinned=is_cuda) for module in modules]
        self._stream: Any = None
        if is_cuda:
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._fetched: dict[int, Tensor] = {}
        for index, module in enumerate(modules):
            module.register_forward_pre_hook(self._before(index))
            module.register_forward_hook(self._after(index), always_call=True)

    @property
    def homes(self) -> list[Tensor]:
        """The buffers in the machine's memory, one per block."""
        return [block.home for block in self._blocks]

    def _before(self, index: int) -> Any:
        def hook(module: torch.nn.Module, args: Any) -> None:
            del module, args
            if index not in self._fetched:
                self._fetch(index)
            if self._stream is not None:
                torch.cuda.current_stream(self._device).wait_stream(self._stream)
            self._blocks[index].live_in(self._fetched[index])
            if index + 1 < len(self._blocks):
                self._fetch(index + 1)

        return hook

    def _after(self, index: int) -> Any:
        def hook(module: torch.nn.Module, args: Any, output: Any) -> None:
            del module, args, output
            block = self._blocks[index]
            block.live_in(block.home)
            self._fetched.pop(index, None)

        return hook

    def _fetch(self, index: int) -> None:
        """Begin to bring a block in."""
        home = self._blocks[index].home
        buffer = torch.empty_like(home, device=self._device)
        if self._stream is None:
            buffer.copy_(home)
        else:
            self._stream.wait_stream(torch.cuda.current_stream(self._device))
            with torch.cuda.stream(self._stream):
                buffer.copy_(home, non_blocking=True)
        self._fetched[index] = buffer
