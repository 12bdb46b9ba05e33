"""Contact sheets: rows of frames in one PNG."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SCALE = 2


def save_grid(rows: Sequence[Sequence[NDArray[np.uint8]]], path: Path) -> None:
    """Write ``rows`` of frames ``[H, W, 3]``, all of one size, twice as large, to ``path``."""
    sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)
    picture = Image.fromarray(sheet)
    size = (picture.width * SCALE, picture.height * SCALE)
    picture.resize(size, Image.Resampling.NEAREST).save(path)
