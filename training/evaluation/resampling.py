"""Patient-level resampling, fast enough for thousands of resamples of every subgroup on one core.

A resample is a weight per image: how often its patient is drawn. All metrics of a block of resamples then come from a
few matrix products, and the ranking metrics from cumulative sums over the images sorted once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
RESAMPLES = 2000
MINIMUM_PATIENTS = 10  # below, percentiles of resamples say nothing of other patients
MINIMUM_SHARE = 0.95  # of the resamples in which a metric must be defined
BLOCK = 4_000_000  # numbers in memory at a time


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Images sorted by score once: ``order`` (n,), where each distinct score starts, and the labels in that order."""

    order: NDArray[np.intp]
    starts: NDArray[np.intp]
    positive: Array

    def counts(self, weights: Array) -> tuple[Array, Array]:
        """Return the weight of abnormal and of normal images per distinct score, ascending, (resamples, scores)."""
        ordered = weights[:, self.order]
        return (
            np.add.reduceat(ordered * self.positive, self.starts, axis=1),
            np.add.reduceat(ordered * (1 - self.positive), self.starts, axis=1),
        )


def ranking(labels: NDArray[np.bool_], scores: Array) -> Ranking:
    """Return how images rank by score."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    return Ranking(order, starts, labels[order].astype(float))


def weighted_auroc(positive: Array, negative: Array) -> Array:
    """Return the area under the ROC curve per resample, nan where a class is missing; see ``Ranking.counts``."""
    below = np.cumsum(negative, axis=1) - negative
    area = (positive * (below + negative / 2)).sum(axis=1)
    return ratio(area, positive.sum(axis=1) * negative.sum(axis=1))


def weighted_average_precision(positive: Array, negative: Array) -> Array:
    """Return the average precision per resample, nan without an abnormal image; see ``Ranking.counts``."""
    found = np.cumsum(positive[:, ::-1], axis=1)
    called = found + np.cumsum(negative[:, ::-1], axis=1)
    precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
    return ratio((positive[:, ::-1] * precision).sum(axis=1), positive.sum(axis=1))


def rates(true_positive: Array, false_positive: Array, true_negative: Array, false_negative: Array) -> dict[str, Array]:
    """Return the metrics of decisions from (resamples,) counts; nan where one is undefined."""
    abnormal, normal = true_positive + false_negative, true_negative + false_positive
    called, uncalled = true_positive + false_positive, true_negative + false_negative
    f1 = ratio(2 * true_positive, 2 * true_positive + false_positive + false_negative)
    kappa = 2 * (true_positive * true_negative - false_negative * false_positive)
    return {
        "accuracy": ratio(true_positive + true_negative, abnormal + normal),
        "sensitivity": ratio(true_positive, abnormal),
        "specificity": ratio(true_negative, normal),
        "precision": ratio(true_positive, called),
        "f1": np.where(abnormal > 0, f1, np.nan),
        "kappa": ratio(kappa, called * normal + abnormal * uncalled),
    }


def ratio(part: Array, whole: Array) -> Array:
    """Return part / whole, nan where whole is 0."""
    return np.asarray(np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole != 0), np.float64)


def outcome_counts(labels: NDArray[np.bool_], called: NDArray[np.bool_], weights: Array) -> tuple[Array, ...]:
    """Return true positives, false positives, true negatives and false negatives per resample, (resamples,) each."""
    indicators = np.stack([labels & called, ~labels & called, ~labels & ~called, labels & ~called], axis=1)
    return tuple((weights @ indicators.astype(float)).T)


def patient_weights(groups: NDArray[np.intp], resamples: int = RESAMPLES, seed: int = 0) -> Iterator[Array]:
    """Yield blocks of resamples: how often each image counts, (block, n); whole patients are drawn with replacement."""
    random = np.random.default_rng(seed)
    count = int(groups.max()) + 1
    for size in block_sizes(resamples, len(groups)):
        drawn = random.integers(0, count, (size, count)) + count * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        yield times[:, groups].astype(float)


def block_sizes(resamples: int, images: int) -> list[int]:
    """Return how many resamples are computed at a time, so that memory stays flat."""
    size = max(BLOCK // max(images, 1), 1)
    return [min(size, resamples - start) for start in range(0, resamples, size)]


def percentile_interval(values: Array) -> tuple[float, float] | None:
    """Return the 95 % percentile interval of resampled values, or None where too many of them are undefined."""
    defined = values[np.isfinite(values)]
    if len(values) == 0 or len(defined) < MINIMUM_SHARE * len(values):
        return None
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(low), float(high)


def weighted_medians(values: Array, weights: Array) -> Array:
    """Return the (lower) median of values (n,) that count ``weights`` (resamples, n) times; nan where none counts."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[:, order], axis=1)
    middle = (total >= total[:, -1:] / 2).argmax(axis=1)
    return np.where(total[:, -1] > 0, values[order][middle], np.nan)
