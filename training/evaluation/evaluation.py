"""Scores -> every metric with its interval, at image and study level, overall and by subgroup, and the files of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.datasets.errors import InputError
from training.evaluation.calibration import Decisions, calibrated_probabilities, calibration_summary, decisions_at_level
from training.evaluation.evaluation_tables import evaluation_tables
from training.evaluation.metrics import as_json, measure
from training.evaluation.page import render_evaluation
from training.evaluation.resampling import RESAMPLES, Array
from training.evaluation.scored_images import Sample, ScoredImage, sample_from, scored_studies, write_scores
from training.evaluation.text_tables import as_markdown
from training.weights.origin import Origin

HALF = Decisions(0.5, 0.5, 0.5)
SUBGROUPS: Mapping[str, Callable[[ScoredImage], str]] = {
    "body_part": lambda score: score.body_part.split(":")[0] or "not given",  # "mixed:hand+hip" is mixed
    "view": lambda score: score.view or "not given",
    "hardware": lambda score: "with hardware" if score.hardware else "without hardware",
}
LEVELS = {"image": tuple(SUBGROUPS), "study": ("body_part",)}


@dataclass(frozen=True, slots=True)
class About:
    """The model and the data of an evaluation.

    Parameters
    ----------
    sha256
        Of the weights; None of several models together.
    data, data_sha256
        The data set's name, and the sha256 of its manifest, None without one.
    weights
        Where what was evaluated comes from; None where it is only computed from other evaluations.
    evaluated_at
        When, as text.
    fitted
        Whether calibration and operating points were fitted to these weights.
    """

    model: str
    version: str
    sha256: str | None
    data: str
    data_sha256: str | None
    split: str
    weights: Origin | None = None
    evaluated_at: str | None = None
    fitted: bool = True


def evaluate(
    scores: Sequence[ScoredImage], operating_points: Mapping[str, Any], about: About, resamples: int = RESAMPLES
) -> dict[str, Any]:
    """Return counts and all metrics with 95 % intervals: image and study level, overall and by subgroup.

    Raises
    ------
    InputError
        If there is no image.
    """
    if not scores:
        raise InputError(f"{about.data}, split {about.split}: no image to evaluate; check the manifest")
    of_level = {"image": list(scores), "study": scored_studies(scores)}
    labels = sample_from(scores).labels
    raw = calibrated_probabilities(np.array([score.logit for score in scores]), 1.0)
    return {
        **asdict(about),
        "operating_points": operating_points,
        "bootstrap": {"resamples": resamples, "seed": 0, "unit": "patient", "interval": "95 % percentile"},
        "images": len(scores),
        "abnormal": int(labels.sum()),
        "studies": len(of_level["study"]),
        "patients": sample_from(scores).patients,
        "states_by_label": states_by_label(scores),
        "levels": {
            level: _level(of_level[level], decisions_at_level(operating_points, level), subgroups, resamples)
            for level, subgroups in LEVELS.items()
        },
        "papers": metrics_as_in_papers(sample_from(scores), raw, resamples),
        "calibration": {
            "before": calibration_summary(raw, labels),
            "after": calibration_summary(sample_from(scores).probabilities, labels),
        },
    }


def states_by_label(scores: Sequence[ScoredImage]) -> dict[str, dict[str, int]]:
    """Return how many normal and abnormal images are in each state."""
    return {
        label: {
            state: sum(s.label == number and s.state == state for s in scores)
            for state in ("normal", "doubt", "abnormal")
        }
        for number, label in enumerate(("normal", "abnormal"))
    }


def metrics_as_in_papers(sample: Sample, raw: Array, resamples: int) -> dict[str, Any]:
    """Return accuracy, recall and precision of images at probability .5, of the network's own output and calibrated.

    The papers calibrate nothing and choose no threshold: their numbers are those of ``network_output``.
    """
    samples = {"network_output": Sample(sample.labels, raw, sample.groups), "calibrated": sample}
    names = {"accuracy": "accuracy", "recall": "sensitivity", "precision": "precision"}
    rows: dict[str, Any] = {"level": "image", "threshold": 0.5}
    for kind, each in samples.items():
        measured = as_json(measure(each, HALF, resamples))
        rows[kind] = {shown: measured[name] for shown, name in names.items()}
    return rows


def _level(
    scores: Sequence[ScoredImage], decisions: Decisions, subgroups: Sequence[str], resamples: int
) -> dict[str, dict[str, Any]]:
    """Return {subgroup: {its value: counts and metrics}}, and the same of all."""
    level: dict[str, dict[str, Any]] = {"overall": _stratum(scores, decisions, resamples)}
    for subgroup in subgroups:
        members: dict[str, list[ScoredImage]] = {}
        for score in scores:
            members.setdefault(SUBGROUPS[subgroup](score), []).append(score)
        level[subgroup] = {name: _stratum(members[name], decisions, resamples) for name in sorted(members)}
    return level


def _stratum(scores: Sequence[ScoredImage], decisions: Decisions, resamples: int) -> dict[str, Any]:
    sample = sample_from(scores)
    metrics = measure(sample, decisions, resamples)
    n, abnormal = len(scores), int(sample.labels.sum())
    return {"n": n, "abnormal": abnormal, "patients": sample.patients, "metrics": as_json(metrics)}


def write_evaluation(
    scores: Sequence[ScoredImage],
    operating_points: Mapping[str, Any],
    about: About,
    output_dir: Path,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Write ``scores.csv``, ``metrics.json``, ``metrics.md`` and ``evaluation.html``.

    The page shows the curve of the training that the weights come from, where ``about.weights`` knows it.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    write_scores(scores, output_dir / "scores.csv")
    evaluation = evaluate(scores, operating_points, about, resamples)
    text = json.dumps(evaluation, indent=1, allow_nan=False) + "\n"
    (output_dir / "metrics.json").write_text(text, "utf-8")
    (output_dir / "metrics.md").write_text(as_markdown(evaluation_tables(evaluation)), "utf-8")
    (output_dir / "evaluation.html").write_text(render_evaluation(evaluation, scores), "utf-8")
    return evaluation


def mean_operating_points(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the operating points of several classifiers of equal weight: their means, as the application takes them.

    The mean of calibrated probabilities is not calibrated again; one classifier keeps its own points.
    """
    if len(points) == 1:
        return dict(points[0])
    together: dict[str, Any] = {"temperature": 1.0, "bias": 0.0}
    for level in LEVELS:
        decisions = [asdict(decisions_at_level(each, level)) for each in points]
        together[level] = {name: float(np.mean([each[name] for each in decisions])) for name in decisions[0]}
    return together
