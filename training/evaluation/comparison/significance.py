"""Do two models differ on the same images? DeLong's test of AUROCs, and a permutation test that keeps patients whole.

DeLong's test takes images as independent. Several images of one patient are not: there the permutation test is the one
to read.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from training.evaluation.resampling import RESAMPLES, Array, block_sizes, outcome_counts, ranking, rates, weighted_auroc
from training.evaluation.scored_images import Sample


def delong_covariance(labels: NDArray[np.bool_], scores: Array) -> tuple[Array, Array]:
    """Return the AUROCs of several models, (models,), and their covariance, (models, models).

    Parameters
    ----------
    labels
        (n,) bool; both classes with at least two images.
    scores
        (models, n), any scale.

    Raises
    ------
    ValueError
        If a class has fewer than two images.

    Notes
    -----
    DeLong et al., Biometrics 44:837, 1988, by the midranks of Sun & Xu, IEEE Signal Processing Letters 21:1389, 2014.
    """
    positive, negative = scores[:, labels], scores[:, ~labels]
    m, n = positive.shape[1], negative.shape[1]
    if min(m, n) < 2:
        raise ValueError(f"DeLong's test needs two images of each class, there are {m} abnormal and {n} normal")
    among_all = rankdata(np.concatenate([positive, negative], axis=1), axis=1)
    of_positive = (among_all[:, :m] - rankdata(positive, axis=1)) / n
    of_negative = 1 - (among_all[:, m:] - rankdata(negative, axis=1)) / m
    covariance = np.atleast_2d(np.cov(of_positive)) / m + np.atleast_2d(np.cov(of_negative)) / n
    return of_positive.mean(axis=1), covariance


def delong_test(labels: NDArray[np.bool_], first: Array, second: Array) -> tuple[float, float]:
    """Return the difference of two AUROCs and its two-sided p-value; identical rankings give p = 1.

    Raises
    ------
    ValueError
        If a class has fewer than two images.
    """
    areas, covariance = delong_covariance(labels, np.stack([first, second]))
    difference = float(areas[0] - areas[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if variance <= 1e-15:
        return difference, 1.0 if abs(difference) < 1e-12 else 0.0
    return difference, float(2 * norm.sf(abs(difference) / np.sqrt(variance)))


def auroc_permutation(first: Sample, second: Sample, resamples: int = RESAMPLES, seed: int = 0) -> tuple[float, float]:
    """Return the difference of two AUROCs and its p-value, exchanging the models' ranks patient by patient.

    Ranks, not probabilities, are exchanged, so that two models on different scales may be compared (Venkatraman &
    Begg, Biometrika 83:835, 1996). The samples hold the same images in the same order.
    """
    ranks = np.concatenate([rankdata(first.probabilities), rankdata(second.probabilities)])
    order = ranking(np.concatenate([first.labels, second.labels]), ranks)

    def differences(exchanged: Array) -> Array:
        kept = np.concatenate([1 - exchanged, exchanged], axis=1)
        return weighted_auroc(*order.counts(kept)) - weighted_auroc(*order.counts(1 - kept))

    observed = float(differences(np.zeros((1, len(first.labels))))[0])
    drawn = [differences(block) for block in _exchanges(first.groups, resamples, seed)]
    return observed, _p_value(observed, np.concatenate(drawn))


def kappa_permutation(
    first: Sample, second: Sample, decisions: tuple[float, float], resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Return the difference of two kappas and its p-value, exchanging the models' calls patient by patient.

    ``decisions`` are the probabilities from which each model calls an image abnormal.
    """
    labels = first.labels
    called = first.probabilities >= decisions[0], second.probabilities >= decisions[1]

    def kappa(kept: Array, other: Array) -> Array:
        pairs = zip(outcome_counts(labels, called[0], kept), outcome_counts(labels, called[1], other), strict=True)
        return rates(*(first + second for first, second in pairs))["kappa"]

    def differences(exchanged: Array) -> Array:
        return kappa(1 - exchanged, exchanged) - kappa(exchanged, 1 - exchanged)

    observed = float(differences(np.zeros((1, len(labels))))[0])
    drawn = [differences(block) for block in _exchanges(first.groups, resamples, seed)]
    return observed, _p_value(observed, np.concatenate(drawn))


def _exchanges(groups: NDArray[np.intp], resamples: int, seed: int) -> Iterator[Array]:
    """Yield blocks of (block, n): 1 where an image's patient is exchanged between the models, else 0."""
    random = np.random.default_rng(seed)
    count = int(groups.max()) + 1
    for size in block_sizes(resamples, 2 * len(groups)):
        yield random.integers(0, 2, (size, count))[:, groups].astype(float)


def _p_value(observed: float, drawn: Array) -> float:
    """Return the two-sided p-value; the observed order is one of the permutations."""
    extreme = np.abs(drawn[np.isfinite(drawn)]) >= abs(observed) - 1e-12
    return float((1 + extreme.sum()) / (1 + len(extreme)))
