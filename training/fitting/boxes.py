"""Fit on ``val`` how boxes are cut from the activation map."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from operators.localization.activation_maps import activation_map
from operators.localization.boxes import Found, find_boxes, shown
from operators.records.images import Classification
from operators.records.rules import BoxRule, MapRule
from training.batches.findings import pixel_box
from training.datasets.manifest import ImageRecord
from training.evaluation.overlap import match_boxes

THRESHOLDS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
EXPANSIONS = (0.0, 0.15, 0.3, 0.5)
MINIMUM_SCORES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
MINIMUM_IOU = 0.3
PROBABILITY_LIMIT = 1e-7  # float32 cannot tell probabilities nearer to 0 and 1


@dataclass(frozen=True, slots=True, eq=False)
class MappedImage:
    """An image whose finding is known: its map before calibration, (h, w) float32 [0, 1], and what boxes need of it.

    ``classification`` is without its features, so that a whole split fits into memory; ``has_scale``: the map is a
    probability per cell, and calibration changes it.
    """

    record: ImageRecord
    classification: Classification
    cells: NDArray[np.float32]
    has_scale: bool

    def calibrated(self, points: Mapping[str, Any]) -> NDArray[np.float32]:
        """Return the map as the application has it once the operating points are in the metadata."""
        if not self.has_scale:
            return self.cells
        logits = logit(np.clip(self.cells.astype(np.float64), PROBABILITY_LIMIT, 1 - PROBABILITY_LIMIT))
        return np.asarray(expit(logits / points["temperature"] + points.get("bias", 0.0)), np.float32)


def mapped(record: ImageRecord, classification: Classification, rule: MapRule) -> MappedImage:
    """Return the map of an image that was classified as if nothing were fitted yet."""
    cells = activation_map(classification, rule)
    plain = classification.views[0]
    last = plain.stages[-1]
    bare = dataclasses.replace(last, features=np.empty((0, *last.features.shape[1:]), np.float32), gradients=None)
    views = (dataclasses.replace(plain, stages=(bare,)),)
    has_scale = rule.method == "cam" and rule.stages == 1 and classification.feature_bias is not None
    return MappedImage(record, dataclasses.replace(classification, views=views), cells, has_scale)


def fit_boxes(images: Sequence[MappedImage], points: Mapping[str, Any], rule: BoxRule, maps: MapRule) -> dict[str, Any]:
    """Return the metadata's ``localization``: the numbers with the best F1 of boxes on abnormal images at IoU .3.

    Parameters
    ----------
    points
        The metadata's ``operating_points``.
    rule, maps
        How boxes are found and maps were made; threshold, expansion and least score are searched.
    """
    expert = [[pixel_box(box) for box in image.record.boxes] for image in images]
    cells = [image.calibrated(points) for image in images]
    best: tuple[float, float, float, float] = (-1.0, 0.5, 0.0, 0.0)
    for threshold in THRESHOLDS:
        for expansion in EXPANSIONS:
            tried = dataclasses.replace(rule, threshold=threshold, expansion=expansion, minimum_score=0.0)
            found = [find_boxes(image.classification, c, tried) for image, c in zip(images, cells, strict=True)]
            for least in MINIMUM_SCORES:
                best = max(best, (_f1(found, expert, least), threshold, expansion, least))
    return {
        "map": maps.method,
        "stages_used": maps.stages,
        "flips": maps.flips,
        "scales": list(maps.scales),
        "boxes": rule.method,
        "cut": rule.cut,
        "threshold": best[1],
        "expansion": best[2],
        "least_score": best[3],
        "val_f1_at_iou_0.3": round(best[0], 4),
    }


def _f1(found: Sequence[Found], expert: Sequence[Sequence[Any]], least: float) -> float:
    """Return the F1 of boxes whose score is at least ``least``."""
    matched = kept = true = 0
    for boxes, wanted in zip(found, expert, strict=True):
        taken = [box for _, box in shown(boxes, least)]
        matched += match_boxes(taken, wanted, MINIMUM_IOU)
        kept, true = kept + len(taken), true + len(wanted)
    return 2 * matched / max(kept + true, 1)
