"""MURA v1.1 as it is distributed -> image records.

Four lists without a header: ``train_image_paths.csv`` and ``valid_image_paths.csv`` name the images,
``MURA-v1.1/train/XR_WRIST/patient00006/study1_positive/image1.png``; ``train_labeled_studies.csv`` and
``valid_labeled_studies.csv`` give a label to each study's folder. All images of a study have its label: the radiologist
read the study, not the image.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.datasets.manifest import ImageRecord, ManifestError
from training.datasets.splits import hold_out

# What the label 1 says: the radiologist called the study abnormal, for fractures, hardware, joint disease or a lesion.
FINDING = {"code": "C9440", "scheme": "NCIt", "meaning": "Abnormality"}
LISTS = tuple(f"{part}_{kind}.csv" for part in ("train", "valid") for kind in ("image_paths", "labeled_studies"))
PARTS = ("XR_ELBOW", "XR_FINGER", "XR_FOREARM", "XR_HAND", "XR_HUMERUS", "XR_SHOULDER", "XR_WRIST")
PROTOCOLS = ("official", "paper")
_IMAGE = re.compile(
    r"(?P<study>[^/]+/(?P<set>train|valid)/(?P<part>XR_[A-Z]+)/(?P<patient>patient\d+)/study\d+_(?P<sign>positive|negative))"
    r"/[^/]+"
)


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of a list of images; ``path`` is relative to the folder that holds the lists."""

    row: int
    path: Path
    study: str
    patient: str
    part: str
    label: int


def find_mura(folder: Path) -> Path | None:
    """Return the folder that holds MURA's lists: this one or ``MURA-v1.1`` in it."""
    return next((place for place in (folder, folder / "MURA-v1.1") if (place / LISTS[0]).is_file()), None)


def list_mura(folder: Path, protocol: str = "official") -> list[ImageRecord]:
    """Return what the lists in ``folder`` name; no image is opened.

    Parameters
    ----------
    protocol
        ``official``: the published validation set is ``test`` and a tenth of the training patients ``val``; ``paper``:
        a fifth of the training patients is ``test``, a tenth of the others ``val``, the validation set is not used.

    Raises
    ------
    ManifestError
        If a list is absent or contradicts itself or another, or a patient is in both sets.

    Notes
    -----
    MURA's own test set was never published; numbers on ``valid`` are not those of its leaderboard. A patient keeps
    the split whichever body parts are read later.
    """
    if protocol not in PROTOCOLS:
        raise ManifestError(f"{folder}: protocol {protocol!r} is not one of {', '.join(PROTOCOLS)}")
    for name in LISTS:
        if not (folder / name).is_file():
            raise ManifestError(f"{folder / name}: no such file; restore MURA's four lists from the archive")
    train, valid = (_read_lines(folder, part) for part in ("train", "valid"))
    _check_patients(folder, train, valid)
    val, test = _split_patients(train, protocol)
    splits = {line.patient: "train" for line in train} | dict.fromkeys(val, "val") | dict.fromkeys(test, "test")
    if protocol == "official":
        splits |= {line.patient: "test" for line in valid}
    lines = [*train, *valid] if protocol == "official" else train
    return [
        ImageRecord(
            path=folder / line.path,
            split=splits[line.patient],
            label=line.label,
            group=line.patient,
            study=line.study,
            body_part=line.part,
            row=line.row,
        )
        for line in lines
    ]


def _read_lines(folder: Path, part: str) -> list[_Line]:
    """Read the images of the training or the validation set and give each its study's label."""
    labels = _read_labels(folder / f"{part}_labeled_studies.csv")
    paths = folder / f"{part}_image_paths.csv"
    rows: dict[str, int] = {}
    lines = []
    for row, cells in _read_cells(paths):
        where = f"{paths}, row {row}"
        if rows.setdefault(cells[0], row) != row:
            raise ManifestError(f"{where}: {cells[0]} stands in row {rows[cells[0]]} as well; remove one of the two")
        lines.append(_line(row, cells[0], part, labels, where))
    if not lines:
        raise ManifestError(f"{paths}: the list is empty; restore it from the archive")
    return lines


def _line(row: int, text: str, part: str, labels: Mapping[str, int], where: str) -> _Line:
    match = _IMAGE.fullmatch(text)
    if match is None or match["set"] != part:
        raise ManifestError(
            f"{where}: {text!r} is not MURA-v1.1/{part}/XR_.../patient.../study..._positive or _negative/image; "
            "restore the list from the archive"
        )
    if match["part"] not in PARTS:
        raise ManifestError(f"{where}: body part {match['part']} is not one of {', '.join(PARTS)}")
    label = labels.get(match["study"])
    if label is None:
        raise ManifestError(f"{where}: study {match['study']} is not in {part}_labeled_studies.csv; add its label")
    if label != (match["sign"] == "positive"):
        raise ManifestError(
            f"{where}: the folder says {match['sign']}, {part}_labeled_studies.csv says {label}; correct one of the two"
        )
    # The archive's first folder is left out: users rename it.
    return _Line(row, Path(*text.split("/")[1:]), match["study"], match["patient"], match["part"], label)


def _read_labels(path: Path) -> dict[str, int]:
    """Return study folder, without the closing slash -> 1 for positive."""
    labels: dict[str, int] = {}
    for row, cells in _read_cells(path):
        if len(cells) != 2 or cells[1] not in ("0", "1"):
            raise ManifestError(f"{path}, row {row}: not a study's folder and 0 or 1; correct the label")
        study = cells[0].rstrip("/")
        if labels.setdefault(study, int(cells[1])) != int(cells[1]):
            raise ManifestError(f"{path}, row {row}: study {study} has both labels; remove the wrong one")
    return labels


def _read_cells(path: Path) -> list[tuple[int, list[str]]]:
    """Return (line, cells) of a list without a header; empty lines are left out."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            return [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(cells)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{path}: not a CSV file in UTF-8 ({error}); restore it from the archive") from error


def _check_patients(folder: Path, train: Sequence[_Line], valid: Sequence[_Line]) -> None:
    row_in_train = {line.patient: line.row for line in train}
    for line in valid:
        if line.patient in row_in_train:
            raise ManifestError(
                f"{folder / 'valid_image_paths.csv'}, row {line.row}: {line.patient} is in row "
                f"{row_in_train[line.patient]} of train_image_paths.csv as well; a patient belongs to one set only"
            )


def _split_patients(train: Sequence[_Line], protocol: str) -> tuple[set[str], set[str]]:
    """Return which of the training patients go to ``val`` and to ``test``."""
    parts: dict[str, set[str]] = {}
    for line in train:
        parts.setdefault(line.patient, set()).add(line.part)
    positive = {line.patient for line in train if line.label}
    strata = {patient: " ".join([str(patient in positive), *sorted(parts[patient])]) for patient in parts}
    test = hold_out(strata, 0.2, "MURA paper test") if protocol == "paper" else set()
    rest = {patient: stratum for patient, stratum in strata.items() if patient not in test}
    return hold_out(rest, 0.1, f"MURA {protocol} val"), test
