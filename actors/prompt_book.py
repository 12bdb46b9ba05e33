"""Prompts and their embeddings, encoded once for all videos and actors, and ahead of need.

An embedding lies in Ray's object store, owned by the driver; what the driver holds is a reference.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from ray import ObjectRef

    from actors.handles import SegmentHandle

# Those used last are kept: at 512 tokens of 4096 numbers each is 8 MB.
MAX_PROMPTS: Final = 128


class PromptBook:
    """What was encoded by the actors of one crew; for any number of threads."""

    def __init__(self) -> None:
        self._refs: OrderedDict[str, ObjectRef[NDArray[np.float32]]] = OrderedDict()
        self._lock = threading.RLock()

    def embeds(
        self, prompts: Sequence[str], handle: SegmentHandle
    ) -> list[ObjectRef[NDArray[np.float32]]]:
        """References to embeddings ``[S, D]``; an actor is asked for those that are not there."""
        with self._lock:
            self.encode(prompts, handle)
            found = []
            for prompt in prompts:
                self._refs.move_to_end(prompt)
                found.append(self._refs[prompt])
            while len(self._refs) > max(MAX_PROMPTS, len(prompts)):
                self._refs.popitem(last=False)
            return found

    def encode(self, prompts: Iterable[str], handle: SegmentHandle) -> int:
        """Have prompts encoded, in one call, that are not there; does not wait. How many were not.

        Each is encoded by itself, so that it does not matter which others are asked for with it.
        """
        with self._lock:
            missing = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._refs]
            if missing:
                self._refs.update(zip(missing, handle.encode_prompts(missing), strict=True))
            return len(missing)

    def forget(self, prompts: Iterable[str]) -> None:
        """Whoever encoded these is gone, or where they lay is."""
        with self._lock:
            for prompt in prompts:
                self._refs.pop(prompt, None)
