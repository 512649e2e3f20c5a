"""A comparison as tables; published numbers stand in tables of their own, one per set that they are of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.evaluation.comparison.published import ANCHORS, OTHER_DATA, PAPERS, SETS
from training.evaluation.evaluation_tables import AT_POINTS, METRICS
from training.evaluation.text_tables import NONE, Table, display_name, number, short

NOT_COMPARABLE = (
    "These numbers are of other data than ours, so a difference says nothing of the networks. A hidden test and a "
    "public validation set are different sets: the same DenseNet169 has a kappa of .705 on one and .63 to .67 on the "
    "other."
)


def comparison_tables(comparison: Mapping[str, Any]) -> list[Table]:
    """Return the tables of a comparison, in the order of the page."""
    ours = f"{comparison['data']}, split {comparison['split']}"
    tables = []
    for level in ("study", "image"):
        tables += [_metrics(comparison, level, ours), _differences(comparison["differences"][level], level, ours)]
    tables += [_papers(comparison, ours), _parts(comparison, ours)]
    return [*tables, *(_anchors(dataset) for dataset in SETS)]


def _metrics(comparison: Mapping[str, Any], level: str, ours: str) -> Table:
    models = comparison["models"]
    rows = []
    for name, model in models.items():
        metrics = model["levels"][level]["overall"]["metrics"]
        rows.append((name, *(short(metrics[metric]) for metric in (*METRICS, *AT_POINTS, "brier", "ece"))))
    overall = next(iter(models.values()))["levels"][level]["overall"]
    title = f"{ours}: {level} level, n = {overall['n']}, {overall['abnormal']} abnormal"
    note = (
        f"95 % intervals over {comparison['bootstrap']['resamples']} resamples of {overall['patients']} patients. "
        "Thresholds were chosen on val; those of an ensemble are the means of its members'."
    )
    return Table(title, ("model", *map(display_name, (*METRICS, *AT_POINTS, "brier", "ece"))), tuple(rows), note)


def _differences(differences: Mapping[str, Any], level: str, ours: str) -> Table:
    header = (
        "model",
        "AUROC difference",
        "p, DeLong",
        "p, permuted patients",
        "kappa difference",
        "p, permuted patients",
    )
    if differences["best"] is None:
        return Table(f"{ours}: differences, {level} level", header, (), f"No test: {differences['reason']}.")
    rows = tuple(
        (
            row["model"],
            f"{row['auroc_difference']:+.3f}",
            _p_value(row["delong_p"]),
            _p_value(row["auroc_permutation_p"]),
            f"{row['kappa_difference']:+.3f}",
            _p_value(row["kappa_permutation_p"]),
        )
        for row in differences["rows"]
    )
    note = (
        "DeLong's test takes images as independent; where a patient has several, read the permutation test. The best "
        "was chosen by these very numbers and p-values are not corrected for the number of models."
    )
    return Table(f"{ours}: differences to {differences['best']}, {level} level", header, rows, note)


def _p_value(value: float | None) -> str:
    if value is None:
        return NONE
    return "< 0.001" if value < 0.001 else number(value)


def _papers(comparison: Mapping[str, Any], ours: str) -> Table:
    rows = []
    for name, model in comparison["models"].items():
        measured = model["papers"]["network_output"]
        rows.append((name, ours, *(short(measured[metric]) for metric in ("accuracy", "recall", "precision")), ""))
    for paper in PAPERS:
        accuracy = " or ".join(f"{value:.4f}" for value in paper.accuracy)
        row = (f"paper: {paper.network}", paper.data, accuracy, number(paper.recall, 4), NONE, paper.note)
        rows.append(row)
    note = (
        "Images, the network's own output at .5, as the papers count; of an ensemble the mean probability at .5. "
        "Theirs are of MURA (abnormal or not); ours are of the data set that is named."
    )
    return Table(
        "The papers' numbers in their own way",
        ("model", "data", "accuracy", "recall", "precision", "note"),
        tuple(rows),
        note,
    )


def _parts(comparison: Mapping[str, Any], ours: str) -> Table:
    strata = [model["levels"]["study"]["body_part"] for model in comparison["models"].values()]
    parts = sorted({part for stratum in strata for part in stratum})
    header = ("model", *(f"{part} (n = {strata[0][part]['n']})" for part in parts))
    rows = tuple(
        (name, *(short(model["levels"]["study"]["body_part"][part]["metrics"]["kappa"]) for part in parts))
        for name, model in comparison["models"].items()
    )
    return Table(f"{ours}: Cohen's kappa by body part, study level", header, rows)


def _anchors(dataset: str) -> Table:
    rows = []
    for anchor in (anchor for anchor in ANCHORS if anchor.dataset == dataset):
        metrics = (number(anchor.metrics.get(metric)) for metric in ("auroc", "sensitivity", "specificity", "kappa"))
        parts = ", ".join(f"{part} {kappa:.3f}" for part, kappa in anchor.parts.items())
        extra = [f"accuracy {anchor.metrics['accuracy']:.3f}"] if "accuracy" in anchor.metrics else []
        note = "; ".join([*extra, *([anchor.note] if anchor.note else [])])
        rows.append((anchor.model, *metrics, parts or NONE, anchor.source, note))
    header = (
        "published",
        "AUROC",
        "sensitivity",
        "specificity",
        "Cohen's kappa",
        "kappa by body part",
        "source",
        "note",
    )
    title = f"Published, {dataset}" + ("" if dataset == OTHER_DATA else ": study level unless said")
    return Table(title, header, tuple(rows), NOT_COMPARABLE)
