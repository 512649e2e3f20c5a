"""Numbers of a model card, with patient-level bootstrap intervals, and the fit of temperature and operating points."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit
from sklearn.metrics import average_precision_score, brier_score_loss, cohen_kappa_score, roc_auc_score

from operators.geometry import PixelBox
from operators.records import OperatingPoints

Array = NDArray[np.float64]
Metric = Callable[[Array, Array], float]


def fit_temperature(logits: Array, labels: Array) -> float:
    """Return the temperature that minimises the cross entropy of sigmoid(logit / temperature) (Guo et al., 2017)."""

    def cross_entropy(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        return float(np.mean(np.logaddexp(0, scaled) - labels * scaled))

    return float(np.exp(minimize_scalar(cross_entropy, bounds=(-3, 3), method="bounded").x))


def fit_operating_points(
    probabilities: Array, labels: Array, sensitivity: float = 0.95, specificity: float = 0.95
) -> OperatingPoints:
    """Return the highest rule-out point with the sensitivity and the lowest rule-in point with the specificity.

    Each point lies half-way between two observed probabilities, so that rounding cannot move an image across it.
    """
    edges = np.unique(probabilities)
    candidates = np.concatenate([[edges[0] / 2], (edges[1:] + edges[:-1]) / 2, [(1 + edges[-1]) / 2]])
    called = probabilities[None, :] >= candidates[:, None]
    sensitivities = called[:, labels == 1].mean(axis=1)
    specificities = 1 - called[:, labels == 0].mean(axis=1)
    rule_out = float(candidates[sensitivities >= sensitivity].max())
    rule_in = float(candidates[specificities >= specificity].min())
    return OperatingPoints(rule_out=rule_out, rule_in=max(rule_in, rule_out))


def image_metrics(points: OperatingPoints) -> Mapping[str, Metric]:
    """Return the image-level metrics as functions of (labels, probabilities)."""

    def share(chosen: NDArray[np.bool_], of: NDArray[np.bool_]) -> float:
        return float(chosen[of].mean()) if of.any() else float("nan")

    return {
        "auroc": lambda y, p: float(roc_auc_score(y, p)),
        "auprc": lambda y, p: float(average_precision_score(y, p)),
        "sensitivity_at_rule_out": lambda y, p: share(p >= points.rule_out, y == 1),
        "specificity_at_rule_out": lambda y, p: share(p < points.rule_out, y == 0),
        "sensitivity_at_rule_in": lambda y, p: share(p >= points.rule_in, y == 1),
        "specificity_at_rule_in": lambda y, p: share(p < points.rule_in, y == 0),
        "kappa_at_half": lambda y, p: float(cohen_kappa_score(y, p >= 0.5)),
        "accuracy_at_half": lambda y, p: float(np.mean((p >= 0.5) == y)),
        "brier": lambda y, p: float(brier_score_loss(y, p)),
    }


def bootstrap_interval(
    metric: Callable[[NDArray[np.intp]], float], groups: Sequence[str], resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % percentile interval of a metric of indices, resampling whole groups (patients)."""
    random = np.random.default_rng(seed)
    names, inverse = np.unique(np.asarray(groups), return_inverse=True)
    members = [np.flatnonzero(inverse == number) for number in range(len(names))]
    values = []
    for _ in range(resamples):
        drawn = np.concatenate([members[number] for number in random.integers(0, len(names), len(names))])
        try:
            values.append(metric(drawn))
        except ValueError:  # a resample with one class only has no AUROC
            continue
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def table(
    labels: Array, probabilities: Array, groups: Sequence[str], points: OperatingPoints
) -> dict[str, list[float]]:
    """Return {metric: [value, lower, upper]} of one split."""
    rows = {}
    for name, metric in image_metrics(points).items():

        def of_indices(chosen: NDArray[np.intp], metric: Metric = metric) -> float:
            return metric(labels[chosen], probabilities[chosen])

        interval = bootstrap_interval(of_indices, groups)
        rows[name] = [round(value, 4) for value in (metric(labels, probabilities), *interval)]
    return rows


def probabilities_of(logits: Array, temperature: float) -> Array:
    """Return calibrated probabilities of logits."""
    return np.asarray(expit(logits / temperature), np.float64)


def intersection_over_union(first: PixelBox, second: PixelBox) -> float:
    """Return the IoU of two boxes."""
    width = min(first.right, second.right) - max(first.left, second.left)
    height = min(first.bottom, second.bottom) - max(first.top, second.top)
    overlap = max(width, 0) * max(height, 0)
    return overlap / (first.width * first.height + second.width * second.height - overlap)


def match_boxes(found: Sequence[PixelBox], true: Sequence[PixelBox], least_iou: float) -> int:
    """Return how many true boxes are found, each by a box of its own, the best pairs first."""
    pairs = sorted(
        ((intersection_over_union(f, t), i, j) for i, f in enumerate(found) for j, t in enumerate(true)), reverse=True
    )
    used_found: set[int] = set()
    used_true: set[int] = set()
    for iou, i, j in pairs:
        if iou >= least_iou and i not in used_found and j not in used_true:
            used_found.add(i)
            used_true.add(j)
    return len(used_true)


def dice(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Return the Dice overlap of two masks; 1 if both are empty."""
    total = int(first.sum()) + int(second.sum())
    return 1.0 if total == 0 else 2 * int((first & second).sum()) / total
