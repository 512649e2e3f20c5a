"""The images of a run as a list: ``result.csv`` for spreadsheets, and a table to read on a terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator

from operators.records.sources import printable
from operators.records.states import State
from operators.reporting.summaries import ImageSummary, StudySummary

COLUMNS = (
    *("file", "study_folder", "state", "reason", "probability", "boxes"),
    *("body_part", "view_position", "laterality"),
)
# What a spreadsheet takes for the beginning of a formula, the full-width signs in East Asian settings.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_HEADINGS = ("file", "state", "probability", "boxes (left, top, right, bottom: score), or the reason")


def as_csv(studies: Iterable[StudySummary]) -> bytes:
    """Return ``result.csv``: a row per image, UTF-8.

    ``boxes`` are pixels of the source image, ``left top right bottom score``, with semicolons between them. A text that
    a spreadsheet would take for a formula gets an apostrophe in front.
    """
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(COLUMNS)
    for study in studies:
        for image in study.images:
            rows.writerow(
                (
                    _no_formula(image.file),
                    study.folder or "",
                    image.state,
                    image.reason or "",
                    "" if image.probability is None else f"{image.probability:.6f}",
                    "; ".join(
                        f"{box.left} {box.top} {box.right} {box.bottom} {score:.4f}" for box, score in image.boxes
                    ),
                    *(_no_formula(text or "") for text in (image.body_part, image.view_position, image.laterality)),
                )
            )
    return text.getvalue().encode("utf-8", "backslashreplace")


def as_table(studies: Iterable[StudySummary]) -> Iterator[str]:
    """Yield the lines of a table, a line per image: file, state, probability, and boxes or the reason."""
    images = [image for study in studies for image in study.images]
    rows = [_HEADINGS, *(_cells(image) for image in images)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS) - 1)]
    for row in rows:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        yield "  ".join((*padded, row[-1])).rstrip()


def _cells(image: ImageSummary) -> tuple[str, ...]:
    boxes = "; ".join(f"({box.left}, {box.top}, {box.right}, {box.bottom}: {score:.2f})" for box, score in image.boxes)
    told = (image.reason or "") if image.state in (State.DECLINED, State.FAILED) else boxes
    probability = "" if image.probability is None else f"{image.probability:.3f}"
    return printable(image.file), image.state, probability, told


def _no_formula(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
