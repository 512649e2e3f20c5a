"""Where in a stored picture the radiograph is: without shutter, collimator and uniform frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from operators.reading.display.shutters import collimator_as_shutter, exposed
from operators.records.geometry import PixelBox, whole_image
from operators.records.reasons import DoubtReason

Array = NDArray[np.float32]

# What is measured of 630 pictures of FracAtlas stands beside each limit.
UNIFORM = 2.5 / 255  # a line of a frame varies by less, which leaves room for a lossy codec
GRID = 16  # pixels: edges are rounded outwards, so that the noise of a lossy codec seldom moves them
LEAST_FRAME = 0.1  # share of the picture from which a frame is cut off; 0.5 % of the pictures have as much
LARGEST_FRAME = 0.5  # share of the picture from which it is mostly margin; at most 0.30
EMPTY = 3 / 255  # neighbouring blocks of an empty part differ by less
LARGEST_EMPTY = 0.9  # share of the field; at most 0.84
BLOCKS = 64  # along the longer side
LARGEST_ASPECT_RATIO = 4.0  # at most 1.75
LEAST_SIDE = 32  # pixels: a smaller shutter opening is a mistake of the header


def exposed_field(pixels: Array, header: Dataset) -> PixelBox:
    """Return the part of a picture (rows, columns) [0, 1] that is worth analysing.

    Shutter and collimator of the header bound it, and a frame of uniform lines around it is cut off if it takes more
    than a tenth of the picture: pixel padding and black borders become such a frame. An opening that is circular or
    polygonal counts by its bounding box.

    Notes
    -----
    Display Shutter: PS3.3 C.7.6.11; X-Ray Collimator: PS3.3 C.8.7.3.
    """
    window = _opening(header, *pixels.shape)
    left, top, right, bottom = _without_frame(pixels[window.slices()])
    area = (right - left) * (bottom - top)
    if area >= (1 - LEAST_FRAME) * window.width * window.height:
        return window
    return PixelBox(
        window.left + left // GRID * GRID,
        window.top + top // GRID * GRID,
        min(window.left + -(-right // GRID) * GRID, window.right),
        min(window.top + -(-bottom // GRID) * GRID, window.bottom),
    )


def field_doubts(pixels: Array, field: PixelBox) -> tuple[DoubtReason, ...]:
    """Return what the shape of a picture, and of what is exposed in it, gives reason to doubt."""
    sides = sorted((field.width, field.height))
    margin = 1 - field.width * field.height / pixels.size
    found = {
        DoubtReason.MOSTLY_MARGIN: margin > LARGEST_FRAME or empty_share(pixels[field.slices()]) > LARGEST_EMPTY,
        DoubtReason.EXTREME_ASPECT_RATIO: sides[1] > LARGEST_ASPECT_RATIO * sides[0],
    }
    return tuple(reason for reason, holds in found.items() if holds)


def empty_share(pixels: Array) -> float:
    """Return the share [0, 1] of a picture where nothing changes from one block to the next ones."""
    side = max(max(pixels.shape) // BLOCKS, 1)
    rows, columns = (length // side for length in pixels.shape)
    if min(rows, columns) < 1:
        return 0.0
    blocks = pixels[: rows * side, : columns * side].reshape(rows, side, columns, side).mean(axis=(1, 3))
    around = np.pad(blocks, 1, mode="edge")
    neighbours = (around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:])
    steps = np.max([np.abs(each - blocks) for each in neighbours], axis=0)
    return float(np.mean(steps <= EMPTY))


def _without_frame(pixels: Array) -> tuple[int, int, int, int]:
    """Return (left, top, right, bottom) of a picture without the uniform lines at its edges; at least a pixel."""
    left, top, right, bottom = 0, 0, pixels.shape[1], pixels.shape[0]
    peeled = True
    while peeled and right - left > 1 and bottom - top > 1:
        before = left, top, right, bottom
        top += _is_uniform(pixels[top, left:right])
        bottom -= bottom - top > 1 and _is_uniform(pixels[bottom - 1, left:right])
        left += _is_uniform(pixels[top:bottom, left])
        right -= right - left > 1 and _is_uniform(pixels[top:bottom, right - 1])
        peeled = before != (left, top, right, bottom)
    return left, top, right, bottom


def _is_uniform(line: Array) -> bool:
    return bool(np.ptp(line) <= UNIFORM)


def _opening(header: Dataset, rows: int, columns: int) -> PixelBox:
    """Return the box about what shutter and collimator leave; all of the image if they leave too little to be meant."""
    image = whole_image(rows, columns)
    bounds = [bound for bound in (header, collimator_as_shutter(header)) if "ShutterShape" in bound]
    if not bounds:
        return image
    shown = np.logical_and.reduce([exposed(bound, rows, columns) for bound in bounds])
    down, across = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    if down.size < LEAST_SIDE or across.size < LEAST_SIDE:
        return image
    return PixelBox(int(across[0]), int(down[0]), int(across[-1]) + 1, int(down[-1]) + 1)
