"""Boxes against findings: hits, and the FROC curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from operators.records.geometry import PixelBox, intersection_over_union
from training.evaluation.resampling import Array, ratio

FALSE_BOXES = (0.25, 0.5, 1.0, 2.0)  # per image, where a FROC curve is read
FROC_IOU = 0.3


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


def first_hits(found: Sequence[PixelBox], true: Sequence[PixelBox], minimum_iou: float = FROC_IOU) -> tuple[bool, ...]:
    """Say of each box, the highest score first, whether it finds a finding that none before it has found.

    A second box on the same finding is false. The verdict on a box does not depend on those after it, so a FROC
    curve rises with every threshold.
    """
    left = list(true)
    hits = []
    for box in found:
        best = max(left, key=lambda finding: intersection_over_union(box, finding), default=None)
        hits.append(best is not None and intersection_over_union(box, best) >= minimum_iou)
        if hits[-1] and best is not None:
            left.remove(best)
    return tuple(hits)


def detections(
    scores: Sequence[Sequence[float]], hits: Sequence[Sequence[bool]], findings: Sequence[int]
) -> Detections:
    """Return the boxes of all images ranked together; one sequence per image."""
    image = np.repeat(np.arange(len(scores)), [len(per_image) for per_image in scores])
    score = np.array([value for per_image in scores for value in per_image], float)
    true = np.array([value for per_image in hits for value in per_image], float)
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
