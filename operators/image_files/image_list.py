"""A folder, one image or a CSV -> the images that a bundle's inference takes, each with a safe name for its results."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import Any, TypeAlias

from operators.image_files.errors import ImageFilesError
from operators.image_files.image_file import SUFFIX
from operators.reading.folder import list_files
from operators.records.geometry import PixelBox
from operators.records.sources import SourceFile

BOXES = "boxes_xyxy"
MOST_BOXES = 255  # labels of a uint8 image
LONGEST_NAME = 120
UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")

Listed: TypeAlias = tuple[SourceFile, tuple[PixelBox, ...]]


def list_images(dataset_dir: str, output_dir: str, prompted: bool = False) -> list[dict[str, Any]]:
    """Return one item per image: its ``file``, a safe and unique ``name``, its ``boxes``.

    ``named`` says whether the user named the file itself, rather than a folder that holds it.

    Parameters
    ----------
    dataset_dir
        A folder, of which every file is taken, subfolders too; one file; or a CSV with a column ``file``, relative to
        the CSV. Other columns are ignored.
    output_dir
        Left out where it lies in the folder.
    prompted
        The CSV must also have a column ``boxes_xyxy``: a JSON list of [left, top, right, bottom], pixels.

    Raises
    ------
    ImageFilesError
        If there is nothing to read or the CSV cannot be used; the text names file, row and remedy. MONAI wraps any
        other exception of a configuration in a long traceback.
    """
    source, output = Path(str(dataset_dir)), Path(str(output_dir))
    if not source.exists():
        raise ImageFilesError(f"{source}: no such file or folder; check --dataset_dir")
    if source.resolve() == output.resolve():
        raise ImageFilesError(f"{output}: the output folder is the input folder; name another with --output_dir")
    if source.suffix.lower() == ".csv":
        listed = list(_read_csv(source, prompted))
    elif prompted:
        raise ImageFilesError(
            f"{source}: this bundle needs boxes; give --dataset_dir a CSV with columns file and {BOXES}"
        )
    else:
        listed = [(file, ()) for file in list_files(source.resolve(), left_out=output.resolve())]
    if not listed:
        raise ImageFilesError(f"{source}: names no image; check --dataset_dir")
    names = safe_names(_short_name(file.name) for file, _ in listed)
    named = not source.is_dir()
    return [
        {"file": file, "name": name, "boxes": boxes, "named": named}
        for (file, boxes), name in zip(listed, names, strict=True)
    ]


def _short_name(name: str) -> str:
    """Return a file's path, or its last part where the path tells of folders outside the data set."""
    path = PurePath(name)
    return path.name if path.is_absolute() or ".." in path.parts else name


def _read_csv(path: Path, prompted: bool) -> Iterator[Listed]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            columns = set(reader.fieldnames or ())
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ImageFilesError(f"{path}: not a readable CSV file ({type(error).__name__}); write it as UTF-8") from error
    missing = {"file", BOXES if prompted else "file"} - columns
    if missing:
        why = f"; this bundle outlines what the boxes of {BOXES} hold" if BOXES in missing else ""
        raise ImageFilesError(f"{path}: column {', '.join(sorted(missing))} is missing; add it to the header line{why}")
    for number, row in rows:
        where = f"{path}, row {number}"
        if not row["file"]:
            raise ImageFilesError(f"{where}: file is empty; name an image or remove the row")
        boxes = read_boxes(row[BOXES] or "[]", where) if prompted else ()
        yield SourceFile(path.parent / row["file"], row["file"]), boxes


def read_boxes(text: str, where: str) -> tuple[PixelBox, ...]:
    """Return the smallest pixel boxes that hold the boxes of a CSV's cell.

    Raises
    ------
    ImageFilesError
        If the cell is no list of boxes; the text begins with ``where``.
    """
    try:
        boxes = tuple(
            PixelBox(math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom))
            for left, top, right, bottom in json.loads(text)
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise ImageFilesError(f"{where}: {BOXES} is no JSON list of [left, top, right, bottom]; correct it") from error
    if len(boxes) > MOST_BOXES:
        raise ImageFilesError(f"{where}: {len(boxes)} boxes; the most is {MOST_BOXES}, make two rows of it")
    return boxes


def safe_names(names: Iterable[str]) -> list[str]:
    """Return names for output files, of letters, digits, - and _ only; no two are the same, whatever their case."""
    taken: set[str] = set()
    safe = []
    for name in names:
        base = UNSAFE.sub("-", SUFFIX.sub("", name)).strip("-")[-LONGEST_NAME:] or "image"
        candidate, count = base, 1
        while candidate.lower() in taken:
            count += 1
            candidate = f"{base}_{count}"
        taken.add(candidate.lower())
        safe.append(candidate)
    return safe
