"""A data set on disk as one table of image records, and our own form of it: a CSV manifest.

Columns: ``file`` (relative to the manifest), ``label`` (normal or abnormal, or 0 or 1), ``split`` (train, val or
test); optional: ``mask_file``, ``boxes_xyxy`` (JSON list of [left, top, right, bottom] in pixels), ``body_part``,
``view``, ``group_id`` (the patient), ``study_id``, ``hardware``. ``training.datasets.dataset`` reads other forms
into the same records.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from training.datasets.errors import InputError

LABELS = {"normal": 0, "abnormal": 1, "0": 0, "1": 1}
SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One labelled image of a data set.

    ``boxes`` are (left, top, right, bottom) in pixels of the image as it is stored, ``label`` is 1 for abnormal.
    ``row`` is the line of the list that names the image, the header being line 1; two forms of the same data differ
    in it, so it does not count when records are compared.
    """

    path: Path
    split: str
    label: int
    group: str
    study: str
    body_part: str = ""
    view: str = ""
    hardware: bool = False
    mask: Path | None = None
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    row: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Problem:
    """An image that a data set names or holds and that cannot be used; ``row`` 0: it stands in no list."""

    path: Path
    reason: str
    row: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """What a data set gives: the images that can be used, and those that cannot."""

    records: tuple[ImageRecord, ...]
    problems: tuple[Problem, ...] = ()


class ManifestError(InputError):
    """A data set cannot be used; the text names file, row and remedy."""


def read_manifest(path: str | Path, split: str | None = None) -> list[ImageRecord]:
    """Read a manifest, or one split of it.

    Raises
    ------
    ManifestError
        If the file or a column is missing, a value is impossible, an image is absent, or a group is in two splits.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "manifest.csv"
    if not path.is_file():
        raise ManifestError(f"{path}: no such manifest; give a CSV file or a folder that holds manifest.csv")
    records = [_record(path, number, row) for number, row in read_rows(path, ("file", "label", "split"))]
    check_groups(records, path)
    return choose_split(records, split, path)


def read_rows(path: Path, columns: Iterable[str]) -> list[tuple[int, dict[str, str]]]:
    """Return (line, row) of a CSV that must have these columns; the header is line 1, absent cells are empty.

    Raises
    ------
    ManifestError
        If the file is no UTF-8 text or a column is missing.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets write a byte order mark
            reader = csv.DictReader(file, restval="")
            missing = set(columns) - set(reader.fieldnames or ())
            if missing:
                raise ManifestError(
                    f"{path}: column {', '.join(sorted(missing))} is missing; add it to the header line, "
                    "separated by commas"
                )
            return [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{path}: not a CSV file in UTF-8 ({error}); save it again as CSV UTF-8") from error


def _record(manifest: Path, row_number: int, row: Mapping[str, str]) -> ImageRecord:
    where = f"{manifest}, row {row_number}"
    if row["label"] not in LABELS:
        raise ManifestError(f"{where}: label {row['label']!r} is not one of {', '.join(LABELS)}; correct it")
    if row["split"] not in SPLITS:
        raise ManifestError(f"{where}: split {row['split']!r} is not one of {', '.join(SPLITS)}; correct it")
    image, mask = manifest.parent / row["file"], row.get("mask_file") or ""
    for file in (image, manifest.parent / mask if mask else image):
        if not file.is_file():
            raise ManifestError(f"{where}: {file} does not exist; restore the file or remove the row")
    return ImageRecord(
        path=image,
        split=row["split"],
        label=LABELS[row["label"]],
        group=row.get("group_id") or row["file"],
        study=row.get("study_id") or row["file"],
        body_part=row.get("body_part") or "",
        view=row.get("view") or "",
        hardware=row.get("hardware") == "1",
        mask=manifest.parent / mask if mask else None,
        boxes=_boxes(row.get("boxes_xyxy") or "[]", where),
        row=row_number,
    )


def _boxes(text: str, where: str) -> tuple[tuple[float, float, float, float], ...]:
    try:
        boxes = tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in json.loads(text))
    except (TypeError, ValueError) as error:
        raise ManifestError(f"{where}: boxes_xyxy is not a JSON list of [left, top, right, bottom]") from error
    if any(not (left < right and top < bottom) for left, top, right, bottom in boxes):
        raise ManifestError(f"{where}: boxes_xyxy has a box without area; the order is [left, top, right, bottom]")
    return boxes


def check_groups(records: Iterable[ImageRecord], path: Path) -> None:
    """Raise ManifestError if a patient is in two splits."""
    first: dict[str, ImageRecord] = {}
    for record in records:
        other = first.setdefault(record.group, record)
        if other.split != record.split:
            raise ManifestError(
                f"{path}, row {record.row}: group {record.group} is in split {record.split}, but in {other.split} "
                f"in row {other.row}; a patient belongs to one split only"
            )


def choose_split(records: Iterable[ImageRecord], split: str | None, path: str | Path) -> list[ImageRecord]:
    """Return the records of a split, or all; raise ManifestError if there is none."""
    records = list(records)
    chosen = [record for record in records if split in (None, record.split)]
    if not chosen:
        present = ", ".join(name for name in SPLITS if name in {record.split for record in records})
        raise ManifestError(
            f"{path}: no image of split {split!r}; known splits are {', '.join(SPLITS)}, "
            f"images are in {present or 'none of them'}"
        )
    return chosen


def check_for_training(records: Iterable[ImageRecord], path: str | Path) -> None:
    """Raise ManifestError unless both ``train`` and ``val`` hold normal and abnormal images."""
    records = list(records)
    for split in ("train", "val"):
        labels = {record.label for record in records if record.split == split}
        if not labels:
            raise ManifestError(
                f"{path}: no image of split {split!r}, which training needs; give some patients that split or "
                "choose more body parts"
            )
        if len(labels) == 1:
            only, other = ("abnormal", "normal") if labels == {1} else ("normal", "abnormal")
            raise ManifestError(
                f"{path}: all images of split {split!r} are {only}, and training needs both classes; add {other} "
                "images to it or choose more body parts"
            )
