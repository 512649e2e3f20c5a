"""Metrics of a classifier with intervals over resampled patients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sklearn_metrics

from training.evaluation.calibration import Decisions, expected_calibration_error, reliability
from training.evaluation.resampling import (
    MINIMUM_PATIENTS,
    RESAMPLES,
    Array,
    outcome_counts,
    patient_weights,
    percentile_interval,
    ranking,
    rates,
    ratio,
    weighted_auroc,
    weighted_average_precision,
)
from training.evaluation.scored_images import Sample

Metric = Callable[[NDArray[np.bool_], NDArray[np.bool_]], float]
DECISION_METRICS: Mapping[str, Metric] = {  # of (labels, called)
    "accuracy": lambda y, called: float(sklearn_metrics.accuracy_score(y, called)),
    "sensitivity": lambda y, called: float(sklearn_metrics.recall_score(y, called)),
    "specificity": lambda y, called: float(sklearn_metrics.recall_score(y, called, pos_label=0)),
    "precision": lambda y, called: float(sklearn_metrics.precision_score(y, called)),
    "f1": lambda y, called: float(sklearn_metrics.f1_score(y, called)),
    "kappa": lambda y, called: float(sklearn_metrics.cohen_kappa_score(y, called)),
}
AT_POINTS = ("sensitivity", "specificity")
NEEDS = {  # what a metric is undefined without; the others need nothing
    "auroc": ("abnormal", "normal"),
    "auprc": ("abnormal", "normal"),  # of abnormal images alone it is 1, whatever the model
    "kappa": ("abnormal", "normal"),
    "sensitivity": ("abnormal",),
    "specificity": ("normal",),
    "f1": ("abnormal",),
    "precision": ("called",),
}
LACKING = {"abnormal": "no abnormal image", "normal": "no normal image", "called": "no image is called abnormal"}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric with its 95 % interval; ``reason`` says why the value or the interval is None."""

    value: float | None
    low: float | None
    high: float | None
    reason: str | None


def measure(sample: Sample, decisions: Decisions, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Estimate]:
    """Return every metric of a sample, with intervals over resampled patients; the same seed gives the same interval.

    Yes-or-no metrics are those of ``decisions.decision``. The expected calibration error has no interval: resampling
    makes it larger, so that a percentile interval misses it.
    """
    values = point_values(sample, decisions)
    few = sample.patients < MINIMUM_PATIENTS
    drawn = {} if few else resampled(sample, decisions, resamples, seed)
    estimates = {}
    for name, value in values.items():
        if isinstance(value, str):
            estimates[name] = Estimate(None, None, None, value)
        elif name == "ece":
            estimates[name] = Estimate(value, None, None, "no interval: resampling biases it")
        elif few:
            reason = f"no interval: {sample.patients} patients, fewer than {MINIMUM_PATIENTS}"
            estimates[name] = Estimate(value, None, None, reason)
        else:
            interval = percentile_interval(drawn[name])
            low, high = interval or (None, None)
            missing = None if interval else "no interval: undefined in more than 5 % of the resamples"
            estimates[name] = Estimate(value, low, high, missing)
    return estimates


def point_values(sample: Sample, decisions: Decisions) -> dict[str, float | str]:
    """Return {metric: value, or why it has none}, by scikit-learn where it has the metric."""
    labels, probabilities = sample.labels, sample.probabilities
    present = {"abnormal": bool(labels.any()), "normal": not labels.all()}
    values: dict[str, float | str] = {}

    def add(name: str, metric: str, called: NDArray[np.bool_], value: Callable[[], float]) -> None:
        state = present | {"called": bool(called.any())}
        lacking = [need for need in NEEDS.get(metric, ()) if not state[need]]
        values[name] = LACKING[lacking[0]] if lacking else value()

    everything = np.ones(len(labels), bool)
    add("auroc", "auroc", everything, lambda: float(sklearn_metrics.roc_auc_score(labels, probabilities)))
    add("auprc", "auprc", everything, lambda: float(sklearn_metrics.average_precision_score(labels, probabilities)))
    for name, metric, threshold in thresholded(decisions):
        called = probabilities >= threshold
        add(name, metric, called, lambda metric=metric, called=called: DECISION_METRICS[metric](labels, called))  # type: ignore[misc]
    values["brier"] = float(np.mean((probabilities - labels) ** 2))
    values["ece"] = expected_calibration_error(reliability(probabilities, labels))
    return values


def thresholded(decisions: Decisions) -> list[tuple[str, str, float]]:
    """Return (name, metric, threshold) of the metrics of decisions."""
    plain = [(name, name, decisions.decision) for name in DECISION_METRICS]
    points = (("rule_out", decisions.rule_out), ("rule_in", decisions.rule_in))
    return plain + [(f"{name}_at_{point}", name, threshold) for point, threshold in points for name in AT_POINTS]


def resampled(sample: Sample, decisions: Decisions, resamples: int, seed: int = 0) -> dict[str, Array]:
    """Return {metric: (resamples,)} over resampled patients, nan where a metric is undefined."""
    blocks = [
        weighted_values(sample, decisions, weights) for weights in patient_weights(sample.groups, resamples, seed)
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def weighted_values(sample: Sample, decisions: Decisions, weights: Array) -> dict[str, Array]:
    """Return {metric: (resamples,)} of images that count ``weights`` (resamples, n) times."""
    labels, probabilities = sample.labels, sample.probabilities
    counts = ranking(labels, probabilities).counts(weights)
    values = {"auroc": weighted_auroc(*counts), "auprc": weighted_average_precision(*counts)}
    at = {
        threshold: rates(*outcome_counts(labels, probabilities >= threshold, weights))
        for _, _, threshold in thresholded(decisions)
    }
    values |= {name: at[threshold][metric] for name, metric, threshold in thresholded(decisions)}
    values["brier"] = ratio(weights @ (probabilities - labels) ** 2, weights.sum(axis=1))
    return values


def as_json(estimates: Mapping[str, Estimate]) -> dict[str, dict[str, Any]]:
    """Return estimates as JSON holds them, rounded to six decimals."""
    return {
        name: {
            field: round(value, 6) if isinstance(value := getattr(estimate, field), float) else value
            for field in Estimate.__slots__
        }
        for name, estimate in estimates.items()
    }


def bootstrap_interval(
    metric: Callable[[NDArray[np.intp]], float], groups: Sequence[str], resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % percentile interval of any metric of indices, resampling whole groups (patients).

    ``measure`` is the fast way for classification.
    """
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
