"""What is measured of one arm: functions of how often each image counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from training.evaluation.resampling import (
    Array,
    ratio,
    weighted_medians,
)
from training.localization.froc import FALSE_BOXES, Detections, detections, froc, sensitivity_at
from training.localization.images import Images
from training.localization.masks import Overlap
from training.localization.rows import RECALL_IOUS, BoxRow, OutlineRow

Measures = Callable[[Array], dict[str, Array]]  # weights (resamples, images) -> {measure: values (resamples,)}
ALL, ABNORMAL = "all", "abnormal"


def shares(columns: Mapping[str, tuple[Array, Array]]) -> Measures:
    """Return the measures sum(part) / sum(whole) of {name: (part, whole)}, both (images,)."""
    parts, wholes = (np.stack(columns_of_kind, axis=1) for columns_of_kind in zip(*columns.values(), strict=True))
    return lambda weights: dict(zip(columns, ratio(weights @ parts, weights @ wholes).T, strict=True))


def medians(columns: Mapping[str, Array]) -> Measures:
    """Return the medians of {name: (images,)} over the images that are not nan."""
    return lambda weights: {
        name: weighted_medians(np.nan_to_num(values), weights * np.isfinite(values)) for name, values in columns.items()
    }


def box_measures(rows: Sequence[BoxRow], images: Images) -> list[Measures]:
    """Return what is measured of one arm's boxes; ``gated``: an image that is called normal has none."""
    abnormal, normal = images.abnormal.astype(float), images.normal.astype(float)
    findings = np.array([row.findings for row in images.rows], float) * abnormal
    found = np.array([row.found for row in rows], float).T * abnormal
    taken = np.array([row.taken for row in rows], float)
    false = (taken - found[RECALL_IOUS.index(0.3)]) * abnormal
    columns = {
        "pointing_game": _mean(_column([row.in_mask for row in rows])),
        "pointing_game_box": _mean(_column([row.in_box for row in rows])),
    }
    for suffix, gate in (("", np.ones(len(rows))), ("_gated", images.opened)):
        for number, iou in enumerate(RECALL_IOUS):
            columns[f"box_recall_{iou:g}{suffix}"] = (found[number] * gate, findings)
        columns[f"false_boxes_per_abnormal_image{suffix}"] = (false * gate, abnormal)
        columns[f"boxes_per_normal_image{suffix}"] = (taken * normal * gate, normal)
    return [shares(columns)]


def froc_measures(rows: Sequence[BoxRow], images: Images) -> list[Measures]:
    """Return the sensitivities of the FROC curves, over all images and over the abnormal ones alone."""
    found = ranked_detections(rows, images)
    kinds = {ALL: images.abnormal | images.normal, ABNORMAL: images.abnormal}
    return [partial(_sensitivities, found, counted, kind) for kind, counted in kinds.items()]


def _sensitivities(found: Detections, counted: NDArray[np.bool_], kind: str, weights: Array) -> dict[str, Array]:
    curves = froc(found, weights * counted)
    return {f"sensitivity_at_{level:g}_false_boxes_{kind}": sensitivity_at(*curves, level) for level in FALSE_BOXES}


def ranked_detections(rows: Sequence[BoxRow], images: Images) -> Detections:
    """Return all boxes of an arm, ranked; those of an abnormal image that nobody marked do not count."""
    known = images.abnormal | images.normal
    scores = [row.scores if use else () for row, use in zip(rows, known, strict=True)]
    hits = [row.hits if use else () for row, use in zip(rows, known, strict=True)]
    return detections(scores, hits, [row.findings if row.label else 0 for row in images.rows])


def froc_curve(rows: Sequence[BoxRow], images: Images, kind: str = ALL) -> tuple[Array, Array]:
    """Return (false boxes per image, sensitivity) of an arm, over all images or the abnormal ones alone."""
    counted = images.abnormal | images.normal if kind == ALL else images.abnormal
    false_boxes, sensitivity = froc(ranked_detections(rows, images), counted[None].astype(float))
    return false_boxes[0], sensitivity[0]


def outline_measures(rows: Sequence[OutlineRow | None], images: Images) -> list[Measures]:
    """Return what is measured of one arm's outlines; None stands for an image that is not outlined.

    ``given``: in the expert's boxes; ``own``: in the arm's; ``gated``: empty where the image is called normal.
    """
    overlaps = {
        "given": [None if row is None else row.given for row in rows],
        "own": [None if row is None else row.own for row in rows],
    }
    overlaps["own_gated"] = [
        Overlap(0.0, 0.0, image.diagonal) if own is not None and image.state == "normal" else own
        for own, image in zip(overlaps["own"], images.rows, strict=True)
    ]
    columns = {
        f"{name}_{kind}": _column([None if each is None else getattr(each, name) for each in per_image])
        for name in Overlap.__slots__
        for kind, per_image in overlaps.items()
    }
    columns["agreement"] = _column([None if row is None else row.agreement for row in rows])
    distances = {name: values for name, values in columns.items() if name.startswith("hd95")}
    means = {name: _mean(values) for name, values in columns.items() if name not in distances}
    return [shares(means), medians(distances)]


def _mean(values: Array) -> tuple[Array, Array]:
    """Return what ``shares`` makes the mean of, over the images that are not nan."""
    return np.nan_to_num(values), np.isfinite(values).astype(float)


def _column(values: Sequence[float | None]) -> Array:
    return np.array([np.nan if value is None else value for value in values], float)
