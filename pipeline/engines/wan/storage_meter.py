"""Counts the bytes of tensors that are alive.

It sees every operation below autograd. What an operation gives and was not given is new, and counts
until its storage is gone; so views count once, and what was mapped from a file, or made before, not
at all. What kernels take for themselves, such as a convolution's workspace, is no tensor and is not
seen.
"""

from __future__ import annotations

import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.utils import _python_dispatch
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from collections.abc import Iterator


_Mode: Any = _python_dispatch.TorchDispatchMode


class StorageMeter(_Mode):  # type: ignore[misc]  # torch has no types here
    """Use as a context manager.

    Attributes:
        now_bytes: of storages that are alive.
        peak_bytes: the most that were alive at any time since the last ``restart``.
    """

    def __init__(self, device_type: str) -> None:
        """Count what is on devices of one type: ``cpu``, ``cuda``, or ``meta`` for what is not."""
        super().__init__()
        self._device_type = device_type
        self.now_bytes = self.peak_bytes = 0
        self._is_paused = False
        self._alive: dict[int, tuple[weakref.ref[torch.UntypedStorage], int]] = {}

    def restart(self) -> None:
        """Forget the peak so far."""
        self.peak_bytes = self.now_bytes

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What is made in the block does not count."""
        before, self._is_paused = self._is_paused, True
        try:
            yield
        finally:
            self._is_paused = before

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count what it made."""
        del types
        kwargs = kwargs or {}
        if self._is_paused:
            return func(*args, **kwargs)
        given = {storage._cdata for storage in _storages((args, kwargs))}  # noqa: SLF001
        made = func(*args, **kwargs)
        for storage in _storages(made):
            is_here = storage.device.type == self._device_type
            if is_here and storage._cdata not in given:  # noqa: SLF001 - Python's view of one comes and goes
                self._new(storage)
        return made

    def _new(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata  # noqa: SLF001
        self._gone(key)
        self._alive[key] = weakref.ref(storage, lambda _: self._gone(key)), storage.nbytes()
        self.now_bytes += storage.nbytes()
        self.peak_bytes = max(self.peak_bytes, self.now_bytes)

    def _gone(self, key: int) -> None:
        _, size_bytes = self._alive.pop(key, (None, 0))
        self.now_bytes -= size_bytes


def _storages(values: Any) -> Iterator[torch.UntypedStorage]:
    for value in tree_leaves(values):
        if isinstance(value, torch.Tensor):
            yield value.untyped_storage()
        elif isinstance(value, torch.UntypedStorage):
            yield value
