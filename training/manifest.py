"""A data set on disk as one table of image records, read from a CSV manifest.

Columns: ``file`` (relative to the manifest), ``label`` (normal or abnormal), ``split`` (train, val or test); optional:
``mask_file``, ``boxes_xyxy`` (JSON list of [left, top, right, bottom] in pixels), ``body_part``, ``view``,
``group_id``, ``study_id``, ``hardware``.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

LABELS = {"normal": 0, "abnormal": 1, "0": 0, "1": 1}
SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One labelled image of a data set.

    ``boxes`` are (left, top, right, bottom) in pixels of the image as it is stored, ``label`` is 1 for abnormal.
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


class ManifestError(ValueError):
    """A manifest cannot be used; the text names file, row and remedy."""


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
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = {"file", "label", "split"} - set(reader.fieldnames or ())
        if missing:
            raise ManifestError(f"{path}: column {', '.join(sorted(missing))} is missing; add it to the header line")
        records = [_record(path, number, row) for number, row in enumerate(reader, start=2)]
    _check_groups(path, records)
    chosen = [record for record in records if split in (None, record.split)]
    if not chosen:
        raise ManifestError(f"{path}: no image of split {split!r}; known splits are {', '.join(SPLITS)}")
    return chosen


def _record(manifest: Path, row_number: int, row: dict[str, str]) -> ImageRecord:
    where = f"{manifest}, row {row_number}"
    if row["label"] not in LABELS:
        raise ManifestError(f"{where}: label {row['label']!r} is not one of {', '.join(LABELS)}")
    if row["split"] not in SPLITS:
        raise ManifestError(f"{where}: split {row['split']!r} is not one of {', '.join(SPLITS)}")
    image, mask = manifest.parent / row["file"], row.get("mask_file") or ""
    for file in (image, manifest.parent / mask if mask else image):
        if not file.is_file():
            raise ManifestError(f"{where}: {file} does not exist; restore the file or remove the row")
    try:
        boxes = tuple(
            (float(a), float(b), float(c), float(d)) for a, b, c, d in json.loads(row.get("boxes_xyxy") or "[]")
        )
    except (TypeError, ValueError) as error:
        raise ManifestError(f"{where}: boxes_xyxy is not a JSON list of [left, top, right, bottom]") from error
    group = row.get("group_id") or row["file"]
    return ImageRecord(
        path=image,
        split=row["split"],
        label=LABELS[row["label"]],
        group=group,
        study=row.get("study_id") or row["file"],
        body_part=row.get("body_part") or "",
        view=row.get("view") or "",
        hardware=row.get("hardware") == "1",
        mask=manifest.parent / mask if mask else None,
        boxes=boxes,
    )


def _check_groups(path: Path, records: list[ImageRecord]) -> None:
    split_of: dict[str, str] = {}
    for record in records:
        if split_of.setdefault(record.group, record.split) != record.split:
            raise ManifestError(
                f"{path}: group {record.group} is in splits {split_of[record.group]} and {record.split}; "
                "a patient belongs to one split only"
            )
