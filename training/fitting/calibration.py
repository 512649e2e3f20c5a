"""The temperature and the bias that turn a network's logit into a probability, fitted on ``val``."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from training.datasets.errors import InputError
from training.evaluation.resampling import Array

MINIMUM_IMAGES = 5  # and studies, of each class, to fit anything to
SMALLEST_SLOPE = 1e-3  # of the standardised logit; a network that knows nothing has a slope about 0


def fit_calibration(logits: Array, labels: Array) -> tuple[float, float]:
    """Return the temperature and the bias that minimise the cross entropy of sigmoid(logit / temperature + bias).

    Raises
    ------
    InputError
        If there are too few images of a class, a logit is not finite, or the logits do not rise with the label.

    Notes
    -----
    Platt, 1999, with his smoothed targets, so that a network that separates the classes keeps a finite temperature.
    """
    require_both_classes(labels)
    scale = float(logits.std())
    if not np.isfinite(scale) or scale == 0:
        raise InputError("the logits of val are all the same or not finite; train the network before fitting")
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
        raise InputError("the logits of val do not rise with the label; check the labels or train the network again")
    return float(scale / slope), float(offset - slope * centre / scale)


def require_both_classes(labels: Array, of: str = "images") -> None:
    """Raise InputError where a class has too few images, or whatever the labels are ``of``, to fit anything to."""
    for label, name in enumerate(("normal", "abnormal")):
        count = int((labels == label).sum())
        if count < MINIMUM_IMAGES:
            raise InputError(f"val holds {count} {name} {of}, a fit needs {MINIMUM_IMAGES}; add {of} to split val")
