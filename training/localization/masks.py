"""Masks and maps against the expert's mask: overlap, distance, size; pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from operators.records.geometry import PixelBox
from training.evaluation.overlap import dice

Mask = NDArray[np.bool_]
FLAT = 1e-6  # a map whose values differ by less points nowhere
SIZES = ("small", "medium", "large")


@dataclass(frozen=True, slots=True)
class Overlap:
    """How well a mask meets the expert's: ``dice`` and ``iou`` [0, 1], ``hd95`` in pixels of the original image."""

    dice: float
    iou: float
    hd95: float


def overlap(found: Mask, expert: Mask) -> Overlap:
    """Return how well a mask meets the expert's."""
    together, either = int((found & expert).sum()), int((found | expert).sum())
    return Overlap(dice(found, expert), together / either if either else 1.0, hd95(found, expert))


def hd95(first: Mask, second: Mask) -> float:
    """Return the 95th percentile of the distances between two masks' edges, the larger of both directions, pixels.

    Where one mask is empty it is the image's diagonal, where both are, 0.
    """
    if not first.any() or not second.any():
        return 0.0 if first.any() == second.any() else math.hypot(*first.shape)
    edges = [edge_pixels(mask) for mask in (first, second)]
    ways = (KDTree(edges[1]).query(edges[0])[0], KDTree(edges[0]).query(edges[1])[0])
    return float(max(np.percentile(way, 95) for way in ways))


def edge_pixels(mask: Mask) -> NDArray[np.intp]:
    """Return (pixels, 2) rows and columns of the mask's pixels that have a neighbour outside, or lie on the border."""
    (region,) = ndimage.find_objects(mask.astype(np.uint8))
    part = mask[region]
    edge = part & ~ndimage.binary_erosion(part)
    return np.asarray(np.argwhere(edge) + [side.start for side in region], np.intp)


def brightest(heatmap: NDArray[np.float32]) -> tuple[int, int] | None:
    """Return (row, column) of the map's maximum, or None where the map is flat."""
    if np.ptp(heatmap) <= FLAT:
        return None
    row, column = np.unravel_index(int(heatmap.argmax()), heatmap.shape)
    return int(row), int(column)


def in_a_box(point: tuple[int, int], boxes: Iterable[PixelBox]) -> bool:
    """Say whether a (row, column) lies in one of the boxes."""
    row, column = point
    return any(box.top <= row < box.bottom and box.left <= column < box.right for box in boxes)


def size_cuts(shares: Sequence[float]) -> tuple[float, float] | None:
    """Return the two cuts that split masks by their share of the image into thirds; None for fewer than three."""
    if len(shares) < len(SIZES):
        return None
    ordered, last = sorted(shares), len(shares) - 1
    return float(ordered[last // 3]), float(ordered[2 * last // 3])


def size_class(share: float, cuts: tuple[float, float]) -> str:
    """Return the name of the third that a share lies in; a share at a cut belongs to the third below."""
    return SIZES[int(np.searchsorted(cuts, share, side="left"))]


def filled(box: PixelBox, shape: tuple[int, ...]) -> Mask:
    """Return a box as a mask, (rows, columns) bool."""
    mask = np.zeros(shape, bool)
    mask[box.slices()] = True
    return mask


def ellipse(box: PixelBox, shape: tuple[int, ...]) -> Mask:
    """Return the ellipse inscribed in a box, (rows, columns) bool."""
    y, x = np.ogrid[0 : shape[0], 0 : shape[1]]
    cx, cy = (box.left + box.right - 1) / 2, (box.top + box.bottom - 1) / 2
    return np.asarray(((x - cx) / (box.width / 2)) ** 2 + ((y - cy) / (box.height / 2)) ** 2 <= 1)


def union(masks: Iterable[Mask], shape: tuple[int, ...]) -> Mask:
    """Return the union of masks, empty if there is none."""
    total = np.zeros(shape, bool)
    for mask in masks:
        total |= mask
    return total


def agreement(outlines: Mask, heatmap: NDArray[np.float32], threshold: float) -> float:
    """Return the Dice of outlines and the map at or above ``threshold`` x its maximum: no measure of accuracy."""
    return dice(outlines, heatmap >= max(threshold * float(heatmap.max()), FLAT))
