"""What a person marked in a viewer -> the prompt of the segmenter: a box and points.

MONAI Label's clients send voxel indices (i, j, k) of the volume that they show; of a radiograph, i is the column, j the
row and k 0. An index is the centre of its pixel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from operators.records.geometry import PixelBox
from operators.segmentation.prompts import Points
from training.datasets.errors import InputError

ROI, POSITIVE, NEGATIVE = "roi", "foreground", "background"  # keys of a request, as 3D Slicer's module sends them
MOST_POINTS = 100
# Of the image's longer side: the boxes that are tried about points without a box. On FracAtlas' val, the best by
# predicted IoU has a mean Dice of 0.72 about a point in the middle of the finding, and the best single size 0.67.
CLICK_SIDES = (0.04, 0.06, 0.09, 0.13)


class PromptError(InputError):
    """A request marks nothing, or marks it outside the image."""


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """``boxes`` of which the best is taken: the one that was drawn, or those that points alone may mean; ``points``."""

    boxes: tuple[PixelBox, ...]
    points: Points


def read_prompt(request: Mapping[str, Any], rows: int, columns: int) -> Prompt:
    """Return the prompt of a request.

    Parameters
    ----------
    request
        ``roi``: [i, i, j, j] or with two k more, the corners in any order; ``foreground``, ``background``: lists of
        [i, j] or [i, j, k], on the finding and beside it. Each may be missing or empty.

    Raises
    ------
    PromptError
        If there is neither a box nor a point on the finding, or something lies outside the image.
    """
    positive, negative = (_points(request, key, rows, columns) for key in (POSITIVE, NEGATIVE))
    points = Points(np.array(positive + negative).reshape(-1, 2), np.repeat([1.0, 0.0], [len(positive), len(negative)]))
    if request.get(ROI):
        return Prompt((_box(request[ROI], rows, columns),), points)
    if not positive:
        raise PromptError(f"nothing is marked; draw a box ({ROI}) or set a point on the finding ({POSITIVE})")
    return Prompt(tuple(_box_about(positive, side, rows, columns) for side in CLICK_SIDES), points)


def _points(request: Mapping[str, Any], key: str, rows: int, columns: int) -> list[tuple[float, float]]:
    """Return the (x, y) of a request's points, in pixel edges."""
    indices = request.get(key) or []
    if not isinstance(indices, list) or len(indices) > MOST_POINTS:
        raise PromptError(f"{key}: give a list of at most {MOST_POINTS} points")
    found = []
    for index in indices:
        i, j, *_ = _numbers(index, key, (2, 3))
        if not (-0.5 <= i <= columns - 0.5 and -0.5 <= j <= rows - 0.5):
            raise PromptError(f"{key}: a point lies outside the {columns} x {rows} pixels; set it on the image")
        found.append((i + 0.5, j + 0.5))
    return found


def _box(corners: Any, rows: int, columns: int) -> PixelBox:
    """Return the pixels that a region of interest touches, as far as the image reaches."""
    numbers = _numbers(corners, ROI, (4, 6))
    (left, right), (top, bottom) = sorted(numbers[0:2]), sorted(numbers[2:4])
    box = (math.floor(left + 0.5), math.floor(top + 0.5), math.floor(right + 0.5) + 1, math.floor(bottom + 0.5) + 1)
    if box[0] >= columns or box[1] >= rows or box[2] <= 0 or box[3] <= 0:
        raise PromptError(f"{ROI}: the box lies outside the {columns} x {rows} pixels; draw it on the image")
    return PixelBox(max(box[0], 0), max(box[1], 0), min(box[2], columns), min(box[3], rows))


def _numbers(values: Any, key: str, lengths: tuple[int, int]) -> list[float]:
    is_list = isinstance(values, list) and len(values) in lengths
    if not (is_list and all(isinstance(value, int | float) and math.isfinite(value) for value in values)):
        raise PromptError(f"{key}: give voxel indices, lists of {lengths[0]} or {lengths[1]} numbers")
    return [float(value) for value in values]


def _box_about(points: list[tuple[float, float]], side: float, rows: int, columns: int) -> PixelBox:
    """Return the box of points, each side at least a share of the image's longer one, as far as the image reaches."""
    least = side * max(rows, columns)
    edges = []
    for values, limit in zip(zip(*points, strict=True), (columns, rows), strict=True):
        low, high = min(values), max(values)
        margin = max(least - (high - low), 1.0) / 2
        edges.append((max(math.floor(low - margin), 0), min(math.ceil(high + margin), limit)))
    (left, right), (top, bottom) = edges
    return PixelBox(left, top, right, bottom)
