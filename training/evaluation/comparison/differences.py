"""Several classifiers side by side, and tests of their differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from training.evaluation.calibration import decisions_at_level
from training.evaluation.comparison.runs import Run
from training.evaluation.comparison.significance import auroc_permutation, delong_test, kappa_permutation
from training.evaluation.evaluation import LEVELS
from training.evaluation.scored_images import Sample, sample_from, scored_studies


def differences(runs: Sequence[Run], level: str) -> dict[str, Any]:
    """Return how each run differs from the one with the best AUROC, with p-values; None and a reason without one.

    AUROC: DeLong's test, and a permutation test that keeps patients whole. Kappa at each run's own decision: the
    permutation test.
    """
    samples = [sample_from(list(run.scores) if level == "image" else scored_studies(run.scores)) for run in runs]
    areas = [run.evaluation["levels"][level]["overall"]["metrics"]["auroc"]["value"] for run in runs]
    if any(area is None for area in areas):
        return {"best": None, "reason": "one class only", "rows": []}
    best = int(np.argmax(areas))
    decisions = [decisions_at_level(run.evaluation["operating_points"], level).decision for run in runs]
    rows = [
        {"model": run.name, **_difference(samples[number], samples[best], (decisions[number], decisions[best]))}
        for number, run in enumerate(runs)
        if number != best
    ]
    return {"best": runs[best].name, "reason": None, "rows": rows}


def _difference(sample: Sample, best: Sample, decisions: tuple[float, float]) -> dict[str, Any]:
    area, permuted = auroc_permutation(sample, best)
    kappa, kappa_p = kappa_permutation(sample, best, decisions)
    try:
        delong: float | None = delong_test(sample.labels, sample.probabilities, best.probabilities)[1]
        reason = None
    except ValueError as error:
        delong, reason = None, str(error)
    return {
        "auroc_difference": round(area, 6),
        "delong_p": delong,
        "delong_reason": reason,
        "auroc_permutation_p": permuted,
        "kappa_difference": round(kappa, 6),
        "kappa_permutation_p": kappa_p,
    }


def compare(runs: Sequence[Run]) -> dict[str, Any]:
    """Return all metrics of all runs and the tests of their differences, as ``comparison.json`` holds them."""
    first = runs[0].evaluation
    return {
        **{key: first[key] for key in ("data", "data_sha256", "split", "images", "abnormal", "studies", "patients")},
        "bootstrap": first["bootstrap"],
        "models": {
            run.name: {
                key: run.evaluation[key] for key in ("version", "sha256", "operating_points", "levels", "papers")
            }
            for run in runs
        },
        "differences": {level: differences(runs, level) for level in LEVELS},
    }
