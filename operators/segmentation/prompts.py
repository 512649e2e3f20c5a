"""Box and heat map -> what SAM is told of a finding: boxes and points.

All coordinates are x, y and pixel edges, as in ``geometry``: the centre of the first pixel is (0.5, 0.5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from operators.records.geometry import PixelBox, PixelGeometry

Coordinates = NDArray[np.float64]
FLAT = 1e-6  # heat that differs by less is equal
RING = 1.5  # negative points lie outside the box, inside so many times its sides
SHIFTS = ((-0.05, -0.05), (0.05, 0.05), (0.05, -0.05), (-0.05, 0.05))
JITTERS = (  # scale, shift to the right and down in sides of the box; an odd number of them leans to no side
    *((1.0, 0.0, 0.0), (0.9, 0.0, 0.0), (1.1, 0.0, 0.0)),
    *((1.0, *shift) for shift in SHIFTS),
    *((0.8, 0.0, 0.0), (1.2, 0.0, 0.0)),
    *((scale, *shift) for scale in (0.9, 1.1, 0.8, 1.2) for shift in SHIFTS),
)


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """``positions`` (n, 2) float64 x, y; ``labels`` (n,) float64: 1 lies on the finding, 0 beside it."""

    positions: Coordinates
    labels: NDArray[np.float64]


def jittered_boxes(box: PixelBox, votes: int, rows: int, columns: int) -> Coordinates:
    """Return a box and its fixed variations, cut to the image: (votes, 4) left, top, right, bottom, original pixels."""
    scale, right, down = np.array(JITTERS[:votes]).T
    x, y = _centre(box)
    x, y = x + right * box.width, y + down * box.height
    half_width, half_height = scale * box.width / 2, scale * box.height / 2
    edges = np.stack([x - half_width, y - half_height, x + half_width, y + half_height], axis=1)
    return np.asarray(np.clip(edges, 0, [columns, rows, columns, rows]), np.float64)


def no_points() -> Points:
    """Return no point: the box says it all."""
    return Points(np.empty((0, 2)), np.empty(0))


def centre_point(box: PixelBox) -> Points:
    """Return the centre of a box as the one positive point."""
    return Points(np.array([_centre(box)]), np.ones(1))


def heat_points(box: PixelBox, heatmap: NDArray[np.float32], window: PixelBox) -> Points:
    """Return where a heat map is highest in a box, and up to two places beside the box where it is lowest.

    The negative points lie in the ring between the box and ``RING`` times the box, as far as window and image reach:
    the first where the ring is coldest, the second likewise, a side of the box or more away from the first. A place
    that is no colder than the positive point is none.

    Parameters
    ----------
    heatmap
        (rows, columns) float32 [0, 1]. Where it is equal, the positive point is next to the box's centre, the negative
        points are far from it and from each other; a flat map thus gives the box's centre alone.
    window
        What SAM sees of the image, original pixels.
    """
    area = _ring(box, window, *heatmap.shape)
    if area is None:
        return centre_point(box)
    heat = heatmap[area.slices()].astype(np.float64)
    across, down = _offsets(box, area)
    in_box = (np.abs(down) < 0.5) & (np.abs(across) < 0.5)
    if not in_box.any():
        return centre_point(box)
    from_centre = across**2 + down**2
    found = [_choose(in_box & (heat >= heat[in_box].max() - FLAT), -from_centre)]
    beside, distance = ~in_box & (heat < heat[found[0]] - FLAT), from_centre
    while len(found) < 3 and beside.any():
        row, column = _choose(beside & (heat <= heat[beside].min() + FLAT), distance)
        found.append((row, column))
        distance = (across - across[0, column]) ** 2 + (down - down[row, 0]) ** 2
        beside &= distance >= 1
    positions = np.array([(area.left + column + 0.5, area.top + row + 0.5) for row, column in found])
    return Points(positions, np.array([1.0] + [0.0] * (len(found) - 1)))


def to_input(coordinates: Coordinates, geometry: PixelGeometry) -> Coordinates:
    """Return points or boxes, (n, 2) x, y or (n, 4) left, top, right, bottom, in network pixels."""
    points = coordinates.reshape(-1, 2) - (geometry.window.left, geometry.window.top)
    return np.asarray((points * (geometry.scale_x, geometry.scale_y)).reshape(coordinates.shape), np.float64)


def _centre(box: PixelBox) -> tuple[float, float]:
    return (box.left + box.right) / 2, (box.top + box.bottom) / 2


def _ring(box: PixelBox, window: PixelBox, rows: int, columns: int) -> PixelBox | None:
    """Return the box with its ring, at least a pixel wide, as far as it lies in window and image."""
    across, down = (math.ceil(side * (RING - 1) / 2) for side in (box.width, box.height))
    left, top = max(box.left - across, window.left, 0), max(box.top - down, window.top, 0)
    right, bottom = min(box.right + across, window.right, columns), min(box.bottom + down, window.bottom, rows)
    return PixelBox(left, top, right, bottom) if left < right and top < bottom else None


def _offsets(box: PixelBox, area: PixelBox) -> tuple[Coordinates, Coordinates]:
    """Return how far an area's pixels lie from a box's centre, in its sides: (1, columns) and (rows, 1)."""
    x, y = _centre(box)
    across = (np.arange(area.left, area.right) + 0.5 - x) / box.width
    down = (np.arange(area.top, area.bottom) + 0.5 - y) / box.height
    return across[None], down[:, None]


def _choose(where: NDArray[np.bool_], preference: Coordinates) -> tuple[int, int]:
    """Return (row, column) of the place with the highest preference; of equals the first."""
    row, column = np.unravel_index(int(np.where(where, preference, -np.inf).argmax()), where.shape)
    return int(row), int(column)
