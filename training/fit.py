"""Fit on ``val`` what the application decides with: calibration, operating points, and how boxes are cut from the map.

``python -m training.fit bundles/msk_resnet50 --dataset_dir data/fracatlas`` writes them into the bundle's metadata:
probability = sigmoid(logit / temperature + bias), and per level (image, study) where an image is ruled out, ruled in,
and, if there is to be one yes or no, called abnormal.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from operators.networks.loading import load_bundle
from operators.records.rules import MAP_METHODS, BoxRule, MapRule
from training.datasets.dataset import labelled_finding
from training.datasets.errors import or_exit
from training.evaluation.evaluation_writer import write_bundle_evaluation
from training.fitting.boxes import fit_boxes
from training.fitting.calibration import require_both_classes
from training.fitting.operating_points import SENSITIVITY, SPECIFICITY, fit_points
from training.fitting.predictions import predict
from training.learning.bundle_weights import require_bundle, write_checksums
from training.learning.preflight import split_records
from training.weights.evaluated import Evaluated
from training.weights.origin import bundle_origin


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
    parser.add_argument(
        "--finding",
        nargs=3,
        metavar=("CODE", "SCHEME", "MEANING"),
        help="what abnormal means in the data set, as a code; by itself fracture for FracAtlas, abnormality for others",
    )
    parser.add_argument("--sensitivity", type=float, default=SENSITIVITY, help="of the rule-out point, on val")
    parser.add_argument("--specificity", type=float, default=SPECIFICITY, help="of the rule-in point, on val")
    parser.add_argument("--output_dir", type=Path, help="write the evaluation of val here")
    or_exit(fit, parser.parse_args(arguments))
    return 0


def fit(options: argparse.Namespace) -> None:
    """Fit on val, write the bundle's metadata and, if asked for, the evaluation of val."""
    require_bundle(options.bundle)
    records = split_records(options.dataset_dir, "val", options.parts)
    require_both_classes(np.array([record.label for record in records], float))
    write_checksums(options.bundle)
    bundle = load_bundle(options.bundle)
    maps = MapRule(options.map, options.stages, options.flips, tuple(options.scales))
    predictions = list(predict(bundle, records, None if options.no_boxes else maps))
    points = fit_points(predictions, options.sensitivity, options.specificity)
    path = options.bundle / "configs" / "metadata.json"
    metadata = json.loads(path.read_text("utf-8"))
    metadata["operating_points"] = points
    metadata["finding"] = _finding(options)
    if not options.no_boxes:
        images = [prediction.image for prediction in predictions if prediction.image is not None]
        fitted = fit_boxes(images, points, BoxRule(options.boxes, 0.5, 0.0), maps)
        metadata["localization"] = {"stages": metadata.get("localization", {}).get("stages", []), **fitted}
    path.write_text(json.dumps(metadata, indent=4) + "\n", "utf-8")
    write_checksums(options.bundle)
    written = {key: metadata.get(key) for key in ("finding", "operating_points", "localization")}
    sys.stdout.write(json.dumps(written, indent=1) + "\n")
    if options.output_dir is not None:
        logits = [prediction.logit for prediction in predictions]
        evaluated = Evaluated(bundle, bundle_origin(options.bundle, bundle), points)
        write_bundle_evaluation(evaluated, records, logits, (options.dataset_dir, options.output_dir))


def _finding(options: argparse.Namespace) -> dict[str, str]:
    """Return the code of what the classifier finds."""
    if options.finding is None:
        return dict(labelled_finding(options.dataset_dir))
    return dict(zip(("code", "scheme", "meaning"), options.finding, strict=True))


if __name__ == "__main__":
    sys.exit(main())
