"""Classifiers side by side, with the papers' numbers and the published anchors, as Markdown, JSON, PNG and HTML.

``python -m training.compare RUN... --output runs/comparison``: each RUN is the folder of an evaluation
(``metrics.json`` and ``scores.csv``) on the same images. The mean of their probabilities, without the random
baseline's, is evaluated too; ``--ensemble a,b`` names its members, ``--ensemble none`` leaves it out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from operators.networks.loading import WEIGHTS
from operators.networks.weights import sha256
from operators.records.provenance import RESEARCH_USE_ONLY
from training import plots
from training.checks import or_exit
from training.comparison import ENSEMBLE, Run, compare, ensemble, read_runs
from training.comparison_tables import comparison_tables
from training.evaluation_page import TEMPLATES, picture
from training.papers import ANCHORS, PAPERS
from training.tables import as_markdown, name_of

RANDOM = "msk_random_baseline"  # its scores mean nothing, so they are in an ensemble only if named
PICTURED = ("accuracy", "recall")  # the papers' figure
MARKED = "accuracy", "sensitivity", "kappa", "auroc"


def check_weights(runs: Sequence[Run], bundles: Path) -> None:
    """Raise ValueError where a run was made with other weights than its bundle holds now."""
    for run in runs:
        weights = bundles / run.evaluation["model"] / WEIGHTS
        if weights.is_file() and run.evaluation["sha256"] != sha256(weights):
            raise ValueError(f"{run.name}: evaluated with other weights than {weights}; evaluate the bundle again")


def add_ensemble(runs: Sequence[Run], members: str) -> list[Run]:
    """Return the runs and, if there are two or more, their ensemble.

    Raises
    ------
    ValueError
        If a member is none of the runs.
    """
    names = [run.name for run in runs if run.evaluation["model"] != RANDOM]
    if members == "none" or (members == "all" and len(names) < 2):
        return list(runs)
    return [*runs, ensemble(runs, names if members == "all" else [name.strip() for name in members.split(",")])]


def draw_comparison(comparison: Mapping[str, Any]) -> list[tuple[bytes, str]]:
    """Return (PNG, caption): the papers' figure with ours beside theirs, and our metrics with intervals."""
    models = comparison["models"]
    rows: dict[str, Mapping[str, Any]] = {}
    for name, model in models.items():
        rows[_wrapped(f"{name}\n{comparison['data']}")] = model["papers"]["network_output"]
        for paper in (paper for paper in PAPERS if paper.bundle == name):
            for number, accuracy in enumerate(paper.accuracy):
                label = f"paper: {paper.network}\n{paper.data.split(',')[0]}" + " (its other number)" * bool(number)
                rows[label] = {"accuracy": _value(accuracy), "recall": _value(None if number else paper.recall)}
    own = {
        _wrapped(name): {metric: model["levels"]["study"]["overall"]["metrics"][metric] for metric in MARKED}
        for name, model in models.items()
    }
    title = f"{comparison['data']}, split {comparison['split']}"
    figures = (
        (plots.bars(rows, {name: name for name in PICTURED}, "Accuracy and recall at .5"), "As in the papers: images"),
        (plots.bars(own, {name: name_of(name) for name in MARKED}, title), "Study level, with 95 % intervals"),
    )
    return [(plots.png(figure), caption) for figure, caption in figures]


def _value(value: float | None) -> dict[str, float | None]:
    return {"value": value, "low": None, "high": None}


def _wrapped(name: str) -> str:
    return name.replace(": ", ":\n").replace(" + ", " +\n") if name.startswith(ENSEMBLE) else name


def write_comparison(comparison: Mapping[str, Any], output: Path) -> str:
    """Write ``comparison.md``, ``.json``, ``.png`` and ``.html``; return the Markdown."""
    output.mkdir(parents=True, exist_ok=True)
    tables = comparison_tables(comparison)
    markdown = as_markdown(tables)
    published = {"papers": [asdict(paper) for paper in PAPERS], "anchors": [asdict(anchor) for anchor in ANCHORS]}
    text = json.dumps({**comparison, "published": published}, indent=1, allow_nan=False) + "\n"
    drawn = draw_comparison(comparison)
    page = TEMPLATES.get_template("comparison.html").render(
        title="Comparison of classifiers",
        comparison=comparison,
        tables=tables,
        pictures=[picture(png, caption) for png, caption in drawn],
        research_use_only=RESEARCH_USE_ONLY,
    )
    (output / "comparison.json").write_text(text, "utf-8")
    (output / "comparison.md").write_text(markdown, "utf-8")
    (output / "comparison.png").write_bytes(drawn[0][0])
    (output / "comparison.html").write_text(page, "utf-8")
    return markdown


def main(arguments: list[str] | None = None) -> int:
    """Compare and print the Markdown."""
    parser = argparse.ArgumentParser(prog="python -m training.compare", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of an evaluation")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--ensemble", default="all", help="members with commas between, all, or none")
    parser.add_argument("--bundles", type=Path, help="refuse a run of other weights than the bundles in this folder")
    options = parser.parse_args(arguments)
    runs = or_exit(read_runs, options.runs)
    if options.bundles is not None:
        or_exit(check_weights, runs, options.bundles)
    runs = or_exit(add_ensemble, runs, options.ensemble)
    sys.stdout.write(write_comparison(compare(runs), options.output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
