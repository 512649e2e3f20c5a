"""A model's probabilities of labelled images, one row each in ``scores.csv``, and the mean over a study's images."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.datasets.errors import InputError
from training.datasets.manifest import ImageRecord

SEVERAL = "several"  # the value of a study whose images differ


@dataclass(frozen=True, slots=True)
class ScoredImage:
    """A labelled image and the output of a model for it.

    ``name`` is unique in its split; ``logit`` is the network's own output, ``probability`` the calibrated one [0, 1].
    """

    name: str
    group: str
    study: str
    body_part: str
    view: str
    hardware: bool
    split: str
    label: int
    logit: float
    probability: float
    state: str


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What metrics are computed of: ``labels`` (n,) bool, ``probabilities`` (n,) [0, 1], ``groups`` (n,) patients."""

    labels: NDArray[np.bool_]
    probabilities: NDArray[np.float64]
    groups: NDArray[np.intp]

    @property
    def patients(self) -> int:
        """How many patients (groups) there are."""
        return int(self.groups.max()) + 1 if len(self.groups) else 0

    @property
    def classes(self) -> int:
        """How many of the two classes occur."""
        return len(np.unique(self.labels))


def sample_from(scores: Sequence[ScoredImage]) -> Sample:
    """Return labels, probabilities and numbered patients, in the order of the scores."""
    groups = np.unique([score.group for score in scores], return_inverse=True)[1]
    return Sample(
        np.array([score.label for score in scores], bool),
        np.array([score.probability for score in scores], float),
        np.asarray(groups, np.intp),
    )


def scored_studies(scores: Iterable[ScoredImage]) -> list[ScoredImage]:
    """Return one score per study: the mean of its images' probabilities, abnormal if one of its images is.

    A study belongs to one patient: the same name under another patient is another study. Its state is left empty, as
    the study's own operating points decide.

    Notes
    -----
    Rajpurkar et al., MURA, 2017: the mean over the views is the study's probability.
    """
    members: dict[tuple[str, str], list[ScoredImage]] = {}
    for score in scores:
        members.setdefault((score.group, score.study), []).append(score)
    return [
        ScoredImage(
            name=study,
            group=group,
            study=study,
            body_part=_common([score.body_part for score in images]),
            view=_common([score.view for score in images]),
            hardware=any(score.hardware for score in images),
            split=_common([score.split for score in images]),
            label=max(score.label for score in images),
            logit=float(np.mean([score.logit for score in images])),
            probability=float(np.mean([score.probability for score in images])),
            state="",
        )
        for (group, study), images in members.items()
    ]


def _common(values: Sequence[str]) -> str:
    return values[0] if len(set(values)) == 1 else SEVERAL


def image_names(records: Sequence[ImageRecord]) -> list[str]:
    """Return a name per image that is the same in every evaluation of a split: its path below the common folder."""
    paths = [os.path.abspath(record.path) for record in records]
    root = os.path.commonpath([os.path.dirname(path) for path in paths])
    whole = [Path(path).relative_to(root) for path in paths]
    short = [path.with_suffix("").as_posix() for path in whole]
    return short if len(set(short)) == len(short) else [path.as_posix() for path in whole]


def scored_image(record: ImageRecord, name: str, logit: float, probability: float, state: str) -> ScoredImage:
    """Return the score of a record: ``logit`` is the network's output."""
    return ScoredImage(
        name, record.group, record.study, record.body_part, record.view, record.hardware, record.split, record.label,
        logit, probability, state,
    )  # fmt: skip


def write_scores(scores: Sequence[ScoredImage], path: Path) -> None:
    """Write a ``scores.csv``."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(ScoredImage.__slots__)
        writer.writerows([_cell(getattr(score, name)) for name in ScoredImage.__slots__] for score in scores)


def _cell(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value


def read_scores(path: Path) -> list[ScoredImage]:
    """Read a ``scores.csv``.

    Raises
    ------
    InputError
        If the file, a column or a row is missing, a value is impossible, or an image stands in it twice.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; evaluate the model first")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = set(ScoredImage.__slots__) - set(reader.fieldnames or ())
        if missing:
            raise InputError(f"{path}: column {', '.join(sorted(missing))} is missing; evaluate the model again")
        scores = [_score(path, number, row) for number, row in enumerate(reader, start=2)]
    if not scores:
        raise InputError(f"{path}: it holds no image; evaluate the model again")
    if len({score.name for score in scores}) < len(scores):
        raise InputError(f"{path}: an image stands in it twice; evaluate the model again")
    return scores


def _score(path: Path, number: int, row: Mapping[str, str]) -> ScoredImage:
    try:
        label, logit, probability = int(row["label"]), float(row["logit"]), float(row["probability"])
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}, row {number}: label, logit or probability is no number; evaluate again") from error
    if label not in (0, 1) or not 0 <= probability <= 1 or not np.isfinite(logit):
        raise InputError(f"{path}, row {number}: label is not 0 or 1, or probability not 0 to 1; evaluate again")
    texts = {name: row[name] for name in ("name", "group", "study", "body_part", "view", "split", "state")}
    return ScoredImage(**texts, hardware=row["hardware"] == "1", label=label, logit=logit, probability=probability)
