"""The activation map -> boxes around what it shows, in original pixels."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from operators.records.geometry import PixelBox, intersection_over_union
from operators.records.images import Classification
from operators.records.rules import BoxRule

Array = NDArray[np.float32]


Found = list[tuple[float, PixelBox]]  # score [0, 1] and box


FLAT = 1e-6  # a map whose values differ by less says nothing of where


FINE = 4  # the map is smooth: a quarter of a cell is all the edge's position can mean


CANDIDATES = 16  # peaks that are looked at, the brightest first


PAPER_SIDE = 224  # side of the source paper's network input, pixels


BINS = 256


def find_boxes(classification: Classification, cells: Array, rule: BoxRule) -> Found:
    """Return the boxes of an activation map (h, w), the brightest first; a flat or a faint map has none."""
    if np.ptp(cells) <= FLAT:
        return []
    return shown(suppress(METHODS[rule.method](classification, cells, rule), rule.overlap), rule.minimum_score)[
        : rule.maximum_boxes
    ]


def shown(found: Found, minimum_score: float) -> Found:
    """Return the boxes whose score is at least ``minimum_score``."""
    return [item for item in found if item[0] >= minimum_score]


def suppress(found: Found, overlap: float) -> Found:
    """Return the boxes, the brightest first, without those whose IoU with a brighter one is at least ``overlap``."""
    kept: Found = []
    for score, box in sorted(found, key=lambda item: (-item[0], item[1])):
        if all(intersection_over_union(box, other) < overlap for _, other in kept):
            kept.append((score, box))
    return kept


def component_boxes(classification: Classification, cells: Array, rule: BoxRule) -> Found:
    """Return (score, box) of the map's connected regions above one cut."""
    smooth = _smooth(classification, cells)
    cut = otsu(smooth) if rule.cut == "otsu" else rule.threshold * float(smooth.max())
    labels, count = ndimage.label(smooth >= max(cut, FLAT))
    scores = ndimage.maximum(smooth, labels, range(1, count + 1))
    regions = ndimage.find_objects(labels)
    return [
        (float(score), _box_about(region, classification, rule.expansion))
        for score, region in zip(scores, regions, strict=True)
    ]


def peak_boxes(classification: Classification, cells: Array, rule: BoxRule) -> Found:
    """Return (score, box) of the region about each local maximum; a faint finding keeps its box beside a bright one."""
    smooth = _smooth(classification, cells)
    found = []
    for row, column in _peaks(smooth, CANDIDATES):
        score = float(smooth[row, column])
        labels, _ = ndimage.label(smooth >= rule.threshold * score)
        region = ndimage.find_objects(labels, int(labels[row, column]))[-1]
        found.append((score, _box_about(region, classification, rule.expansion)))
    return found


def find_peaks(classification: Classification, cells: Array, count: int = CANDIDATES) -> list[tuple[float, PixelBox]]:
    """Return (score, box) of the ``count`` brightest local maxima of a map (h, w), the brightest first.

    The box, original pixels, is no more than the maximum itself: a quarter of a cell.
    """
    smooth = _smooth(classification, cells)
    return [
        (float(smooth[row, column]), _box_about((slice(row, row + 1), slice(column, column + 1)), classification, 0))
        for row, column in _peaks(smooth, count)
    ]


def _peaks(smooth: Array, count: int) -> list[tuple[int, int]]:
    """Return the (row, column) of the brightest local maxima of a smooth map, the brightest first."""
    window = 2 * FINE + 1  # two cells: within one, a bilinear map has no second maximum
    highest, lowest = ndimage.maximum_filter(smooth, window), ndimage.minimum_filter(smooth, window)
    rows, columns = np.nonzero((smooth == highest) & (smooth > lowest + FLAT))  # an even background has no peak
    brightest = np.argsort(-smooth[rows, columns], kind="stable")[:count]
    return [(int(rows[number]), int(columns[number])) for number in brightest]


def brightest_box(classification: Classification, cells: Array, rule: BoxRule) -> Found:
    """Return (score, box) of the fixed box about the map's brightest cell, moved inside the image."""
    return _fixed_box(classification, cells, rule.fixed_side, rule.fixed_side)


def brightest_box_224(classification: Classification, cells: Array, rule: BoxRule) -> Found:
    """Return what ``brightest_box`` does, with the side measured on the image resized to 224 x 224 pixels."""
    geometry, share = classification.geometry, rule.fixed_side / PAPER_SIDE
    return _fixed_box(
        classification, cells, max(round(geometry.columns * share), 1), max(round(geometry.rows * share), 1)
    )


METHODS: dict[str, Callable[[Classification, Array, BoxRule], Found]] = {
    "peaks": peak_boxes,
    "components": component_boxes,
    "brightest_point": brightest_box,
    "brightest_point_224": brightest_box_224,
}


def otsu(values: Array) -> float:
    """Return the cut that maximises the variance between the values below it and those at or above it."""
    counts, edges = np.histogram(values, BINS)
    centres = (edges[:-1] + edges[1:]) / 2
    below, above = np.cumsum(counts)[:-1], counts.sum() - np.cumsum(counts)[:-1]
    total = np.cumsum(counts * centres)
    means = total[:-1] / np.maximum(below, 1), (total[-1] - total[:-1]) / np.maximum(above, 1)
    variance = below * above * (means[0] - means[1]) ** 2
    return float(edges[1:-1][variance >= variance.max() * (1 - 1e-9)].mean())  # the middle of a gap between the two


def _smooth(classification: Classification, cells: Array) -> Array:
    """Return the map at a quarter of its cells, without what reaches into the network's padding."""
    geometry, stride = classification.geometry, classification.feature_stride
    smooth = ndimage.zoom(cells, FINE, order=1, mode="nearest", grid_mode=True)
    rows, columns = (math.ceil(side * FINE / stride) for side in (geometry.input_height, geometry.input_width))
    return np.asarray(smooth[:rows, :columns], np.float32)


def _box_about(region: tuple[slice, ...], classification: Classification, expansion: float) -> PixelBox:
    """Return the box, original pixels, of a region of the smooth map, enlarged about its centre."""
    stride = classification.feature_stride
    top, left = (part.start * stride / FINE for part in region)
    bottom, right = (part.stop * stride / FINE for part in region)
    dx, dy = (right - left) * expansion / 2, (bottom - top) * expansion / 2
    return classification.geometry.box_to_original(left - dx, top - dy, right + dx, bottom + dy)


def _fixed_box(classification: Classification, cells: Array, width: int, height: int) -> Found:
    """Return (score, box) of ``width`` x ``height`` original pixels about the brightest cell, moved inside."""
    geometry, stride = classification.geometry, classification.feature_stride
    row, column = np.unravel_index(int(cells.argmax()), cells.shape)
    point = geometry.box_to_original(*((float(column) + 0.5) * stride, (float(row) + 0.5) * stride) * 2)
    left = min(max(point.left - width // 2, 0), max(geometry.columns - width, 0))
    top = min(max(point.top - height // 2, 0), max(geometry.rows - height, 0))
    box = PixelBox(left, top, min(left + width, geometry.columns), min(top + height, geometry.rows))
    return [(float(cells.max()), box)]
