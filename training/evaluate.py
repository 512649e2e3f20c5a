"""Scores of a labelled split -> metrics with intervals, as JSON, as Markdown and as one self-contained HTML page.

The scores come from a bundle's own evaluation (``configs/evaluate.json``) or from a run of the application:
``python -m training.evaluate OUT/result.json --dataset_dir data/fracatlas --split test --output_dir runs/evaluation``.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from operators.networks.weights import WEIGHTS, sha256
from training.datasets.errors import or_exit
from training.evaluation.evaluation import About, mean_operating_points, write_evaluation
from training.evaluation.evaluation_tables import evaluation_tables
from training.evaluation.evaluation_writer import identify_data_set, scores_of_run
from training.evaluation.text_tables import as_markdown
from training.learning.preflight import split_records


def main(arguments: list[str] | None = None) -> int:
    """Evaluate a run of the application."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("result", type=Path, help="result.json of a run on wrapped images")
    parser.add_argument("--dataset_dir", type=Path, required=True)
    parser.add_argument("--split", choices=["train", "val", "test"], required=True)
    parser.add_argument(
        "--bundle", type=Path, nargs="+", default=[Path("bundles/msk_resnet50")], help="the run's classifiers"
    )
    parser.add_argument("--parts", nargs="*", default=(), help="body parts; none: all")
    parser.add_argument("--output_dir", type=Path, required=True)
    evaluation = or_exit(evaluate_run, parser.parse_args(arguments))
    sys.stdout.write(as_markdown(evaluation_tables(evaluation)))
    return 0


def evaluate_run(options: argparse.Namespace) -> dict[str, Any]:
    """Evaluate a run of the application on a split and write the files of the evaluation."""
    metadata = [json.loads((bundle / "configs" / "metadata.json").read_text("utf-8")) for bundle in options.bundle]
    points = mean_operating_points([each["operating_points"] for each in metadata])
    records = split_records(options.dataset_dir, options.split, options.parts)
    root = options.dataset_dir if options.dataset_dir.is_dir() else options.dataset_dir.parent
    scores = scores_of_run(options.result, records, root, points)
    about = About(
        "+".join(bundle.resolve().name for bundle in options.bundle),
        "+".join(str(each["version"]) for each in metadata),
        sha256(options.bundle[0] / WEIGHTS) if len(metadata) == 1 else None,
        *identify_data_set(options.dataset_dir),
        options.split,
    )
    return write_evaluation(scores, points, about, options.output_dir)


if __name__ == "__main__":
    sys.exit(main())
