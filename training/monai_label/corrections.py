"""The labels that persons saved on a MONAI Label server -> a data set with a manifest.

A server keeps its images in a folder, the labels in ``labels/final`` below it, and lists both in ``datastore_v2.json``.
Labels of the models themselves lie in ``labels/original`` and are not read.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from operators.image_files import Decoder
from operators.image_files.image_file import ImageFile
from operators.image_files.image_list import safe_names
from training.datasets.errors import InputError
from training.datasets.manifest import ManifestError, Problem, Table, read_manifest
from training.datasets.splits import hold_out
from training.monai_label.models import open_image

DATASTORE = "datastore_v2.json"
FINAL = "final"  # the tag of a label that a person saved
VALIDATION_SHARE = 0.1
AS_IT_IS = (".png", ".jpg", ".jpeg")  # training reads these; other images are written as PNG
COLUMNS = ("file", "label", "split", "group_id", "study_id", "body_part", "view", "boxes_xyxy", "mask_file")


def write_data_set(studies: Path, output: Path, decoder: Decoder) -> Table:
    """Write every image that has a final label, its mask and ``manifest.csv``; return what was written.

    An empty label says that the image is normal. Every connected part of a label is a finding with a box. A tenth of
    the patients of each class are ``val``; images that are not DICOM are patients of their own.

    Raises
    ------
    ManifestError
        If the folder is none of MONAI Label's, or no label can be used.
    """
    rows, problems = [], []
    for sub in ("images", "masks"):
        (output / sub).mkdir(parents=True, exist_ok=True)
    entries = list(_final_labels(studies))
    names = safe_names(image.name for image, _ in entries)
    for (image, label), name in zip(entries, names, strict=True):
        try:
            rows.append(_write_image(image, label, name, output, decoder))
        except InputError as error:
            problems.append(Problem(image, str(error)))
    if not rows:
        reason = f"none of {len(entries)} can be used, the first: {problems[0].reason}" if problems else "there is none"
        raise ManifestError(f"{studies}: no label that a person saved: {reason}; save labels in a client first")
    abnormal = {row["group_id"] for row in rows if row["label"] == "abnormal"}
    strata = {row["group_id"]: str(row["group_id"] in abnormal) for row in rows}
    held_out = hold_out(strata, VALIDATION_SHARE, "monai_label")
    with (output / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows({**row, "split": "val" if row["group_id"] in held_out else "train"} for row in rows)
    return Table(tuple(read_manifest(output)), tuple(problems))


def _final_labels(studies: Path) -> Iterator[tuple[Path, Path]]:
    """Yield (image, label) as the server's list has them, by name."""
    path = studies / DATASTORE
    if not path.is_file():
        raise ManifestError(f"{path}: no such file; give the folder that MONAI Label's server was started with")
    try:
        content = json.loads(path.read_text("utf-8"))
        images, labels = studies / content["images_dir"], studies / content["labels_dir"] / FINAL
        for name, entry in sorted(content["objects"].items()):
            if FINAL in entry["labels"]:
                yield images / (name + entry["image"]["ext"]), labels / (name + entry["labels"][FINAL]["ext"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ManifestError(f"{path}: not a list of MONAI Label ({error!r}); restore it") from error


def _write_image(path: Path, label: Path, name: str, output: Path, decoder: Decoder) -> dict[str, Any]:
    """Write an image and its mask; return its row, but for the split."""
    image = open_image(path, decoder)
    parts = read_label(label, image)
    suffix = path.suffix.lower() if path.suffix.lower() in AS_IT_IS else ".png"
    file = output / "images" / f"{name}{suffix}"
    if suffix == path.suffix.lower():
        shutil.copyfile(path, file)
    else:
        Image.fromarray(np.round(image.radiograph.pixels * 65535).astype(np.uint16)).save(file)
    boxes = [[columns.start, rows.start, columns.stop, rows.stop] for rows, columns in ndimage.find_objects(parts)]
    mask = output / "masks" / f"{name}.png"
    if boxes:
        Image.fromarray(parts > 0).save(mask)
    return {
        "file": file.relative_to(output).as_posix(),
        "label": "abnormal" if boxes else "normal",
        "boxes_xyxy": json.dumps(boxes),
        "mask_file": mask.relative_to(output).as_posix() if boxes else "",
        **_described(image, name),
    }


def _described(image: ImageFile, name: str) -> Mapping[str, str]:
    """Return patient, study, body part and view; identifiers of a DICOM header are hashed."""
    source = image.source
    patient = [str(source.header.get(key) or "") for key in ("PatientID", "IssuerOfPatientID")]
    study = str(source.header.get("StudyInstanceUID") or "")
    return {
        "group_id": _hash(*patient) if patient[0] else name,
        "study_id": _hash(*patient, study) if study else name,
        "body_part": (source.body_part or "").lower(),
        "view": (source.view_position or "").lower(),
    }


def _hash(*values: str) -> str:
    return hashlib.sha256("\0".join(values).encode()).hexdigest()[:16]


def read_label(path: Path, image: ImageFile) -> NDArray[np.int32]:
    """Return the connected parts of a label, numbered from 1, in the pixels of its image, (rows, columns).

    A NIfTI label is laid on the image by where its voxels lie in space: a client may have saved a part of the image, or
    mirrored axes. Pixels that touch at a corner are connected; two labels that touch are two parts.

    Raises
    ------
    InputError
        If it cannot be read, or its pixels are not the image's.
    """
    try:
        values = _png_label(path) if path.suffix.lower() == ".png" else _nifti_label(path, image)
    except (OSError, ValueError, nibabel.filebasedimages.ImageFileError) as error:
        raise InputError(
            f"its label cannot be read ({type(error).__name__}); save it as NIfTI (.nii.gz) or PNG"
        ) from error
    shape = image.radiograph.pixels.shape
    if values.shape != shape:
        raise InputError(f"its label has {values.shape[::-1]} pixels and the image {shape[::-1]}; save it again")
    parts, count = np.zeros(shape, np.int32), 0
    for value in np.unique(values[values != 0]):
        found, number = ndimage.label(values == value, np.ones((3, 3)))
        parts[found > 0] = found[found > 0] + count
        count += number
    return parts


def _png_label(path: Path) -> NDArray[Any]:
    with Image.open(path, formats=("PNG",)) as picture:
        return np.asarray(picture if picture.mode in ("1", "P", "L", "I;16", "I") else picture.convert("L"))


def _nifti_label(path: Path, image: ImageFile) -> NDArray[Any]:
    """Return the label of every pixel of the image, (rows, columns); 0 where the label does not reach."""
    label = nibabel.load(path)
    values = np.asarray(label.dataobj)
    if values.ndim > 3 and max(values.shape[3:]) > 1:
        raise InputError("its label has more than one component; save it as a label map")
    columns, rows = (side for side in image.grid.get_data_shape() if side != 1)
    to_label = np.linalg.inv(label.affine) @ image.grid.get_best_affine()
    volume = values.reshape(*values.shape[:3], *(1,) * (3 - values.ndim))
    # grid-constant: a voxel reaches half a voxel from its centre, and the affines are only as exact as float32
    laid = ndimage.affine_transform(volume, to_label, output_shape=(columns, rows, 1), order=0, mode="grid-constant")
    return np.asarray(laid[..., 0].T)
