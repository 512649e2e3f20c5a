"""The figures of an evaluation: training curves, ROC, precision-recall, reliability, confusion, probabilities."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import precision_recall_curve, roc_curve

from training.datasets.errors import InputError
from training.evaluation.figures import BLUE, GREY, ORANGE, SERIES, new_figure
from training.evaluation.resampling import MINIMUM_PATIENTS, Array, patient_weights, ranking
from training.evaluation.scored_images import Sample

NO_CURVES = ("learning_rate", "seconds")  # columns of a history that are neither losses nor scores
GRID = np.linspace(0, 1, 101)


def roc(sample: Sample, points: Mapping[str, float], resamples: int = 2000) -> Figure:
    """Return the ROC curve with the 95 % band of resampled patients and the operating points."""
    figure, axes = new_figure("ROC")
    if sample.patients >= MINIMUM_PATIENTS:
        low, high = np.nanpercentile(_resampled_roc(sample, resamples), [2.5, 97.5], axis=0)
        axes.fill_between(GRID, low, high, color=BLUE, alpha=0.2, linewidth=0, label="95 % of resampled patients")
    false_positive, true_positive, _ = roc_curve(sample.labels, sample.probabilities)
    axes.plot(false_positive, true_positive, color=BLUE)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    for (name, threshold), marker in zip(points.items(), "sD^v", strict=False):
        called = sample.probabilities >= threshold
        point = called[~sample.labels].mean(), called[sample.labels].mean()
        axes.plot(*point, marker, color=ORANGE, label=f"{name} {threshold:.3f}")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), aspect="equal")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _resampled_roc(sample: Sample, resamples: int) -> Array:
    """Return the sensitivity at each point of ``GRID`` per resample, (resamples, grid)."""
    order = ranking(sample.labels, sample.probabilities)
    curves = []
    for weights in patient_weights(sample.groups, resamples):
        counts = [np.cumsum(count[:, ::-1], axis=1) for count in order.counts(weights)]
        whole = counts[0][:, -1] * counts[1][:, -1] > 0  # resamples with both classes
        sensitivity, false_positive = (count[whole] / count[whole, -1:] for count in counts)
        curves += [np.interp(GRID, np.r_[0, x], np.r_[0, y]) for x, y in zip(false_positive, sensitivity, strict=True)]
    return np.array(curves)


def precision_recall(sample: Sample) -> Figure:
    """Return the precision-recall curve with the share of abnormal images as the level of chance."""
    figure, axes = new_figure("Precision and recall")
    precision, recall, _ = precision_recall_curve(sample.labels, sample.probabilities)
    axes.step(recall, precision, where="post", color=BLUE)
    share = sample.labels.mean()
    axes.axhline(share, color=GREY, linestyle=":", linewidth=1, label=f"share of abnormal images, {share:.2f}")
    axes.set(xlabel="recall (sensitivity)", ylabel="precision", xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    figure.legend(loc="outside lower center")
    return figure


def reliability_diagram(calibration: Mapping[str, Any]) -> Figure:
    """Return predicted against observed shares, before and after calibration; a marker grows with its bin's images."""
    figure, axes = new_figure("Reliability")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    for (kind, summary), colour, marker in zip(calibration.items(), (GREY, BLUE), "so", strict=True):
        x, y = ([entry[name] for entry in summary["bins"]] for name in ("mean_probability", "abnormal_share"))
        images = np.array([entry["images"] for entry in summary["bins"]])
        axes.plot(x, y, color=colour, linewidth=1, linestyle="--" if kind == "before" else "-")
        size = 15 + 120 * np.sqrt(images / images.max())
        axes.scatter(x, y, size, colour, marker=marker, label=f"{kind} calibration, ECE {summary['ece']:.3f}")
    axes.set(xlabel="mean probability of a bin", ylabel="share of abnormal images", xlim=(-0.02, 1.02))
    axes.set_ylim(-0.05, 1.05)
    figure.legend(loc="outside lower center")
    return figure


def confusion(states: Mapping[str, Mapping[str, int]]) -> Figure:
    """Return the states against the labels as a matrix of counts, shaded by the share of the label."""
    figure, axes = new_figure("States by label", (5.2, 3.2))
    counts = np.array([list(counted.values()) for counted in states.values()], float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.grid(visible=False)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), count in np.ndenumerate(counts):
        share = shares[row, column]
        text = f"{int(count)}\n{share:.0%}"
        axes.text(column, row, text, ha="center", va="center", color="white" if share > 0.55 else "black")
    axes.set_xticks(range(3), ["called normal", "doubt", "called abnormal"])
    axes.set_yticks(range(2), [f"label {label}" for label in states])
    return figure


def probabilities(sample: Sample, points: Mapping[str, float]) -> Figure:
    """Return how the probabilities of each class are distributed, with the operating points."""
    figure, axes = new_figure("Probabilities")
    edges = np.linspace(0, 1, 26)
    for label, (name, colour, hatch) in enumerate((("normal", BLUE, ""), ("abnormal", ORANGE, "///"))):
        values = sample.probabilities[sample.labels == label]
        style = {"color": colour, "alpha": 0.55, "hatch": hatch, "edgecolor": colour, "histtype": "stepfilled"}
        axes.hist(values, edges, label=f"{name}, n = {len(values)}", **style)  # type: ignore[arg-type]
    for (name, threshold), line in zip(points.items(), ("--", "-.", "-"), strict=False):
        axes.axvline(threshold, color="black", linestyle=line, linewidth=1.2, label=f"{name} {threshold:.3f}")
    axes.set(xlabel="probability of abnormal", ylabel="images", xlim=(0, 1))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def bars(strata: Mapping[str, Mapping[str, Mapping[str, Any]]], metrics: Mapping[str, str], title: str) -> Figure:
    """Return horizontal bars with intervals: one group per stratum, one bar per metric.

    Parameters
    ----------
    strata
        {name of the group: {metric: estimate as JSON}}; an estimate without a value is left out.
    metrics
        {metric: its name in the legend}.
    """
    figure, axes = new_figure(title, (5.2, 1.4 + 0.34 * len(strata) * len(metrics)))
    height = 0.8 / len(metrics)
    lowest = 0.0
    for number, ((metric, name), colour) in enumerate(zip(metrics.items(), SERIES, strict=False)):
        axes.barh([0], [0], color=colour, label=name)  # the legend's entry, also where every value is missing
        for group, estimates in enumerate(strata.values()):
            estimate = estimates.get(metric, {"value": None})
            if estimate["value"] is None:
                continue
            position = group + (number - (len(metrics) - 1) / 2) * height
            axes.barh(position, estimate["value"], height * 0.92, color=colour)
            if estimate.get("low") is not None:
                axes.plot([estimate["low"], estimate["high"]], [position] * 2, color="black", linewidth=1.2)
            lowest = min(lowest, estimate["value"], estimate.get("low") or 0.0)
    axes.set_yticks(range(len(strata)), list(strata))
    axes.set(ylim=(len(strata) - 0.5, -0.5), xlim=(lowest, 1.02))
    figure.legend(loc="outside lower center", ncols=len(metrics))
    return figure


def training_curves(history: Path) -> Figure:
    """Return the losses and the scores of a ``history.csv`` over its epochs.

    Raises
    ------
    InputError
        If it has no column epoch, no row, or a value that is no number.
    """
    columns = read_history(history)
    epochs = columns.pop("epoch")
    columns = {name: values for name, values in columns.items() if name not in NO_CURVES}
    figure, axes = new_figure("Training")
    losses = [name for name in columns if "loss" in name]
    axes.set(xlabel="epoch", ylabel=", ".join(losses) or "value")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    other = axes.twinx() if losses and len(losses) < len(columns) else axes
    for (name, values), colour in zip(columns.items(), SERIES * len(columns), strict=False):
        line = axes if name in losses else other
        known = np.isfinite(values)  # an epoch that was not validated has no score
        line.plot(epochs[known], values[known], "--" if name in losses else "-", color=colour, label=name, marker=".")
    if other is not axes:
        other.set_ylabel("scores (solid)")
        other.spines["right"].set_visible(True)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def read_history(path: Path) -> dict[str, Array]:
    """Read a ``history.csv``: one row per epoch; an empty cell is nan.

    Raises
    ------
    InputError
        If it has no column epoch, no row, or a value that is no number.
    """
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        names = list(reader.fieldnames or ())
        rows = list(reader)
    if "epoch" not in names or not rows:
        raise InputError(f"{path}: no column epoch or no row; remove the file or train again")
    columns: dict[str, list[float]] = {name: [] for name in names}
    for number, row in enumerate(rows, start=2):
        for name in names:
            try:
                columns[name].append(float(row[name] or "nan"))
            except ValueError as error:
                raise InputError(f"{path}, row {number}: {name} {row[name]!r} is no number; correct the row") from error
    return {name: np.array(values) for name, values in columns.items()}
