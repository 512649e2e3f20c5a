"""From found boxes and masks to numbers: pure functions, no network and no file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from operators.records.geometry import PixelBox, intersection_over_union
from training.metrics import dice
from training.resampling import Array, ratio

Mask = NDArray[np.bool_]
FALSE_BOXES = (0.25, 0.5, 1.0, 2.0)  # per image, where a FROC curve is read
FROC_IOU = 0.3
FLAT = 1e-6  # a map whose values differ by less points nowhere
SIZES = ("small", "medium", "large")


@dataclass(frozen=True, slots=True)
class Overlap:
    """How well a mask meets the expert's: ``dice`` and ``iou`` [0, 1], ``hd95`` in pixels of the original image."""

    dice: float
    iou: float
    hd95: float


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """All boxes found in a set of images, the highest score first.

    Parameters
    ----------
    image
        (boxes,) number of each box's image.
    score
        (boxes,), falling.
    true
        (boxes,) 1.0 where the box is the first to find a finding, else 0.0.
    findings
        (images,) number of the expert's boxes.
    """

    image: NDArray[np.intp]
    score: Array
    true: Array
    findings: Array


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


def first_hits(found: Sequence[PixelBox], true: Sequence[PixelBox], least_iou: float = FROC_IOU) -> tuple[bool, ...]:
    """Say of each box, the highest score first, whether it finds a finding that none before it has found.

    A second box on the same finding is false. What is said of a box does not depend on those after it, so a FROC
    curve rises with every threshold.
    """
    left = list(true)
    hits = []
    for box in found:
        best = max(left, key=lambda finding: intersection_over_union(box, finding), default=None)
        hits.append(best is not None and intersection_over_union(box, best) >= least_iou)
        if hits[-1] and best is not None:
            left.remove(best)
    return tuple(hits)


def detections(
    scores: Sequence[Sequence[float]], hits: Sequence[Sequence[bool]], findings: Sequence[int]
) -> Detections:
    """Return the boxes of all images ranked together; one sequence per image."""
    image = np.repeat(np.arange(len(scores)), [len(of) for of in scores])
    score = np.array([value for of in scores for value in of], float)
    true = np.array([value for of in hits for value in of], float)
    order = np.argsort(-score, kind="stable")
    return Detections(image[order], score[order], true[order], np.asarray(findings, float))


def froc(found: Detections, weights: Array) -> tuple[Array, Array]:
    """Return the FROC curves of images that count ``weights`` (resamples, images) times.

    Returns
    -------
    false_boxes, sensitivity
        (resamples, thresholds) each: false boxes per image and the share of the findings found, rising; the first
        threshold lets no box in. Boxes of the same score come in together. Sensitivity is nan without a finding.
    """
    ends = np.flatnonzero(np.r_[found.score[1:] != found.score[:-1], np.ones(min(len(found.score), 1), bool)])
    of_box = weights[:, found.image]
    start = np.zeros((len(weights), 1))
    true, false = (
        np.hstack([start, np.cumsum(of_box * kind, axis=1)[:, ends]]) for kind in (found.true, 1 - found.true)
    )
    images, findings = weights.sum(axis=1, keepdims=True), weights @ found.findings[:, None]
    return ratio(false, np.broadcast_to(images, false.shape)), ratio(true, np.broadcast_to(findings, true.shape))


def sensitivity_at(false_boxes: Array, sensitivity: Array, level: float) -> Array:
    """Return the highest sensitivity of each curve at no more than ``level`` false boxes per image, (resamples,)."""
    return np.asarray(np.where(false_boxes <= level, sensitivity, 0.0).max(axis=1), np.float64)


def weighted_medians(values: Array, weights: Array) -> Array:
    """Return the (lower) median of values (n,) that count ``weights`` (resamples, n) times; nan where none counts."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[:, order], axis=1)
    middle = (total >= total[:, -1:] / 2).argmax(axis=1)
    return np.where(total[:, -1] > 0, values[order][middle], np.nan)


def size_cuts(shares: Sequence[float]) -> tuple[float, float] | None:
    """Return the two cuts that split masks by their share of the image into thirds; None for fewer than three."""
    if len(shares) < len(SIZES):
        return None
    low, high = np.quantile(np.asarray(shares, float), [1 / 3, 2 / 3])
    return float(low), float(high)


def size_of(share: float, cuts: tuple[float, float]) -> str:
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
