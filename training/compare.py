"""Classifiers side by side, with the papers' numbers and the published anchors, as Markdown, JSON, PNG and HTML.

``python -m training.compare RUN... --output runs/comparison``: each RUN is the folder of an evaluation
(``metrics.json`` and ``scores.csv``) on the same images. The mean of their probabilities, without the random
baseline's, is evaluated too; ``--ensemble a,b`` names its members, ``--ensemble none`` leaves it out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from operators.networks.weights import WEIGHTS, sha256
from training.datasets.errors import InputError, or_exit
from training.evaluation.comparison.differences import compare
from training.evaluation.comparison.page import write_comparison
from training.evaluation.comparison.runs import Run, ensemble, read_runs

RANDOM = "msk_random_baseline"  # its scores mean nothing, so they are in an ensemble only if named


def check_weights(runs: Sequence[Run], bundles: Path) -> None:
    """Raise InputError where a run was made with other weights than its bundle holds now."""
    for run in runs:
        weights = bundles / run.evaluation["model"] / WEIGHTS
        if weights.is_file() and run.evaluation["sha256"] != sha256(weights):
            raise InputError(f"{run.name}: evaluated with other weights than {weights}; evaluate the bundle again")


def add_ensemble(runs: Sequence[Run], members: str) -> list[Run]:
    """Return the runs and, if there are two or more, their ensemble.

    Raises
    ------
    InputError
        If a member is none of the runs.
    """
    names = [run.name for run in runs if run.evaluation["model"] != RANDOM]
    if members == "none" or (members == "all" and len(names) < 2):
        return list(runs)
    return [*runs, ensemble(runs, names if members == "all" else [name.strip() for name in members.split(",")])]


def main(arguments: list[str] | None = None) -> int:
    """Compare and print the Markdown."""
    parser = argparse.ArgumentParser(prog="python -m training.compare", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of an evaluation")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--ensemble", default="all", help="members with commas between, all, or none")
    parser.add_argument("--bundles", type=Path, help="refuse a run of other weights than the bundles in this folder")
    sys.stdout.write(or_exit(compare_runs, parser.parse_args(arguments)))
    return 0


def compare_runs(options: argparse.Namespace) -> str:
    """Write the comparison of the runs and return its Markdown."""
    runs = read_runs(options.runs)
    if options.bundles is not None:
        check_weights(runs, options.bundles)
    return write_comparison(compare(add_ensemble(runs, options.ensemble)), options.output)


if __name__ == "__main__":
    sys.exit(main())
