"""Where results are written: every file and folder name is chosen here, none comes from a DICOM string."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import Dataset

from operators.encoding.object_kinds import KIND_OF_NAME
from operators.records.sources import ExcludedImage
from operators.records.study import ReportedStudy
from operators.reporting.leftovers import hold, remove_leftovers
from operators.reporting.spool import PREFIX
from operators.reporting.summaries import StudySummary, WrittenObject, summarise

RESULT = "result.json"
REPORT = "report.html"
LIST = "result.csv"
RUN_FILES = (RESULT, REPORT, LIST)  # beside the folders of the studies


def study_folder(study_instance_uid: str) -> str:
    """Return the name of a study's folder: the first 16 hexadecimal digits of the UID's sha256."""
    return hashlib.sha256(study_instance_uid.encode()).hexdigest()[:16]


def write_study(reported: ReportedStudy, output: Path) -> StudySummary:
    """Write the objects of a study, the report last, and return what was written; if one cannot be, none is left."""
    try:
        return _write_study(reported, output)
    except BaseException:
        if reported.study.study_instance_uid is not None:
            remove_objects(output / study_folder(reported.study.study_instance_uid))
        raise


def _write_study(reported: ReportedStudy, output: Path) -> StudySummary:
    study_uid = reported.study.study_instance_uid
    folder = None if study_uid is None else study_folder(study_uid)
    written: list[WrittenObject] = []
    images = []
    for number, image in enumerate(reported.study.images, start=1):
        objects = {} if isinstance(image, ExcludedImage) else image.objects
        of_image = [
            _write_object(ds, output, f"{folder}/{KIND_OF_NAME[kind].file_name(number)}")
            for kind, ds in objects.items()
        ]
        written += of_image
        images.append(summarise(image, tuple(item.file for item in of_image)))
    written[:0] = [
        _write_object(ds, output, f"{folder}/{KIND_OF_NAME[kind].file_name()}") for kind, ds in reported.objects.items()
    ]
    if folder is not None:
        remove_objects(output / folder, kept={output / item.file for item in written})
    return StudySummary(
        study_uid,
        folder if written else None,
        reported.outcome.state,
        reported.outcome.probability,
        tuple(written),
        tuple(images),
    )


def remove_objects(folder: Path, kept: Collection[Path] = ()) -> None:
    """Remove from a study's folder what this run did not write: another run's objects, or half a study's."""
    stale = {path for kind in KIND_OF_NAME.values() for path in folder.glob(kind.file_pattern)} - set(kept)
    for path in stale:
        path.unlink()
    if stale and not any(folder.iterdir()):
        folder.rmdir()


def _write_object(ds: Dataset, output: Path, name: str) -> WrittenObject:
    write_atomically(output / name, lambda file: ds.save_as(file, enforce_file_format=True))
    return WrittenObject(name, str(ds.SOPClassUID), str(ds.SOPInstanceUID))


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file under a temporary name, sync it and rename it: a reader sees all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            hold(file.fileno())
            write(file)
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_unfinished(output: Path) -> None:
    """Remove from an output folder what a run that was killed left unfinished; no other file is touched."""
    names = [f".{name}.*.tmp" for name in RUN_FILES]
    of_studies = [f"{'[0-9a-f]' * 16}/.{kind.file_pattern}.*.tmp" for kind in KIND_OF_NAME.values()]
    for pattern in (*names, *of_studies, f"{PREFIX}*"):
        remove_leftovers(output.glob(pattern))
