"""Scores of a labelled split -> metrics with intervals, as JSON and as a Markdown table.

The scores come from a bundle's own evaluation (``configs/evaluate.json``) or from a run of the application:
``python -m training.evaluate OUT/result.json --dataset_dir data/fracatlas --split test --output_dir runs/evaluation``.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events

from operators.classification import image_points
from operators.records import Bundle, OperatingPoints
from training.manifest import ImageRecord, read_manifest
from training.metrics import probabilities_of, table
from training.wrap_dicom import key_of


@dataclass(frozen=True, slots=True)
class Score:
    """What a model says of one labelled image."""

    name: str
    group: str
    body_part: str
    label: int
    probability: float
    state: str


def evaluate(scores: Sequence[Score], points: OperatingPoints) -> dict[str, Any]:
    """Return counts, metrics with 95 % intervals (patient-level bootstrap, 2,000 resamples), and states by label."""
    labels = np.array([score.label for score in scores], float)
    probabilities = np.array([score.probability for score in scores])
    states = {
        label: {
            state: sum(s.label == number and s.state == state for s in scores)
            for state in ("normal", "doubt", "abnormal")
        }
        for number, label in enumerate(("normal", "abnormal"))
    }
    return {
        "images": len(scores),
        "abnormal": int(labels.sum()),
        "operating_points": {"rule_out": points.rule_out, "rule_in": points.rule_in},
        "states_by_label": states,
        "metrics": table(labels, probabilities, [score.group for score in scores], points),
    }


def as_markdown(evaluation: dict[str, Any]) -> str:
    """Return the metrics as a Markdown table."""
    lines = [
        f"n = {evaluation['images']}, abnormal = {evaluation['abnormal']}",
        "",
        "| metric | value | 95 % interval |",
        "|---|---|---|",
    ]
    for name, (value, low, high) in evaluation["metrics"].items():
        lines.append(f"| {name.replace('_', ' ')} | {value:.3f} | {low:.3f} - {high:.3f} |")
    lines += ["", "| label | called normal | doubt | abnormal |", "|---|---|---|---|"]
    for label, states in evaluation["states_by_label"].items():
        lines.append(f"| {label} | {states['normal']} | {states['doubt']} | {states['abnormal']} |")
    return "\n".join(lines) + "\n"


def write_evaluation(scores: Sequence[Score], points: OperatingPoints, output_dir: Path) -> dict[str, Any]:
    """Write ``scores.csv``, ``metrics.json`` and ``metrics.md``."""
    output_dir.mkdir(parents=True, exist_ok=True)
    with (output_dir / "scores.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(Score.__slots__)
        writer.writerows([getattr(score, name) for name in Score.__slots__] for score in scores)
    evaluation = evaluate(scores, points)
    (output_dir / "metrics.json").write_text(json.dumps(evaluation, indent=1) + "\n", "utf-8")
    (output_dir / "metrics.md").write_text(as_markdown(evaluation), "utf-8")
    return evaluation


class ScoreWriter:
    """Ignite handler of a bundle's evaluator: collects its logits and writes the evaluation when it is complete.

    Parameters
    ----------
    records
        The images, in the order of the data loader, one per batch.
    """

    def __init__(self, records: Sequence[ImageRecord], bundle: Bundle, output_dir: str) -> None:
        self.records = records
        self.bundle = bundle
        self.output_dir = Path(output_dir)
        self._logits: list[float] = []

    def attach(self, engine: Engine) -> None:
        """Register with the evaluator."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _collect(self, engine: Engine) -> None:
        self._logits += [float(output["pred"]) for output in engine.state.output]

    def _write(self, _: Engine) -> None:
        points = image_points(self.bundle)
        temperature = self.bundle.metadata["operating_points"]["temperature"]
        probabilities = probabilities_of(np.array(self._logits), temperature)
        scores = [
            _score(record, float(p), points.state(float(p)))
            for record, p in zip(self.records, probabilities, strict=True)
        ]
        sys.stdout.write(as_markdown(write_evaluation(scores, points, self.output_dir)))


def scores_of_run(result: Path, records: Sequence[ImageRecord], root: Path) -> list[Score]:
    """Return the scores that a run of the application gave to the images of ``root``, as ``wrap_dicom`` names them.

    Raises
    ------
    ValueError
        If an image of the split was not analysed.
    """
    studies = json.loads(result.read_text("utf-8"))["studies"]
    images = {image["file"].removesuffix(".dcm"): image for study in studies for image in study["images"]}
    keys = [key_of(record.path, root) for record in records]
    missing = [key for key in keys if images.get(key, {}).get("probability") is None]
    if missing:
        raise ValueError(f"{result}: {len(missing)} images of the split were not analysed, first {missing[0]}")
    return [
        _score(record, images[key]["probability"], images[key]["state"])
        for record, key in zip(records, keys, strict=True)
    ]


def _score(record: ImageRecord, probability: float, state: str) -> Score:
    return Score(record.path.stem, record.group, record.body_part, record.label, probability, state)


def main(arguments: list[str] | None = None) -> int:
    """Evaluate a run of the application."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("result", type=Path, help="result.json of a run on wrapped images")
    parser.add_argument("--dataset_dir", type=Path, required=True)
    parser.add_argument("--split", choices=["train", "val", "test"], required=True)
    parser.add_argument("--bundle", type=Path, default=Path("bundles/msk_resnet50"), help="for its operating points")
    parser.add_argument("--output_dir", type=Path, required=True)
    options = parser.parse_args(arguments)
    metadata = json.loads((options.bundle / "configs" / "metadata.json").read_text("utf-8"))
    points = OperatingPoints(**metadata["operating_points"]["image"])
    scores = scores_of_run(options.result, read_manifest(options.dataset_dir, options.split), options.dataset_dir)
    sys.stdout.write(as_markdown(write_evaluation(scores, points, options.output_dir)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
