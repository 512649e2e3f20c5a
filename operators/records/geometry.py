"""Where a pixel of the original image lies in a network's input, and the way back.

All coordinates are pixel EDGES: the first pixel of a row covers 0 to 1, so an image of 100 columns spans 0 to 100 and a
change of scale is a plain multiplication. Origin top-left, x to the right, y down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Value = TypeVar("Value", np.bool_, np.float32)


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
class ImageField:
    """The part of an image that is analysed, and how it is turned: first cut out, then turned.

    Parameters
    ----------
    window
        Original pixels.
    quarter_turns
        Counter-clockwise, 0 to 3, by which the part comes to stand upright.
    """

    window: PixelBox
    quarter_turns: int = 0

    @property
    def turned_size(self) -> tuple[int, int]:
        """(rows, columns) of the part when it is turned."""
        size = self.window.height, self.window.width
        return size[::-1] if self.quarter_turns % 2 else size

    def of(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the part of an image (rows, columns), turned; a copy."""
        return np.rot90(cut(pixels, self.window), self.quarter_turns).copy()


@dataclass(frozen=True, slots=True)
class PixelGeometry:
    """How a window of the original image is laid into a network's input.

    The window is turned, scaled to ``input_height`` x ``input_width`` and put at the input's top-left corner; what the
    network gets beyond that, to the right and below, is padding.

    Parameters
    ----------
    rows, columns
        Size of the original image, pixels.
    window
        The part that the network sees, original pixels; it may reach beyond the image.
    input_height, input_width
        Size of the scaled window without padding, network pixels.
    quarter_turns
        By which the window is turned before it is scaled, counter-clockwise.
    """

    rows: int
    columns: int
    window: PixelBox
    input_height: int
    input_width: int
    quarter_turns: int = 0

    @property
    def field(self) -> ImageField:
        """The window and how it is turned."""
        return ImageField(self.window, self.quarter_turns)

    @property
    def scale_x(self) -> float:
        """Network pixels per original pixel along a row of the turned window."""
        return self.input_width / self.field.turned_size[1]

    @property
    def scale_y(self) -> float:
        """Network pixels per original pixel along a column of the turned window."""
        return self.input_height / self.field.turned_size[0]

    def box_to_input(self, box: PixelBox) -> tuple[float, float, float, float]:
        """Return (left, top, right, bottom) of an original box in network pixels."""
        inside = _shift(box, self.window)
        edges = (inside.left, inside.top, inside.right, inside.bottom)
        left, top, right, bottom = _turned(edges, self.window.height, self.window.width, self.quarter_turns)
        return left * self.scale_x, top * self.scale_y, right * self.scale_x, bottom * self.scale_y

    def box_to_original(self, left: float, top: float, right: float, bottom: float) -> PixelBox:
        """Return the inverse of ``box_to_input``, rounded to pixels, cut to the image and never empty.

        A part of the window that lies beyond the image is no part of the image.
        """
        edges = (left / self.scale_x, top / self.scale_y, right / self.scale_x, bottom / self.scale_y)
        back = _turned(edges, *self.field.turned_size, -self.quarter_turns % 4)
        x0, y0, x1, y1 = (round(value) for value in back)
        inside = _overlap(self.window, self.rows, self.columns) or whole_image(self.rows, self.columns)
        x0 = min(max(x0 + self.window.left, inside.left), inside.right - 1)
        y0 = min(max(y0 + self.window.top, inside.top), inside.bottom - 1)
        x1 = min(max(x1 + self.window.left, x0 + 1), inside.right)
        return PixelBox(x0, y0, x1, min(max(y1 + self.window.top, y0 + 1), inside.bottom))

    @property
    def inside(self) -> PixelBox | None:
        """The part of the window that lies in the image, original pixels; None if none does."""
        return _overlap(self.window, self.rows, self.columns)

    def map_to_original(
        self, values: NDArray[np.float32], stride: float, within: PixelBox | None = None
    ) -> NDArray[np.float32]:
        """Resample a map of the network to the window's original pixels, bilinearly, and turn it back.

        Parameters
        ----------
        values
            (height, width) float32; cell (i, j) covers input pixels i * stride to (i + 1) * stride.
        stride
            Network pixels per cell.
        within
            The part of the window that is wanted, original pixels; None: all of it, which may be far larger than the
            image.

        Returns
        -------
        (height, width) float32 of that part
        """
        part = _shift(self.window if within is None else within, self.window)
        edges = (part.left, part.top, part.right, part.bottom)
        rows, columns = PixelBox(
            *map(round, _turned(edges, self.window.height, self.window.width, self.quarter_turns))
        ).slices()
        height, width = self.field.turned_size
        down = _interpolation(values.shape[0], height, self.scale_y / stride)[rows]
        across = _interpolation(values.shape[1], width, self.scale_x / stride)[columns]
        return np.asarray(np.rot90(down @ values @ across.T, -self.quarter_turns), np.float32)


def geometry_of(affine: ArrayLike, shape: tuple[int, ...], window: PixelBox, quarter_turns: int = 0) -> PixelGeometry:
    """Return where a window of an image of ``shape`` (rows, columns), turned, lies in a network's input.

    ``affine`` is what MONAI's transforms leave on the tensor they return; its diagonal is window pixels per input
    pixel.
    """
    matrix = np.asarray(affine, float)
    height, width = ImageField(window, quarter_turns).turned_size
    return PixelGeometry(
        rows=shape[0],
        columns=shape[1],
        window=window,
        input_height=round(height / float(matrix[0, 0])),
        input_width=round(width / float(matrix[1, 1])),
        quarter_turns=quarter_turns,
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


def cut_shrunk(pixels: NDArray[np.float32], window: PixelBox, factor: int) -> NDArray[np.float32]:
    """Return what ``cut`` returns as the means of squares of ``factor`` pixels, of which the window holds whole ones.

    It costs no more memory than the image itself, however far the window reaches beyond it.
    """
    out = np.zeros((window.height // factor, window.width // factor), pixels.dtype)
    inside = _overlap(window, *pixels.shape)
    if inside is not None:
        at = _shift(inside, window)
        cells = PixelBox(at.left // factor, at.top // factor, -(-at.right // factor), -(-at.bottom // factor))
        squares = PixelBox(*(edge * factor for edge in (cells.left, cells.top, cells.right, cells.bottom)))
        part = cut(pixels[inside.slices()], _shift(squares, at))
        out[cells.slices()] = part.reshape(cells.height, factor, cells.width, factor).mean(axis=(1, 3))
    return out


def multiple_of(window: PixelBox, factor: int) -> PixelBox:
    """Return a window enlarged to the right and below to sides that are multiples of ``factor``."""
    width, height = (-(-side // factor) * factor for side in (window.width, window.height))
    return PixelBox(window.left, window.top, window.left + width, window.top + height)


def paste(part: NDArray[Value], window: PixelBox, rows: int, columns: int) -> NDArray[Value]:
    """Return an image (rows, columns) that holds a window and is 0, or False, elsewhere; the inverse of ``cut``."""
    out = np.zeros((rows, columns), part.dtype)
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


def _turned(
    edges: tuple[float, float, float, float], height: int, width: int, quarter_turns: int
) -> tuple[float, float, float, float]:
    """Return (left, top, right, bottom) of a part of an array (height, width) that is turned counter-clockwise."""
    for _ in range(quarter_turns):
        left, top, right, bottom = edges
        edges, height, width = (top, width - right, bottom, width - left), width, height
    return edges


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
