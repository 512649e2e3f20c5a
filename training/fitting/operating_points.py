"""Where an image is ruled out, ruled in and called abnormal, fitted on ``val``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.records.operating_points import OperatingPoints
from training.datasets.errors import InputError
from training.evaluation.calibration import calibrated_probabilities
from training.evaluation.resampling import Array, rates
from training.evaluation.scored_images import sample_from, scored_image, scored_studies
from training.fitting.calibration import fit_calibration, require_both_classes
from training.fitting.predictions import Prediction


def candidates(probabilities: Array) -> Array:
    """Return thresholds half-way between observed probabilities, ascending: rounding moves no image across one.

    The first calls every image abnormal and the last none, also where a probability is exactly 1.
    """
    edges = np.unique(probabilities)
    last = max((1 + edges[-1]) / 2, np.nextafter(edges[-1], 2))
    return np.concatenate([[edges[0] / 2], (edges[1:] + edges[:-1]) / 2, [last]])


def fit_operating_points(
    probabilities: Array, labels: Array, sensitivity: float = 0.95, specificity: float = 0.95
) -> OperatingPoints:
    """Return the highest rule-out point with the sensitivity and the lowest rule-in point with the specificity.

    Raises
    ------
    InputError
        If a class is missing.
    """
    if len(np.unique(labels)) < 2:
        raise InputError("val holds one class only, operating points need both; add images to split val")
    thresholds = candidates(probabilities)
    reached = outcomes(probabilities, labels, thresholds)
    rule_out = float(thresholds[reached["sensitivity"] >= sensitivity].max())
    rule_in = float(thresholds[reached["specificity"] >= specificity].min())
    return OperatingPoints(rule_out=rule_out, rule_in=max(rule_in, rule_out))


def fit_decision(probabilities: Array, labels: Array) -> float:
    """Return the threshold with the highest kappa; of several equally good ones the one in their middle."""
    thresholds = candidates(probabilities)
    kappa = np.nan_to_num(outcomes(probabilities, labels, thresholds)["kappa"], nan=-1)
    best = np.flatnonzero(kappa >= kappa.max() - 1e-12)
    return float(thresholds[best[(len(best) - 1) // 2]])


def outcomes(probabilities: Array, labels: Array, thresholds: Array) -> dict[str, Array]:
    """Return the metrics of decisions at each threshold; abnormal is what reaches it."""
    below = [
        np.searchsorted(np.sort(probabilities[labels == label]), thresholds).astype(float) for label in (0, 1)
    ]  # how many probabilities are smaller
    normal, abnormal = (labels == 0).sum(), (labels == 1).sum()
    return rates(abnormal - below[1], normal - below[0], below[0], below[1])


def shortest(threshold: float, probabilities: Array) -> float:
    """Return a threshold with as few decimals, four or more, as leave every observed image on its side."""
    called = probabilities >= threshold
    rounded = (round(threshold, digits) for digits in range(4, 17))
    return next((value for value in rounded if np.array_equal(probabilities >= value, called)), threshold)


SENSITIVITY, SPECIFICITY = 0.92, 0.95  # on val; .90 of the findings is what rule-out has to keep elsewhere


def fit_points(
    predictions: Sequence[Prediction], sensitivity: float = SENSITIVITY, specificity: float = SPECIFICITY
) -> dict[str, Any]:
    """Return the metadata's ``operating_points``: calibration of images, thresholds of images and of studies.

    Parameters
    ----------
    sensitivity, specificity
        What the rule-out point and the rule-in point keep on ``val``.

    Raises
    ------
    InputError
        If there are too few images or studies of a class, or the logits do not rise with the label.
    """
    labels = np.array([prediction.record.label for prediction in predictions], float)
    logits = np.array([prediction.logit for prediction in predictions])
    temperature, bias = fit_calibration(logits, labels)
    if (temperature := round(temperature, 4)) == 0:
        raise InputError("the logits of val hardly vary; train the network longer before fitting")
    bias = round(bias, 4)
    probabilities = calibrated_probabilities(logits, temperature, bias)
    scores = [
        scored_image(prediction.record, str(prediction.record.path), prediction.logit, float(p), "")
        for prediction, p in zip(predictions, probabilities, strict=True)
    ]
    studies = sample_from(scored_studies(scores))
    study_labels = studies.labels.astype(float)
    require_both_classes(study_labels, "studies")
    return {
        "temperature": temperature,
        "bias": bias,
        "image": _thresholds(probabilities, labels, sensitivity, specificity),
        "study": _thresholds(studies.probabilities, study_labels, sensitivity, specificity),
    }


def _thresholds(
    probabilities: NDArray[np.float64], labels: NDArray[np.float64], sensitivity: float, specificity: float
) -> dict[str, float]:
    points = fit_operating_points(probabilities, labels, sensitivity, specificity)
    thresholds = {"rule_out": points.rule_out, "rule_in": points.rule_in}
    thresholds["decision"] = fit_decision(probabilities, labels)
    return {name: shortest(value, probabilities) for name, value in thresholds.items()}
