"""A mask -> the polygons that run along its pixels' edges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LONGEST_POLYGON = 8000  # points, of two 32-bit numbers each: what an element of explicit VR can hold (PS3.5 7.1.2)
MOST_POINTS = 20_000  # of a mask: what is drawn is an outline, not a cloud of specks


def contours(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Return the outlines of a mask, holes included; filled by the even-odd rule they give the mask back.

    Parameters
    ----------
    mask
        (rows, columns) bool.

    Returns
    -------
    Closed polygons (n, 2) float64, (column, row) of pixel EDGES: 0 to columns, 0 to rows. Every point is a corner, the
    last one joins the first, which is not repeated. Pixels that only touch at a corner are outlined apart.
    """
    corners, across, down = _corners(mask)
    polygons, done = [], bytearray(len(corners))
    for start in range(len(corners)):
        loop, corner = [], start
        while not done[corner]:
            other = across[corner]
            loop += [corner, other]
            done[corner] = done[other] = True
            corner = down[other]
        if loop:
            polygons.append(corners[loop].astype(np.float64))
    return polygons


def drawn_contours(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Return the contours of a mask, the largest first, as many as can be drawn and thinned out where they are huge."""
    polygons = sorted(contours(mask), key=lambda polygon: float(np.ptp(polygon, axis=0).sum()), reverse=True)
    thinned = [polygon[:: 1 + len(polygon) // LONGEST_POLYGON] for polygon in polygons]
    return thinned[: int(np.searchsorted(np.cumsum([len(polygon) for polygon in thinned]), MOST_POINTS))]


def _corners(mask: NDArray[np.bool_]) -> tuple[NDArray[np.intp], list[int], list[int]]:
    """Return the corners (column, row), and for each the one that its edge along the row and the column leads to.

    Along a row of pixel edges the corners follow each other as start, end, start, end of an edge; so in a column. Where
    two pixels touch at a point, two corners share it; which of them takes which edge keeps the pixels apart.
    """
    inside = np.pad(mask, 1)
    above_left, above_right, below_left, below_right = (
        inside[:-1, :-1],
        inside[:-1, 1:],
        inside[1:, :-1],
        inside[1:, 1:],
    )
    touching = (above_left == below_right) & (above_right == below_left) & (above_left != above_right)
    turning = above_left ^ above_right ^ below_left ^ below_right
    rows, columns = np.repeat(np.nonzero(turning | touching), (1 + touching)[turning | touching], axis=1)
    second = np.zeros(len(rows), bool)
    second[1:] = (rows[1:] == rows[:-1]) & (columns[1:] == columns[:-1])
    across = np.arange(len(rows)) ^ 1
    order = np.lexsort((second ^ (touching & above_right)[rows, columns], rows, columns))
    down = np.empty_like(order)
    down[order] = order[np.arange(len(order)) ^ 1]
    return np.stack([columns, rows], axis=1), across.tolist(), down.tolist()
