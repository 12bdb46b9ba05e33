"""The forms of things, as signed distances and shading.

Every form lives in the unit disc: u to the right, v downwards, distances negative inside.
Shading is a brightness factor around 1, which makes a flat disc a ball and a hexagon a cube.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from pipeline.world.scene import Shape

    Plane = NDArray[np.float32]
    Form = Callable[[Plane, Plane], tuple[Plane, Plane]]


def _light(u: Plane, v: Plane) -> Plane:
    """Light from above left on something round."""
    glow: Plane = np.exp(-((u + 0.35) ** 2 + (v + 0.4) ** 2) * 5.0)
    return 1.0 - 0.22 * (u * 0.5 + v * 0.8) + 0.45 * glow


def _ball(u: Plane, v: Plane) -> tuple[Plane, Plane]:
    return np.hypot(u, v) - np.float32(0.95), _light(u, v)


def _cube(u: Plane, v: Plane) -> tuple[Plane, Plane]:
    """A cube seen along its diagonal: a hexagon with three faces, the top one brightest."""
    apothem = np.float32(0.87)
    sixty = np.float32(np.sqrt(3) / 2)
    distance = np.maximum(np.abs(u), np.abs(u) * 0.5 + np.abs(v) * sixty) - apothem
    is_top = v < -np.abs(u) / np.float32(np.sqrt(3))
    face = np.where(is_top, np.float32(1.3), np.where(u < 0, np.float32(0.95), np.float32(0.62)))
    return distance, face


def _star(u: Plane, v: Plane) -> tuple[Plane, Plane]:
    """Five points, slightly rounded."""
    angle = np.arctan2(u, -v)
    fifth = np.float32(2 * np.pi / 5)
    wedge = np.abs((angle + fifth / 2) % fifth - fifth / 2)
    radius = np.hypot(u, v)
    a, b = radius * np.sin(wedge), radius * np.cos(wedge)
    # The edge from the tip (0, 1.05) to the notch at half a wedge, 0.5 from the middle.
    notch_a, notch_b = 0.5 * np.sin(fifth / 2), 0.5 * np.cos(fifth / 2)
    edge_a, edge_b = notch_a, notch_b - 1.05
    length = np.hypot(edge_a, edge_b)
    distance = ((b - 1.05) * edge_a - a * edge_b) / length
    return (distance - 0.03).astype(np.float32), _light(u, v)


def _balloon(u: Plane, v: Plane) -> tuple[Plane, Plane]:
    """An egg on its tip, with a knot and a string."""
    body_v = v + 0.2
    width = 0.78 - 0.16 * np.maximum(body_v, 0.0)
    body = (np.hypot(u / width, body_v / 0.82) - 1.0) * 0.75
    knot = np.maximum(np.abs(u) * 0.9 - (v - 0.52) * 0.6, np.maximum(v - 0.78, 0.52 - v))
    string = np.maximum(np.abs(u) - 0.06, np.abs(v - 0.95) - 0.3)
    shade = np.where(v > 0.8, np.float32(0.45), _light(u, body_v))
    return np.minimum(np.minimum(body, knot), string), shade


def _heart(u: Plane, v: Plane) -> tuple[Plane, Plane]:
    """Two round lobes and a point."""
    side = np.abs(u)
    lobe = np.hypot(side - 0.46, v + 0.36) - 0.5
    # Below the lobes: a wedge bounded by the tangents that meet in the point.
    wedge = side * 0.70 + v * 0.715 - 0.64
    middle = np.maximum(wedge, np.maximum(-(v + 0.36), side - 0.97))
    return np.minimum(lobe, middle), _light(u, v)


FORMS: Mapping[Shape, Form] = {
    "ball": _ball,
    "cube": _cube,
    "star": _star,
    "balloon": _balloon,
    "heart": _heart,
}
