"""Classification -> localization: the class activation map on the original pixels, and boxes around what it shows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit

from operators.geometry import PixelBox
from operators.records import Classification, Localization

Array = NDArray[np.float32]
FLAT = 1e-6  # a map whose values differ by less says nothing of where


@dataclass(frozen=True, slots=True)
class BoxRule:
    """How boxes are found on the heat map.

    Parameters
    ----------
    method
        ``components``: connected regions at or above ``threshold`` x the map's maximum; ``brightest_point``: one box of
        ``fixed_side`` about the maximum, as in the source paper.
    threshold
        Fraction of the map's maximum, 0 to 1.
    expansion
        How much a component's box is enlarged, as a fraction of its sides.
    most
        Boxes per image, the brightest first.
    fixed_side
        Side of the ``brightest_point`` box, original pixels.
    """

    method: str
    threshold: float
    expansion: float
    most: int
    fixed_side: int


def localize(classification: Classification, rule: BoxRule) -> Localization:
    """Find the boxes of one image; a normal image has none, nor has one whose map is the same everywhere."""
    cells = activation_map(classification)
    geometry, stride = classification.geometry, classification.feature_stride
    heatmap = geometry.map_to_original(cells, stride)
    found: list[tuple[float, PixelBox]] = []
    if classification.state != "normal":
        find = brightest_box if rule.method == "brightest_point" else component_boxes
        found = find(classification, cells, rule)
    return Localization(classification, heatmap, tuple(box for _, box in found), tuple(score for score, _ in found))


def activation_map(classification: Classification) -> Array:
    """Return the class activation map, (h, w) float32 [0, 1], one value per cell of the features.

    With a bias the map is a probability per cell; without, it has no absolute scale and its maximum is 1.
    """
    geometry, stride = classification.geometry, classification.feature_stride
    rows, columns = math.ceil(geometry.input_height / stride), math.ceil(geometry.input_width / stride)  # no padding
    weighted = np.tensordot(classification.feature_weights, classification.features[:, :rows, :columns], axes=1)
    if classification.feature_bias is not None:
        return np.asarray(expit(weighted + classification.feature_bias), np.float32)
    positive = np.maximum(weighted, 0)
    return np.asarray(positive / max(float(positive.max()), 1e-12), np.float32)


def component_boxes(classification: Classification, cells: Array, rule: BoxRule) -> list[tuple[float, PixelBox]]:
    """Return (score, box) of the map's connected regions, the brightest first; a flat map has none."""
    if np.ptp(cells) <= FLAT:
        return []
    geometry, stride = classification.geometry, classification.feature_stride
    fine = 4  # the map is smooth: a quarter of a cell is all the edge's position can mean
    smooth = ndimage.zoom(cells, fine, order=1, mode="nearest", grid_mode=True)
    rows, columns = (math.ceil(side * fine / stride) for side in (geometry.input_height, geometry.input_width))
    smooth = smooth[:rows, :columns]  # the last cells may reach into the padding
    labels, count = ndimage.label(smooth >= max(rule.threshold * float(smooth.max()), 1e-6))
    scores = ndimage.maximum(smooth, labels, range(1, count + 1))
    boxes = []
    for score, region in zip(scores, ndimage.find_objects(labels), strict=True):
        top, left = (part.start * stride / fine for part in region)
        bottom, right = (part.stop * stride / fine for part in region)
        dx, dy = (right - left) * rule.expansion / 2, (bottom - top) * rule.expansion / 2
        boxes.append((float(score), geometry.box_to_original(left - dx, top - dy, right + dx, bottom + dy)))
    return sorted(boxes, key=lambda found: (-found[0], found[1]))[: rule.most]


def brightest_box(classification: Classification, cells: Array, rule: BoxRule) -> list[tuple[float, PixelBox]]:
    """Return (score, box) of the fixed box about the map's brightest cell, moved inside; a flat map has none."""
    if np.ptp(cells) <= FLAT:
        return []
    geometry, stride = classification.geometry, classification.feature_stride
    row, column = np.unravel_index(int(cells.argmax()), cells.shape)
    point = geometry.box_to_original(*((float(column) + 0.5) * stride, (float(row) + 0.5) * stride) * 2)
    side = rule.fixed_side
    left = min(max(point.left - side // 2, 0), max(geometry.columns - side, 0))
    top = min(max(point.top - side // 2, 0), max(geometry.rows - side, 0))
    box = PixelBox(left, top, min(left + side, geometry.columns), min(top + side, geometry.rows))
    return [(float(cells.max()), box)]
