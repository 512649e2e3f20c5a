"""Fit on ``val`` what the application decides with: temperature, operating points, and how boxes are cut from the map.

``python -m training.fit bundles/msk_resnet50 --dataset_dir data/fracatlas`` writes them into the bundle's metadata.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from tqdm import tqdm

from operators.bundle import load_bundle
from operators.classification import classify
from operators.localization import BoxRule, activation_map, component_boxes
from operators.records import Bundle, Classification, Radiograph, SourceFile, SourceImage
from training.data import read_pixels
from training.export import write_checksums
from training.manifest import ImageRecord, read_manifest
from training.metrics import fit_operating_points, fit_temperature, match_boxes, probabilities_of
from training.prompts import pixel_box

THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
EXPANSIONS = (0.0, 0.15, 0.3, 0.5)


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """A record of a manifest and what the application's own code says of it."""

    record: ImageRecord
    classification: Classification
    logit: float


def radiograph_of(record: ImageRecord) -> Radiograph:
    """Return an image of a data set as the application would see it."""
    source = SourceImage(
        SourceFile(record.path, record.path.name), Dataset(), record.path.stem, None, None, None, None, True
    )
    return Radiograph(source, read_pixels(str(record.path)))


def predict(bundle: Bundle, records: Sequence[ImageRecord]) -> Iterator[Prediction]:
    """Classify images with the application's code, one at a time."""
    temperature = bundle.metadata["operating_points"]["temperature"]
    for record in tqdm(records, unit="image", disable=not sys.stderr.isatty()):
        classification = classify(radiograph_of(record), bundle)
        probability = np.clip(classification.probability, 1e-12, 1 - 1e-12)
        yield Prediction(record, classification, float(np.log(probability / (1 - probability)) * temperature))


def fit_boxes(predictions: Sequence[Prediction], most: int = 3, least_iou: float = 0.3) -> dict[str, Any]:
    """Return the threshold and the expansion with the best F1 of boxes on abnormal images, at an IoU of at least .3."""
    abnormal = [prediction for prediction in predictions if prediction.record.boxes]
    best: tuple[float, float, float] = (-1.0, 0.5, 0.0)
    for threshold in THRESHOLDS:
        for expansion in EXPANSIONS:
            rule = BoxRule("components", threshold, expansion, most, 50)
            matched = found = true = 0
            for prediction in abnormal:
                boxes = [
                    box
                    for _, box in component_boxes(
                        prediction.classification, activation_map(prediction.classification), rule
                    )
                ]
                expert = [pixel_box(box) for box in prediction.record.boxes]
                matched += match_boxes(boxes, expert, least_iou)
                found, true = found + len(boxes), true + len(expert)
            best = max(best, (2 * matched / (found + true), threshold, expansion))
    return {"threshold": best[1], "expansion": best[2], "val_f1_at_iou_0.3": round(best[0], 4)}


def main(arguments: list[str] | None = None) -> int:
    """Fit and write."""
    parser = argparse.ArgumentParser(prog="python -m training.fit", description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--dataset_dir", type=Path, required=True)
    options = parser.parse_args(arguments)
    write_checksums(options.bundle)
    predictions = list(predict(load_bundle(options.bundle), read_manifest(options.dataset_dir, "val")))
    labels = np.array([prediction.record.label for prediction in predictions], float)
    logits = np.array([prediction.logit for prediction in predictions])
    temperature = round(fit_temperature(logits, labels), 4)
    points = fit_operating_points(probabilities_of(logits, temperature), labels)
    fitted = {"rule_out": round(points.rule_out, 6), "rule_in": round(points.rule_in, 6)}
    path = options.bundle / "configs" / "metadata.json"
    metadata = json.loads(path.read_text("utf-8"))
    metadata["operating_points"] = {"temperature": temperature, "image": fitted, "study": fitted}
    metadata["localization"] = fit_boxes(predictions)
    path.write_text(json.dumps(metadata, indent=4) + "\n", "utf-8")
    write_checksums(options.bundle)
    sys.stdout.write(json.dumps({key: metadata[key] for key in ("operating_points", "localization")}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
