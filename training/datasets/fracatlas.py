"""FracAtlas as it is distributed -> image records.

``dataset.csv`` describes the images in ``images/Fractured`` and ``images/Non_fractured``; ``Annotations/COCO JSON``
holds a box and a polygon for each fracture.

References
----------
Abedeen et al., FracAtlas, Scientific Data 10:521 (2023), doi:10.1038/s41597-023-02432-4.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from training.datasets.coco import draw_mask, read_annotations
from training.datasets.manifest import ImageRecord, ManifestError, Problem, Table, read_rows
from training.datasets.splits import hold_out

FINDING = {"code": "72704001", "scheme": "SCT", "meaning": "Fracture"}  # what the label 1 says
FOLDERS = ("Non_fractured", "Fractured")  # by label
BODY_PARTS = {
    "hand": "hand_wrist_forearm",
    "leg": "leg_knee_ankle_foot",
    "hip": "hip_pelvis",
    "shoulder": "shoulder_humerus",
}
VIEWS = ("frontal", "lateral", "oblique")
COLUMNS = ("image_id", *BODY_PARTS, "hardware", "fractured", *VIEWS)
_CHECKED_COLUMNS = (*BODY_PARTS, "hardware", "fractured", *VIEWS)


def find_fracatlas(folder: Path) -> Path | None:
    """Return the folder that holds FracAtlas's table and images: this one or ``FracAtlas`` in it."""
    places = (folder, folder / "FracAtlas")
    return next((p for p in places if (p / "dataset.csv").is_file() and (p / "images" / FOLDERS[1]).is_dir()), None)


def list_fracatlas(folder: Path, mask_dir: Path | None = None) -> Table:
    """Return what ``dataset.csv`` names, 70 % train, 15 % val, 15 % test.

    Parameters
    ----------
    mask_dir
        Where the polygons are drawn as PNG masks; None: the records have boxes and no masks.

    Raises
    ------
    ManifestError
        If a column is absent, a value is impossible, or an image lies in the folder of the other class.

    Notes
    -----
    FracAtlas names no patients, but numbers the views of one patient in sequence. A group is a run of images that
    share a body part, so it may hold several patients; and as the archive holds some images twice, far apart, runs
    with the same file are one group.
    """
    path = folder / "dataset.csv"
    rows = read_rows(path, COLUMNS)
    if not rows:
        raise ManifestError(f"{path}: the table is empty; restore it from the archive")
    records = _with_splits([_record(folder, number, row) for number, row in rows])
    annotations = read_annotations(folder / "Annotations")
    problems = _unlisted(folder, records)
    annotated = []
    for record in records:
        annotation = annotations.get(record.path.name)
        if annotation is None or not record.label:
            annotated.append(record)
        elif (size := _size(record.path)) not in (None, annotation.size):
            problems.append(
                Problem(record.path, f"has {size} pixels, its outline is for {annotation.size}", record.row)
            )
        else:
            mask = draw_mask(annotation, mask_dir / record.path.stem) if mask_dir else None
            annotated.append(replace(record, boxes=annotation.boxes, mask=mask))
    return Table(tuple(annotated), tuple(problems))


def _record(folder: Path, number: int, row: Mapping[str, str]) -> ImageRecord:
    where = f"{folder / 'dataset.csv'}, row {number}"
    for column in _CHECKED_COLUMNS:
        if row[column] not in ("0", "1"):
            raise ManifestError(f"{where}: {column} {row[column]!r} is neither 0 nor 1; correct it")
    label = int(row["fractured"])
    path, other = (
        folder / "images" / FOLDERS[label_of_folder] / row["image_id"] for label_of_folder in (label, 1 - label)
    )
    if other.is_file() and not path.is_file():
        raise ManifestError(f"{where}: fractured is {label}, but the image is in {other.parent.name}; move it")
    parts = [part for part in BODY_PARTS if row[part] == "1"]
    return ImageRecord(
        path=path,
        split="train",
        label=label,
        group="",
        study=path.stem,
        body_part=BODY_PARTS[parts[0]] if len(parts) == 1 else "mixed:" + "+".join(parts) if parts else "",
        view="+".join(view for view in VIEWS if row[view] == "1"),
        hardware=row["hardware"] == "1",
        row=number,
    )


def mask_folder(dataset_dir: str | Path) -> Path:
    """Return where the masks of a data set are drawn once, below the folder in which a command runs."""
    return Path("runs/masks") / Path(dataset_dir).resolve().name


def _with_splits(records: Sequence[ImageRecord]) -> list[ImageRecord]:
    """Give runs of neighbours that share a body part one group, and the groups their splits."""
    grouped: list[ImageRecord] = []
    before: set[str] = set()
    for record in sorted(records, key=lambda record: record.path.stem):
        parts = _regions(record.body_part)
        group = grouped[-1].group if grouped and parts & before else f"from {record.path.stem}"
        grouped.append(replace(record, group=group))
        before = parts
    leaders = _join_groups(grouped)
    grouped = [replace(record, group=leaders[record.group]) for record in grouped]
    strata: dict[str, str] = {}
    for record in grouped:
        strata[record.group] = max(strata.get(record.group, ""), str(record.label))
    test = hold_out(strata, 0.15, "FracAtlas test")
    rest = {group: stratum for group, stratum in strata.items() if group not in test}
    val = hold_out(rest, 0.15 / 0.85, "FracAtlas val")
    split = {group: "test" if group in test else "val" if group in val else "train" for group in strata}
    return sorted((replace(record, split=split[record.group]) for record in grouped), key=lambda record: record.row)


def _join_groups(records: Sequence[ImageRecord]) -> dict[str, str]:
    """Return group -> the group that it is joined to because they hold the same file, or itself."""
    leaders = {record.group: record.group for record in records}
    for same in _identical_files(records):
        joined = {leaders[record.group] for record in same}
        first = min(joined)
        leaders = {group: first if leader in joined else leader for group, leader in leaders.items()}
    return leaders


def _identical_files(records: Iterable[ImageRecord]) -> list[list[ImageRecord]]:
    """Return the sets of records whose files are equal; only files of equal length are read."""
    of_length: dict[int, list[ImageRecord]] = {}
    for record in records:
        if record.path.is_file():
            of_length.setdefault(record.path.stat().st_size, []).append(record)
    of_content: dict[str, list[ImageRecord]] = {}
    for length, candidates in of_length.items():
        for record in candidates if length and len(candidates) > 1 else ():
            digest = hashlib.blake2b(record.path.read_bytes()).hexdigest()
            of_content.setdefault(digest, []).append(record)
    return [same for same in of_content.values() if len(same) > 1]


def _regions(body_part: str) -> set[str]:
    """Return what two neighbours may share: body parts, and that both show several of them."""
    short = {name: part for part, name in BODY_PARTS.items()}
    return set(body_part.replace(":", "+").split("+")) if ":" in body_part else {short.get(body_part, "")}


def _unlisted(folder: Path, records: Sequence[ImageRecord]) -> list[Problem]:
    """Return the images on disk that the table does not name."""
    listed = {record.path for record in records}
    found = (path for name in FOLDERS for path in sorted((folder / "images" / name).glob("[!.]*")))
    return [Problem(path, "is not in dataset.csv") for path in found if path not in listed]


def _size(path: Path) -> tuple[int, int] | None:
    """Return (columns, rows) of an image, or None where its header cannot be read."""
    try:
        with Image.open(path) as image:
            return image.size
    except OSError:
        return None
