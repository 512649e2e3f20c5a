"""What is fitted on validation data, logit -> probability -> decision, and how far the probabilities can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from operators.records.operating_points import OperatingPoints
from training.resampling import rates

Array = NDArray[np.float64]
BINS = 15
LEAST_IMAGES = 5  # of each class, to fit anything to
SMALLEST_SLOPE = 1e-3  # of the standardised logit; a network that knows nothing has a slope about 0


@dataclass(frozen=True, slots=True)
class Decisions:
    """Operating points of one level: ``decision`` is the one threshold of yes-or-no metrics."""

    rule_out: float
    rule_in: float
    decision: float = 0.5

    @property
    def points(self) -> OperatingPoints:
        """What the application decides with."""
        return OperatingPoints(self.rule_out, self.rule_in)


def decisions_of(operating_points: Mapping[str, Any], level: str) -> Decisions:
    """Return the operating points of a level, image or study, from a bundle's metadata; ``decision`` may be absent."""
    fitted = operating_points.get(level, operating_points["image"])
    return Decisions(float(fitted["rule_out"]), float(fitted["rule_in"]), float(fitted.get("decision", 0.5)))


def probabilities_of(logits: Array, temperature: float, bias: float = 0.0) -> Array:
    """Return calibrated probabilities of logits: sigmoid(logit / temperature + bias)."""
    return np.asarray(expit(logits / temperature + bias), np.float64)


def fit_calibration(logits: Array, labels: Array) -> tuple[float, float]:
    """Return the temperature and the bias that minimise the cross entropy of sigmoid(logit / temperature + bias).

    Raises
    ------
    ValueError
        If there are too few images of a class, a logit is not finite, or the logits do not rise with the label.

    Notes
    -----
    Platt, 1999, with his smoothed targets, so that a network that separates the classes keeps a finite temperature.
    """
    require_both_classes(labels)
    scale = float(logits.std())
    if not np.isfinite(scale) or scale == 0:
        raise ValueError("the logits of val are all the same or not finite; train the network before fitting")
    centre, abnormal = float(logits.mean()), float(labels.sum())
    standard = (logits - centre) / scale
    targets = np.where(labels == 1, (abnormal + 1) / (abnormal + 2), 1 / (len(labels) - abnormal + 2))

    def cross_entropy(line: Array) -> tuple[float, Array]:
        logit = line[0] * standard + line[1]
        excess = expit(logit) - targets
        value = -np.mean(targets * log_expit(logit) + (1 - targets) * log_expit(-logit))
        return float(value), np.array([np.mean(excess * standard), np.mean(excess)])

    slope, offset = minimize(cross_entropy, np.array([1.0, 0.0]), jac=True, method="BFGS").x
    if slope < SMALLEST_SLOPE:
        raise ValueError("the logits of val do not rise with the label; check the labels or train the network again")
    return float(scale / slope), float(offset - slope * centre / scale)


def require_both_classes(labels: Array) -> None:
    """Raise ValueError where a class has too few images to fit anything to."""
    for label, name in enumerate(("normal", "abnormal")):
        count = int((labels == label).sum())
        if count < LEAST_IMAGES:
            raise ValueError(f"val holds {count} {name} images, a fit needs {LEAST_IMAGES}; add images to split val")


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
    ValueError
        If a class is missing.
    """
    if len(np.unique(labels)) < 2:
        raise ValueError("val holds one class only, operating points need both; add images to split val")
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


def reliability(probabilities: Array, labels: NDArray[np.bool_], equal_mass: bool = False) -> list[dict[str, Any]]:
    """Return the reliability diagram's bins that hold images: edges, images, mean probability, share of abnormal.

    Bins are equally wide, or hold equally many images (Nixon et al., CVPR workshops 2019).
    """
    order = np.argsort(probabilities, kind="stable")
    if equal_mass:
        members = np.array_split(order, min(BINS, len(order)))
    else:
        number = np.minimum((probabilities * BINS).astype(int), BINS - 1)
        members = [np.flatnonzero(number == index) for index in range(BINS)]
    return [
        {
            "low": float(probabilities[chosen].min()) if equal_mass else index / BINS,
            "high": float(probabilities[chosen].max()) if equal_mass else (index + 1) / BINS,
            "images": len(chosen),
            "mean_probability": float(probabilities[chosen].mean()),
            "abnormal_share": float(labels[chosen].mean()),
        }
        for index, chosen in enumerate(members)
        if len(chosen)
    ]


def expected_calibration_error(bins: list[dict[str, Any]]) -> float:
    """Return the mean distance of probability and share of abnormal over bins, weighted by their images."""
    images = sum(entry["images"] for entry in bins)
    return float(sum(e["images"] * abs(e["mean_probability"] - e["abnormal_share"]) for e in bins) / images)


def calibration_summary(probabilities: Array, labels: NDArray[np.bool_]) -> dict[str, Any]:
    """Return Brier score, expected calibration error over both kinds of bins, and the equally wide bins."""
    bins = reliability(probabilities, labels)
    return {
        "brier": float(np.mean((probabilities - labels) ** 2)),
        "ece": expected_calibration_error(bins),
        "ece_equal_mass": expected_calibration_error(reliability(probabilities, labels, equal_mass=True)),
        "bins": bins,
    }
