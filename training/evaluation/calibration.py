"""Logit -> calibrated probability -> decision, and how far the probabilities can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from operators.records.operating_points import OperatingPoints

Array = NDArray[np.float64]
BINS = 15


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


def decisions_at_level(operating_points: Mapping[str, Any], level: str) -> Decisions:
    """Return the operating points of a level, image or study, from a bundle's metadata; ``decision`` may be absent."""
    fitted = operating_points.get(level, operating_points["image"])
    return Decisions(float(fitted["rule_out"]), float(fitted["rule_in"]), float(fitted.get("decision", 0.5)))


def calibrated_probabilities(logits: Array, temperature: float, bias: float = 0.0) -> Array:
    """Return calibrated probabilities of logits: sigmoid(logit / temperature + bias)."""
    return np.asarray(expit(logits / temperature + bias), np.float64)


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
