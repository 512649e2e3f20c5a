"""The scores of a labelled split, from a bundle's evaluation or from a run of the application, and their evaluation."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from scipy.special import logit

from operators.networks.weights import sha256
from training.datasets.dicom_wrapping import image_key
from training.datasets.errors import InputError
from training.datasets.manifest import ImageRecord
from training.evaluation.calibration import calibrated_probabilities, decisions_at_level
from training.evaluation.evaluation import About, write_evaluation
from training.evaluation.evaluation_tables import evaluation_tables
from training.evaluation.scored_images import ScoredImage, image_names, scored_image
from training.evaluation.text_tables import as_markdown
from training.weights.evaluated import Evaluated
from training.weights.origin import utc


class EvaluationWriter:
    """Ignite handler of a bundle's evaluator: collects its logits and writes the evaluation when it is complete.

    Parameters
    ----------
    records
        The images, in the order of the data loader, one per batch.
    evaluated
        The bundle or checkpoint that is evaluated; its operating points calibrate the logits.
    dataset_dir
        The data set as it was given: names it in the evaluation.
    """

    def __init__(
        self, records: Sequence[ImageRecord], evaluated: Evaluated, output_dir: str, dataset_dir: str | Path = ""
    ) -> None:
        self.records = records
        self.evaluated = evaluated
        self.output_dir = Path(output_dir)
        self.dataset_dir = Path(dataset_dir)
        self._logits: list[float] = []

    def attach(self, engine: Engine) -> None:
        """Register with the evaluator."""
        engine.add_event_handler(Events.STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _begin(self, _: Engine) -> None:
        self._logits = []

    def _collect(self, engine: Engine) -> None:
        self._logits += [float(output["pred"]) for output in engine.state.output]

    def _write(self, _: Engine) -> None:
        write_bundle_evaluation(self.evaluated, self.records, self._logits, (self.dataset_dir, self.output_dir))


def write_bundle_evaluation(
    evaluated: Evaluated,
    records: Sequence[ImageRecord],
    logits: Sequence[float],
    folders: tuple[Path, Path],
) -> None:
    """Evaluate the logits of a bundle or a checkpoint with its operating points and write the files.

    ``folders``: the data set's, which names it in the evaluation, and the output's.
    """
    bundle, points = evaluated.bundle, evaluated.points
    probabilities = calibrated_probabilities(np.array(logits), points["temperature"], points.get("bias", 0.0))
    state = decisions_at_level(points, "image").points.state
    scores = [
        scored_image(record, name, raw, float(p), state(float(p)))
        for record, name, raw, p in zip(records, image_names(records), logits, probabilities, strict=True)
    ]
    split = "+".join(sorted({record.split for record in records}))
    about = About(
        *(bundle.name, bundle.version, bundle.sha256, *identify_data_set(folders[0]), split),
        weights=evaluated.origin,
        evaluated_at=utc(datetime.now(UTC)),
        fitted=evaluated.fitted,
    )
    evaluation = write_evaluation(scores, points, about, folders[1])
    sys.stdout.write(as_markdown(evaluation_tables(evaluation)))


def identify_data_set(dataset: Path) -> tuple[str, str | None]:
    """Return the data set's name, the end of its path, and the sha256 of its manifest."""
    manifest = dataset if dataset.suffix == ".csv" else dataset / "manifest.csv"
    name = "/".join(dataset.parts[-2:]) if dataset.suffix == ".csv" else dataset.resolve().name
    return name if dataset.parts else "not given", sha256(manifest) if dataset.parts and manifest.is_file() else None


def scores_of_run(
    result: Path, records: Sequence[ImageRecord], root: Path, operating_points: Mapping[str, Any]
) -> list[ScoredImage]:
    """Return the scores that a run of the application gave to the images of ``root``, as ``wrap_dicom`` names them.

    Raises
    ------
    InputError
        If the file is no result of a run, or an image of the split was not analysed.
    """
    try:
        studies = json.loads(result.read_text("utf-8"))["studies"]
    except (ValueError, KeyError) as error:
        raise InputError(f"{result}: not the result.json of a run; run the application again") from error
    images = {image["file"].removesuffix(".dcm"): image for study in studies for image in study["images"]}
    keys = [image_key(record.path, root) for record in records]
    missing = [key for key in keys if images.get(key, {}).get("probability") is None]
    if missing:
        raise InputError(f"{result}: {len(missing)} images of the split were not analysed, first {missing[0]}")
    bias, temperature = operating_points.get("bias", 0.0), operating_points["temperature"]
    scores = []
    for record, name, key in zip(records, image_names(records), keys, strict=True):
        probability = images[key]["probability"]
        raw = (float(logit(np.clip(probability, 1e-12, 1 - 1e-12))) - bias) * temperature
        scores.append(scored_image(record, name, raw, probability, images[key]["state"]))
    return scores
