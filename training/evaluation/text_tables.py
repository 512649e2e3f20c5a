"""Tables of text, and how numbers and intervals are written in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training.evaluation.resampling import MINIMUM_PATIENTS

NAMES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "f1": "F1",
    "kappa": "Cohen's kappa",
    "brier": "Brier score",
    "ece": "ECE",
    "body_part": "body part",
    "network_output": "the network's own output",
    "calibrated": "the calibrated probability",
}
NONE = "-"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts with its title and a note."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def display_name(metric: str) -> str:
    """Return a metric's or a subgroup's name as people write it."""
    return NAMES.get(metric, metric.replace("_", " "))


def number(value: float | None, digits: int = 3) -> str:
    """Return a number as text, or a dash for None."""
    return NONE if value is None else f"{value:.{digits}f}"


def with_interval(estimate: Mapping[str, Any]) -> str:
    """Return ``value [low, high]``; without an interval the value, without a value the reason."""
    if estimate["value"] is None:
        return f"{NONE} ({estimate['reason']})" if estimate.get("reason") else NONE
    interval = "" if estimate["low"] is None else f" [{number(estimate['low'])}, {number(estimate['high'])}]"
    return number(estimate["value"]) + interval


def value_and_interval(cell: str) -> list[str]:
    """Return what of a table's cell must stay on one line: the value and its interval, or each word."""
    value, found, interval = cell.partition(" [")
    return [value, f"[{interval}"] if found and cell.endswith("]") else cell.split()


def interval_note(strata: Iterable[Mapping[str, Any]], metrics: Iterable[str]) -> str:
    """Return in words which of the estimates in {metric: estimate} have an interval: all, some or none."""
    names = list(metrics)
    given = [each[name] for each in strata for name in names if name in each and each[name]["value"] is not None]
    known = [estimate["low"] is not None for estimate in given]
    if not any(known):
        return f"without intervals: fewer than {MINIMUM_PATIENTS} patients in each"
    return "with 95 % intervals" + ("" if all(known) else f" where {MINIMUM_PATIENTS} patients or more allow them")


def short(estimate: Mapping[str, Any]) -> str:
    """Return ``value [low, high]`` or a dash."""
    return NONE if estimate["value"] is None else with_interval(estimate)


def as_markdown(tables: Sequence[Table], level: int = 2) -> str:
    """Return tables as Markdown."""
    parts = []
    for table in tables:
        lines = [f"{'#' * level} {table.title}", ""]
        lines += [_line(table.header), "|---" * len(table.header) + "|", *(_line(row) for row in table.rows)]
        parts.append("\n".join([*lines, *(["", table.note] if table.note else [])]))
    return "\n\n".join(parts) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
