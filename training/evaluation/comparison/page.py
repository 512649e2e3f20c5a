"""A comparison as Markdown, JSON, PNG and HTML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from operators.records.provenance import RESEARCH_USE_ONLY
from training.evaluation import plots
from training.evaluation.comparison.published import ANCHORS, PAPERS
from training.evaluation.comparison.runs import ENSEMBLE
from training.evaluation.comparison.tables import comparison_tables
from training.evaluation.figures import png
from training.evaluation.page import TEMPLATES, picture
from training.evaluation.text_tables import as_markdown, display_name, interval_note

PICTURED = ("accuracy", "recall")  # the papers' figure
MARKED = "accuracy", "sensitivity", "kappa", "auroc"


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
    study_metrics = {
        _wrapped(name): {metric: model["levels"]["study"]["overall"]["metrics"][metric] for metric in MARKED}
        for name, model in models.items()
    }
    title = f"{comparison['data']}, split {comparison['split']}"
    figures = (
        (plots.bars(rows, {name: name for name in PICTURED}, "Accuracy and recall at .5"), "As in the papers: images"),
        (
            plots.bars(study_metrics, {name: display_name(name) for name in MARKED}, title),
            f"Study level, {interval_note(study_metrics.values(), MARKED)}",
        ),
    )
    return [(png(figure), caption) for figure, caption in figures]


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
