"""The C heap of an actor, which lives all night and has large tensors come and go (glibc only).

Blocks above a threshold get pages of their own and give them back when they are freed. By itself
glibc raises this threshold, up to 32 MB, to whatever was freed last; from then on frames and
tensors share one heap with what lives longer, which leaves holes: an actor that decodes ten minutes
kept some 50 MB of them. A threshold that is set stays where it is.
"""

from __future__ import annotations

import ctypes

# Of <malloc.h>.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3

# Well above a row of latents, well below a window of them: pages are not free either.
LARGE_BLOCK_BYTES = 1 << 20


def give_back_large_blocks() -> bool:
    """Have freed blocks of a megabyte or more returned at once; whether this C library can."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD)
    return all(mallopt(setting, LARGE_BLOCK_BYTES) == 1 for setting in settings)
