"""Evaluations of several classifiers on the same images, and their ensemble."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import logit

from training.datasets.errors import InputError
from training.evaluation.calibration import decisions_at_level
from training.evaluation.evaluation import About, evaluate, mean_operating_points
from training.evaluation.scored_images import ScoredImage, read_scores

NEEDED = ("model", "version", "data", "data_sha256", "split", "levels", "operating_points", "papers", "bootstrap")
ENSEMBLE = "ensemble"


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """An evaluation read back: ``name`` is unique among the runs compared, ``scores`` are ordered by image."""

    name: str
    evaluation: Mapping[str, Any]
    scores: tuple[ScoredImage, ...]


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Read the folders of evaluations of the same images.

    Raises
    ------
    InputError
        If a folder holds no complete evaluation, or its images or their labels are not those of the first.
    """
    evaluations = [read_evaluation(folder) for folder in folders]
    models = [evaluation["model"] for evaluation in evaluations]
    runs: list[Run] = []
    for folder, evaluation, model in zip(folders, evaluations, models, strict=True):
        name = model if models.count(model) == 1 else f"{model} ({folder.as_posix()})"
        scores = sorted(read_scores(folder / "scores.csv"), key=lambda score: score.name)
        if runs:
            _require_same_images(runs[0].scores, scores, folders[0], folder)
        runs.append(Run(name, evaluation, tuple(scores)))
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        raise InputError(f"{folders[0]}: an evaluation is given twice; name each folder once")
    return runs


def read_evaluation(folder: Path) -> dict[str, Any]:
    """Read a ``metrics.json``; raise InputError if it is missing, damaged or of an older version."""
    path = folder / "metrics.json"
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the folder of an evaluation, made by evaluate.json")
    try:
        evaluation = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not JSON; evaluate the model again") from error
    missing = [key for key in NEEDED if key not in evaluation]
    if missing:
        raise InputError(f"{path}: {', '.join(missing)} is missing; evaluate the model again")
    return dict(evaluation)


def _require_same_images(
    first: Sequence[ScoredImage], other: Sequence[ScoredImage], first_from: Path, other_from: Path
) -> None:
    facts = [{score.name: (score.label, score.group, score.study) for score in scores} for scores in (first, other)]
    only = [sorted(facts[0].keys() - facts[1].keys()), sorted(facts[1].keys() - facts[0].keys())]
    for names, holder, lacks in ((only[0], first_from, other_from), (only[1], other_from, first_from)):
        if names:
            raise InputError(
                f"{lacks}: {len(names)} images of {holder} are not in it, first {names[0]}; compare runs of one split"
            )
    different = sorted(name for name in facts[0] if facts[0][name] != facts[1][name])
    if different:
        raise InputError(
            f"{other_from}: {len(different)} images have another label, patient or study than in {first_from}, first "
            f"{different[0]}; evaluate both on the same list"
        )


def ensemble(runs: Sequence[Run], members: Sequence[str]) -> Run:
    """Return the evaluation of the mean of the members' calibrated probabilities, by the mean of their thresholds.

    Raises
    ------
    InputError
        If a member is none of the runs, or there are fewer than two.
    """
    chosen = [run for run in runs if run.name in members or run.evaluation["model"] in members]
    unknown = set(members) - {run.name for run in chosen} - {run.evaluation["model"] for run in chosen}
    if unknown:
        names = ", ".join(run.name for run in runs)
        raise InputError(f"--ensemble: {', '.join(sorted(unknown))} is none of the runs; they are {names}")
    if len(chosen) < 2:
        raise InputError("--ensemble: an ensemble has two members or more; name more of the runs")
    points = mean_operating_points([run.evaluation["operating_points"] for run in chosen])
    state = decisions_at_level(points, "image").points.state
    means = np.mean([[score.probability for score in run.scores] for run in chosen], axis=0)
    logits = logit(np.clip(means, 1e-12, 1 - 1e-12))
    scores = tuple(
        replace(score, logit=float(raw), probability=float(p), state=state(float(p)))
        for score, raw, p in zip(chosen[0].scores, logits, means, strict=True)
    )
    first = chosen[0].evaluation
    name = f"{ENSEMBLE}: " + " + ".join(run.name for run in chosen)
    about = About(name, "mean of probabilities", None, first["data"], first["data_sha256"], first["split"])
    return Run(name, evaluate(scores, points, about, first["bootstrap"]["resamples"]), scores)
