"""The benchmark's rows -> measures per arm, with intervals over resampled patients, by body part and fracture size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from training.evaluation.metrics import Estimate
from training.evaluation.resampling import (
    MINIMUM_PATIENTS,
    RESAMPLES,
    Array,
    patient_weights,
    percentile_interval,
)
from training.localization.arm_measures import (
    ABNORMAL,
    ALL,
    Measures,
    box_measures,
    froc_curve,
    froc_measures,
    outline_measures,
)
from training.localization.arms import OUTLINES, Arm, Defaults, is_default
from training.localization.images import Images, benchmark_images, list_strata
from training.localization.rows import BoxRow, Measured, OutlineRow
from training.localization.timing import Seconds

Row = TypeVar("Row", BoxRow, OutlineRow)
NO_IMAGE = "no image to measure it on"


def estimates(
    measures: Sequence[Measures], images: Images, chosen: NDArray[np.bool_], resamples: int = RESAMPLES
) -> dict[str, Estimate]:
    """Return measures of the images chosen, with 95 % intervals over resampled patients."""
    groups = np.unique(images.groups[chosen], return_inverse=True)[1].astype(np.intp)
    patients = int(groups.max()) + 1 if len(groups) else 0
    values = _values(measures, chosen[None].astype(float))
    drawn: dict[str, list[Array]] = {name: [] for name in values}
    if patients >= MINIMUM_PATIENTS:
        for block in patient_weights(groups, resamples):
            weights = np.zeros((len(block), len(chosen)))
            weights[:, chosen] = block
            for name, resampled in _values(measures, weights).items():
                drawn[name].append(resampled)
    return {name: _estimate(float(value[0]), drawn[name], patients) for name, value in values.items()}


def _values(measures: Sequence[Measures], weights: Array) -> dict[str, Array]:
    return {name: values for measure in measures for name, values in measure(weights).items()}


def _estimate(value: float, drawn: Sequence[Array], patients: int) -> Estimate:
    if not np.isfinite(value):
        return Estimate(None, None, None, NO_IMAGE)
    if not drawn:
        return Estimate(value, None, None, f"no interval: {patients} patients, fewer than {MINIMUM_PATIENTS}")
    interval = percentile_interval(np.concatenate(drawn))
    low, high = interval or (None, None)
    return Estimate(value, low, high, None if interval else "no interval: undefined in more than 5 % of the resamples")


@dataclass(frozen=True, slots=True, eq=False)
class ArmResult:
    """The result of one arm of one classifier.

    Parameters
    ----------
    default
        Whether it is what the application does.
    overall
        {measure: estimate} of all images.
    strata
        {body_part or size: {name: {measure: estimate}}}.
    curves
        {all or abnormal: (false boxes per image, sensitivity)}; empty for an arm that is judged by its masks.
    """

    classifier: str
    arm: Arm
    default: bool
    seconds: Seconds
    overall: dict[str, Estimate]
    strata: dict[str, dict[str, dict[str, Estimate]]]
    curves: dict[str, tuple[Array, Array]]


def summarise(
    measured: Sequence[Measured],
    arms: Sequence[Arm],
    defaults: Defaults,
    seconds: Mapping[str, Seconds],
    resamples: int = RESAMPLES,
) -> list[ArmResult]:
    """Return the results of every arm of one classifier, in the order of the arms."""
    images = benchmark_images(measured)
    everything = np.ones(len(images.rows), bool)
    boxes, outlines = _by_arm(each.boxes for each in measured), _by_arm(each.outlines for each in measured)
    results = []
    for arm in arms:
        ranked: list[Measures] = []
        curves = {}
        if arm.kind == OUTLINES:
            rows = {row.image: row for row in outlines.get(arm.name, ())}
            measures = outline_measures([rows.get(image.image) for image in images.rows], images)
        else:
            measures = box_measures(boxes[arm.name], images)
            ranked = froc_measures(boxes[arm.name], images)
            curves = {kind: froc_curve(boxes[arm.name], images, kind) for kind in (ALL, ABNORMAL)}
        strata: dict[str, dict[str, dict[str, Estimate]]] = {"body_part": {}, "size": {}}
        for kind, name, chosen in list_strata(images):
            strata[kind][name] = estimates(measures, images, chosen, resamples)
        of_all = estimates([*measures, *ranked], images, everything, resamples)
        default, classifier = is_default(arm, defaults), images.rows[0].classifier
        results.append(ArmResult(classifier, arm, default, seconds[arm.name], of_all, strata, curves))
    return results


def _by_arm(rows: Iterable[Sequence[Row]]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for of_image in rows:
        for row in of_image:
            found.setdefault(row.arm, []).append(row)
    return found
