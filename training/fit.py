"""Fit on ``val`` what the application decides with: calibration, operating points, and how boxes are cut from the map.

``python -m training.fit bundles/msk_resnet50 --dataset_dir data/fracatlas`` writes them into the bundle's metadata:
probability = sigmoid(logit / temperature + bias), and per level (image, study) where an image is ruled out, ruled in,
and, if there is to be one yes or no, called abnormal.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from tqdm import tqdm

from operators.classification.classify import classify
from operators.networks.bundle import Bundle
from operators.networks.loading import load_bundle
from operators.records.images import Radiograph
from operators.records.rules import MAP_METHODS, BoxRule, MapRule
from operators.records.sources import SourceFile, SourceImage
from training.box_fitting import MappedImage, fit_boxes, mapped
from training.calibration import (
    fit_calibration,
    fit_decision,
    fit_operating_points,
    probabilities_of,
    require_both_classes,
    shortest,
)
from training.checks import or_exit, split_records
from training.data import read_pixels
from training.evaluate import write_bundle_evaluation
from training.export import write_checksums
from training.manifest import ImageRecord
from training.scores import sample_of, score_of, studies_of

SENSITIVITY, SPECIFICITY = 0.92, 0.95  # on val; .90 of the findings is what rule-out has to keep elsewhere
NOT_FITTED = {"temperature": 1.0, "bias": 0.0, "image": {"rule_out": 0.5, "rule_in": 0.5}}  # gives the logit as it is


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """A record of a manifest and what the application's own code says of it; ``image`` where a finding has boxes."""

    record: ImageRecord
    logit: float
    image: MappedImage | None


def radiograph_of(record: ImageRecord) -> Radiograph:
    """Return an image of a data set as the application would see it."""
    source = SourceImage(
        SourceFile(record.path, record.path.name), Dataset(), record.path.stem, None, None, None, None, True
    )
    return Radiograph(source, read_pixels(str(record.path)))


def predict(bundle: Bundle, records: Sequence[ImageRecord], maps: MapRule | None) -> Iterator[Prediction]:
    """Classify images with the application's code, one at a time, as if nothing were fitted yet.

    Parameters
    ----------
    maps
        How the maps of images with boxes are made; None: no map is wanted.
    """
    plain = dataclasses.replace(bundle, metadata={**bundle.metadata, "operating_points": NOT_FITTED})
    for record in tqdm(records, unit="image", disable=not sys.stderr.isatty()):
        if maps is None or not record.boxes:
            yield Prediction(record, classify(radiograph_of(record), plain).logit, None)
        else:
            classification = classify(radiograph_of(record), plain, maps, everything=True)
            yield Prediction(record, classification.logit, mapped(record, classification, maps))


def fit_points(
    predictions: Sequence[Prediction], sensitivity: float = SENSITIVITY, specificity: float = SPECIFICITY
) -> dict[str, Any]:
    """Return the metadata's ``operating_points``: calibration of images, thresholds of images and of studies.

    Parameters
    ----------
    sensitivity, specificity
        What the rule-out point and the rule-in point keep on ``val``.

    Raises
    ------
    ValueError
        If there are too few images or studies of a class, or the logits do not rise with the label.
    """
    labels = np.array([prediction.record.label for prediction in predictions], float)
    logits = np.array([prediction.logit for prediction in predictions])
    temperature, bias = fit_calibration(logits, labels)
    if (temperature := round(temperature, 4)) == 0:
        raise ValueError("the logits of val hardly vary; train the network longer before fitting")
    bias = round(bias, 4)
    probabilities = probabilities_of(logits, temperature, bias)
    scores = [
        score_of(prediction.record, str(prediction.record.path), prediction.logit, float(p), "")
        for prediction, p in zip(predictions, probabilities, strict=True)
    ]
    studies = sample_of(studies_of(scores))
    study_labels = studies.labels.astype(float)
    require_both_classes(study_labels)
    return {
        "temperature": temperature,
        "bias": bias,
        "image": _thresholds(probabilities, labels, sensitivity, specificity),
        "study": _thresholds(studies.probabilities, study_labels, sensitivity, specificity),
    }


def _thresholds(
    probabilities: NDArray[np.float64], labels: NDArray[np.float64], sensitivity: float, specificity: float
) -> dict[str, float]:
    points = fit_operating_points(probabilities, labels, sensitivity, specificity)
    thresholds = {"rule_out": points.rule_out, "rule_in": points.rule_in}
    thresholds["decision"] = fit_decision(probabilities, labels)
    return {name: shortest(value, probabilities) for name, value in thresholds.items()}


def main(arguments: list[str] | None = None) -> int:
    """Fit and write."""
    parser = argparse.ArgumentParser(prog="python -m training.fit", description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--dataset_dir", type=Path, required=True)
    parser.add_argument(
        "--no-boxes", action="store_true", help="leave the rule for boxes as it is: the network has no usable map"
    )
    parser.add_argument("--map", choices=MAP_METHODS, default="cam")
    parser.add_argument("--stages", type=int, default=1, help="of the network, from the last; their maps are averaged")
    parser.add_argument("--flips", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--scales", type=float, nargs="+", default=(1.0,), help="sizes of the image that are averaged")
    parser.add_argument("--boxes", choices=("peaks", "components"), default="peaks")
    parser.add_argument("--parts", nargs="*", default=(), help="body parts; none: all")
    parser.add_argument("--sensitivity", type=float, default=SENSITIVITY, help="of the rule-out point, on val")
    parser.add_argument("--specificity", type=float, default=SPECIFICITY, help="of the rule-in point, on val")
    parser.add_argument("--output_dir", type=Path, help="write the evaluation of val here")
    options = parser.parse_args(arguments)
    records = split_records(options.dataset_dir, "val", options.parts)
    or_exit(require_both_classes, np.array([record.label for record in records], float))
    write_checksums(options.bundle)
    bundle = or_exit(load_bundle, options.bundle)
    maps = MapRule(options.map, options.stages, options.flips, tuple(options.scales))
    predictions = list(predict(bundle, records, None if options.no_boxes else maps))
    points = or_exit(fit_points, predictions, options.sensitivity, options.specificity)
    path = options.bundle / "configs" / "metadata.json"
    metadata = json.loads(path.read_text("utf-8"))
    metadata["operating_points"] = points
    if not options.no_boxes:
        images = [prediction.image for prediction in predictions if prediction.image is not None]
        fitted = fit_boxes(images, points, BoxRule(options.boxes, 0.5, 0.0), maps)
        metadata["localization"] = {"stages": metadata.get("localization", {}).get("stages", []), **fitted}
    path.write_text(json.dumps(metadata, indent=4) + "\n", "utf-8")
    write_checksums(options.bundle)
    written = {key: metadata.get(key) for key in ("operating_points", "localization")}
    sys.stdout.write(json.dumps(written, indent=1) + "\n")
    if options.output_dir is not None:
        logits = [prediction.logit for prediction in predictions]
        write_bundle_evaluation(bundle, points, records, logits, (options.dataset_dir, options.output_dir))
    return 0


if __name__ == "__main__":
    sys.exit(main())
