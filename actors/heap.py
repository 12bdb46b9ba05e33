"""The C heap of an actor, which lives all night while large tensors come and go.

glibc raises the size from which blocks get pages of their own, up to 32 MB, to whatever was freed
last. From then on frames and windows share one heap with what lives longer, and leave holes in it:
an actor that decodes ten minutes of 256 x 144 kept some 50 MB of them. Fixing that size would halve
the speed of arithmetic on a CPU, which then waits for pages; giving holes back now and then costs a
millisecond.
"""

from __future__ import annotations

import ctypes

# glibc's own; other C libraries have nothing like it, and need it less.
_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)


def give_back_holes() -> None:
    """Return what is free inside the heap to the operating system; blocks in use stay."""
    if _malloc_trim is not None:
        _malloc_trim(0)
