"""Where a pixel of the original image lies in a network's input, and the way back.

All coordinates are pixel EDGES: the first pixel of a row covers 0 to 1, so an image of 100 columns spans 0 to 100 and a
change of scale is a plain multiplication. Origin top-left, x to the right, y down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True, order=True)
class PixelBox:
    """A box in ORIGINAL image pixels, half-open: it covers left <= x < right, top <= y < bottom.

    Raises
    ------
    ValueError
        If the box is empty.
    """

    left: int
    top: int
    right: int
    bottom: int

    def __post_init__(self) -> None:
        if self.left >= self.right or self.top >= self.bottom:
            raise ValueError(f"an empty box: {self.left}, {self.top}, {self.right}, {self.bottom}")

    @property
    def width(self) -> int:
        """Columns that the box covers."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Rows that the box covers."""
        return self.bottom - self.top

    def slices(self) -> tuple[slice, slice]:
        """Return the (rows, columns) slices that cut the box out of an array that holds it whole."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclass(frozen=True, slots=True)
class PixelGeometry:
    """How a window of the original image is laid into a network's input.

    The window is scaled to ``input_height`` x ``input_width`` and put at the input's top-left corner; what the network
    gets beyond that, to the right and below, is padding.

    Parameters
    ----------
    rows, columns
        Size of the original image, pixels.
    window
        The part that the network sees, original pixels; it may reach beyond the image.
    input_height, input_width
        Size of the scaled window without padding, network pixels.
    """

    rows: int
    columns: int
    window: PixelBox
    input_height: int
    input_width: int

    @property
    def scale_x(self) -> float:
        """Network pixels per original pixel along a row."""
        return self.input_width / self.window.width

    @property
    def scale_y(self) -> float:
        """Network pixels per original pixel along a column."""
        return self.input_height / self.window.height

    def box_to_input(self, box: PixelBox) -> tuple[float, float, float, float]:
        """Return (left, top, right, bottom) of an original box in network pixels."""
        left, right = ((x - self.window.left) * self.scale_x for x in (box.left, box.right))
        top, bottom = ((y - self.window.top) * self.scale_y for y in (box.top, box.bottom))
        return left, top, right, bottom

    def box_to_original(self, left: float, top: float, right: float, bottom: float) -> PixelBox:
        """Return the inverse of ``box_to_input``, rounded to pixels, cut to the image and never empty."""
        x0, x1 = (round(x / self.scale_x) + self.window.left for x in (left, right))
        y0, y1 = (round(y / self.scale_y) + self.window.top for y in (top, bottom))
        x0, y0 = min(max(x0, 0), self.columns - 1), min(max(y0, 0), self.rows - 1)
        return PixelBox(x0, y0, min(max(x1, x0 + 1), self.columns), min(max(y1, y0 + 1), self.rows))

    def map_to_original(self, values: NDArray[np.float32], stride: float) -> NDArray[np.float32]:
        """Resample a map of the network to the window's original pixels, bilinearly.

        Parameters
        ----------
        values
            (height, width) float32; cell (i, j) covers input pixels i * stride to (i + 1) * stride.
        stride
            Network pixels per cell.

        Returns
        -------
        (window.height, window.width) float32
        """
        down = _interpolation(values.shape[0], self.window.height, self.scale_y / stride)
        across = _interpolation(values.shape[1], self.window.width, self.scale_x / stride)
        return np.asarray(down @ values @ across.T, np.float32)


def geometry_of(affine: ArrayLike, shape: tuple[int, ...], window: PixelBox) -> PixelGeometry:
    """Return where a window of an image of ``shape`` (rows, columns) lies in a network's input.

    ``affine`` is what MONAI's transforms leave on the tensor they return; its diagonal is window pixels per input
    pixel.
    """
    matrix = np.asarray(affine, float)
    return PixelGeometry(
        rows=shape[0],
        columns=shape[1],
        window=window,
        input_height=round(window.height / float(matrix[0, 0])),
        input_width=round(window.width / float(matrix[1, 1])),
    )


def whole_image(rows: int, columns: int) -> PixelBox:
    """Return the box that covers an image."""
    return PixelBox(0, 0, columns, rows)


def scaled_size(geometry: PixelGeometry, scale: float) -> tuple[int, int]:
    """Return the (height, width) of a view that is ``scale`` times as large as the plain one."""
    return max(round(geometry.input_height * scale), 1), max(round(geometry.input_width * scale), 1)


def intersection_over_union(first: PixelBox, second: PixelBox) -> float:
    """Return the IoU [0, 1] of two boxes."""
    width = min(first.right, second.right) - max(first.left, second.left)
    height = min(first.bottom, second.bottom) - max(first.top, second.top)
    overlap = max(width, 0) * max(height, 0)
    return overlap / (first.width * first.height + second.width * second.height - overlap)


def square_around(box: PixelBox, factor: float, smallest: int) -> PixelBox:
    """Return the square window about a box's centre, ``factor`` times its longer side, at least ``smallest`` pixels."""
    side = max(math.ceil(factor * max(box.width, box.height)), smallest)
    left = round((box.left + box.right - side) / 2)
    top = round((box.top + box.bottom - side) / 2)
    return PixelBox(left, top, left + side, top + side)


def cut(pixels: NDArray[np.float32], window: PixelBox) -> NDArray[np.float32]:
    """Return a window of an image (rows, columns); what lies beyond the image is 0."""
    out = np.zeros((window.height, window.width), pixels.dtype)
    inside = _overlap(window, *pixels.shape)
    if inside is not None:
        out[_shift(inside, window).slices()] = pixels[inside.slices()]
    return out


def paste(part: NDArray[np.bool_], window: PixelBox, rows: int, columns: int) -> NDArray[np.bool_]:
    """Return an image (rows, columns) that holds a window and is False elsewhere; the inverse of ``cut``."""
    out = np.zeros((rows, columns), bool)
    inside = _overlap(window, rows, columns)
    if inside is not None:
        out[inside.slices()] = part[_shift(inside, window).slices()]
    return out


def _overlap(window: PixelBox, rows: int, columns: int) -> PixelBox | None:
    """Return the part of a window that lies in the image, original pixels."""
    left, top = max(window.left, 0), max(window.top, 0)
    right, bottom = min(window.right, columns), min(window.bottom, rows)
    return PixelBox(left, top, right, bottom) if left < right and top < bottom else None


def _shift(box: PixelBox, window: PixelBox) -> PixelBox:
    """Return a box in the pixels of a window."""
    return PixelBox(box.left - window.left, box.top - window.top, box.right - window.left, box.bottom - window.top)


def _interpolation(cells: int, pixels: int, cells_per_pixel: float) -> NDArray[np.float32]:
    """Return the (pixels, cells) matrix that interpolates linearly between cell centres and is constant beyond them."""
    position = np.clip((np.arange(pixels) + 0.5) * cells_per_pixel - 0.5, 0, cells - 1)
    below = np.minimum(position.astype(np.intp), max(cells - 2, 0))
    weight = (position - below).astype(np.float32)
    matrix = np.zeros((pixels, cells), np.float32)
    rows = np.arange(pixels)
    matrix[rows, below] = 1 - weight
    matrix[rows, np.minimum(below + 1, cells - 1)] += weight
    return matrix
