"""The benchmark's rows -> measures per arm, with intervals over resampled patients, by body part and fracture size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from training.localization_arms import OUTLINES, Arm, Defaults, is_default
from training.localization_measuring import RECALL_IOUS, BoxRow, ImageRow, Measured, OutlineRow
from training.localization_scores import (
    FALSE_BOXES,
    SIZES,
    Detections,
    Overlap,
    detections,
    froc,
    sensitivity_at,
    size_cuts,
    size_of,
    weighted_medians,
)
from training.localization_timing import Seconds
from training.metrics import Estimate
from training.resampling import LEAST_PATIENTS, RESAMPLES, Array, patient_weights, percentile_interval, ratio

Measures = Callable[[Array], dict[str, Array]]  # weights (resamples, images) -> {measure: values (resamples,)}
ALL, ABNORMAL = "all", "abnormal"
Row = TypeVar("Row", BoxRow, OutlineRow)
NO_IMAGE = "no image to measure it on"


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """The images of a benchmark, in the order of the rows.

    Parameters
    ----------
    rows
        One per image.
    groups
        (images,) numbered patients.
    cuts
        Where the size of a fracture, its share of the image, is split into thirds; None: too few masks.
    """

    rows: tuple[ImageRow, ...]
    groups: NDArray[np.intp]
    cuts: tuple[float, float] | None

    @property
    def abnormal(self) -> NDArray[np.bool_]:
        """(images,) where the expert marked a finding."""
        return np.array([row.label == 1 and row.findings > 0 for row in self.rows], bool)

    @property
    def normal(self) -> NDArray[np.bool_]:
        """(images,) where there is none."""
        return np.array([row.label == 0 for row in self.rows], bool)

    @property
    def opened(self) -> Array:
        """(images,) 1.0 where the classifier's gate lets boxes through: it does not call the image normal."""
        return np.array([row.state != "normal" for row in self.rows], float)


def images_of(measured: Sequence[Measured]) -> Images:
    """Return the images of the rows of one classifier."""
    rows = tuple(each.image for each in measured)
    groups = np.unique([row.group for row in rows], return_inverse=True)[1]
    cuts = size_cuts([row.share for row in rows if row.share is not None])
    return Images(rows, np.asarray(groups, np.intp), cuts)


def strata_of(images: Images) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """Yield (kind, name, (images,) bool): every body part that has a finding, and the thirds by fracture size."""
    parts = np.array([row.body_part for row in images.rows])
    for part in sorted({str(part) for part in parts[images.abnormal]} - {""}):
        yield "body_part", part, parts == part
    if images.cuts is not None:
        sizes = np.array([size_of(row.share, images.cuts) if row.share is not None else "" for row in images.rows])
        for size in SIZES:
            yield "size", size, sizes == size


def estimates(
    measures: Sequence[Measures], images: Images, chosen: NDArray[np.bool_], resamples: int = RESAMPLES
) -> dict[str, Estimate]:
    """Return measures of the images chosen, with 95 % intervals over resampled patients."""
    groups = np.unique(images.groups[chosen], return_inverse=True)[1].astype(np.intp)
    patients = int(groups.max()) + 1 if len(groups) else 0
    values = _values(measures, chosen[None].astype(float))
    drawn: dict[str, list[Array]] = {name: [] for name in values}
    if patients >= LEAST_PATIENTS:
        for block in patient_weights(groups, resamples):
            weights = np.zeros((len(block), len(chosen)))
            weights[:, chosen] = block
            for name, of in _values(measures, weights).items():
                drawn[name].append(of)
    return {name: _estimate(float(value[0]), drawn[name], patients) for name, value in values.items()}


def _values(measures: Sequence[Measures], weights: Array) -> dict[str, Array]:
    return {name: values for of in measures for name, values in of(weights).items()}


def _estimate(value: float, drawn: Sequence[Array], patients: int) -> Estimate:
    if not np.isfinite(value):
        return Estimate(None, None, None, NO_IMAGE)
    if not drawn:
        return Estimate(value, None, None, f"no interval: {patients} patients, fewer than {LEAST_PATIENTS}")
    interval = percentile_interval(np.concatenate(drawn))
    low, high = interval or (None, None)
    return Estimate(value, low, high, None if interval else "no interval: undefined in more than 5 % of the resamples")


def shares(columns: Mapping[str, tuple[Array, Array]]) -> Measures:
    """Return the measures sum(part) / sum(whole) of {name: (part, whole)}, both (images,)."""
    parts, wholes = (np.stack(of, axis=1) for of in zip(*columns.values(), strict=True))
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
    found = detections_of(rows, images)
    kinds = {ALL: images.abnormal | images.normal, ABNORMAL: images.abnormal}
    return [partial(_sensitivities, found, counted, kind) for kind, counted in kinds.items()]


def _sensitivities(found: Detections, counted: NDArray[np.bool_], kind: str, weights: Array) -> dict[str, Array]:
    curves = froc(found, weights * counted)
    return {f"sensitivity_at_{level:g}_false_boxes_{kind}": sensitivity_at(*curves, level) for level in FALSE_BOXES}


def detections_of(rows: Sequence[BoxRow], images: Images) -> Detections:
    """Return all boxes of an arm, ranked; those of an abnormal image that nobody marked do not count."""
    known = images.abnormal | images.normal
    scores = [row.scores if use else () for row, use in zip(rows, known, strict=True)]
    hits = [row.hits if use else () for row, use in zip(rows, known, strict=True)]
    return detections(scores, hits, [row.findings if row.label else 0 for row in images.rows])


def froc_curve(rows: Sequence[BoxRow], images: Images, kind: str = ALL) -> tuple[Array, Array]:
    """Return (false boxes per image, sensitivity) of an arm, over all images or the abnormal ones alone."""
    counted = images.abnormal | images.normal if kind == ALL else images.abnormal
    false_boxes, sensitivity = froc(detections_of(rows, images), counted[None].astype(float))
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
        f"{name}_{kind}": _column([None if each is None else getattr(each, name) for each in of])
        for name in Overlap.__slots__
        for kind, of in overlaps.items()
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


@dataclass(frozen=True, slots=True, eq=False)
class ArmResult:
    """What one arm of one classifier came to.

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
    """Return what every arm of one classifier came to, in the order of the arms."""
    images = images_of(measured)
    everything = np.ones(len(images.rows), bool)
    boxes, outlines = _by_arm(of.boxes for of in measured), _by_arm(of.outlines for of in measured)
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
        for kind, name, chosen in strata_of(images):
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
