"""Scores of a labelled split -> metrics with intervals, as JSON, as Markdown and as one self-contained HTML page.

The scores come from a bundle's own evaluation (``configs/evaluate.json``) or from a run of the application:
``python -m training.evaluate OUT/result.json --dataset_dir data/fracatlas --split test --output_dir runs/evaluation``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from operators.networks.weights import WEIGHTS, sha256
from training.datasets.errors import InputError, or_exit
from training.evaluation.evaluation import About, mean_operating_points, write_evaluation
from training.evaluation.evaluation_tables import evaluation_tables
from training.evaluation.evaluation_writer import identify_data_set, scores_of_run
from training.evaluation.text_tables import as_markdown
from training.learning.preflight import split_records
from training.weights.origin import Origin, last_written, shown, utc


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
    digests = _weights_of_run(options.result, options.bundle)
    about = About(
        "+".join(bundle.resolve().name for bundle in options.bundle),
        "+".join(str(each["version"]) for each in metadata),
        digests[0] if len(digests) == 1 else None,
        *identify_data_set(options.dataset_dir),
        options.split,
        weights=Origin(shown(options.result), last_written(options.result)),
        evaluated_at=utc(datetime.now(UTC)),
    )
    return write_evaluation(scores, points, about, options.output_dir)


def _weights_of_run(result: Path, bundles: Sequence[Path]) -> list[str]:
    """Return the sha256 of the weights of the bundles; raise InputError if the run did not use them."""
    used = {each["bundle"]: each["sha256"] for each in json.loads(result.read_text("utf-8")).get("models", ())}
    digests = [sha256(bundle / WEIGHTS) for bundle in bundles]
    for bundle, digest in zip(bundles, digests, strict=True):
        name = bundle.resolve().name
        if used.get(name) != digest:
            fault = f"other weights of {name}" if name in used else ", ".join(used) or "models that it does not name"
            raise InputError(f"{result}: the run used {fault}; name its classifiers with --bundle, or run it again")
    return digests


if __name__ == "__main__":
    sys.exit(main())
