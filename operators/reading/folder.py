"""Input folder -> studies, header first, one study at a time, so that memory stays flat however large the folder is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from operators.reading.scope import body_part, imager_pixel_spacing_mm, laterality
from operators.records.errors import ImageError
from operators.records.reasons import DeclinedReason, FailedReason
from operators.records.sources import ExcludedImage, HeaderReply, SourceFile, SourceImage
from operators.records.study import Study

logger = logging.getLogger(__name__)


# What reads a header, as ``decoding.Decoder.header`` does; None for a file that is not DICOM.
HeaderReader: TypeAlias = Callable[[Path], HeaderReply | None]


@dataclass(frozen=True, slots=True, order=True)
class _Entry:
    """A DICOM file of the index; its order is that of the images in ``result.json``."""

    series_number: int
    instance_number: int
    name: str
    path: Path = field(compare=False)
    problem: tuple[str, str, str] | None = field(compare=False, default=None)


@dataclass(frozen=True, slots=True, eq=False)
class FolderIndex:
    """What a folder holds: the DICOM files of each study, and how many files are not DICOM."""

    studies: dict[str | None, list[_Entry]]
    ignored_files: int


def list_files(root: Path, left_out: Path | None = None) -> Iterator[SourceFile]:
    """Yield the files below a folder by name, or the one file; a folder ``left_out`` inside it is skipped."""
    if root.is_file():
        yield SourceFile(root, root.name)
        return
    if left_out is not None and not left_out.is_relative_to(root):
        left_out = None  # a folder above holds all of them
    for path in sorted(root.rglob("*")):
        if path.is_file() and not (left_out is not None and path.is_relative_to(left_out)):
            yield SourceFile(path, path.relative_to(root).as_posix())


def index_files(files: Iterable[SourceFile], read_header: HeaderReader) -> FolderIndex:
    """Sort files into studies by reading their headers once.

    A file that cannot be read, or does not say who it is, is kept with its problem; the second file of a SOP Instance
    UID is a duplicate. Files that are not DICOM are only counted.
    """
    studies: dict[str | None, list[_Entry]] = {}
    seen: set[str] = set()
    ignored = 0
    for number, file in enumerate(files, start=1):
        study_uid: str | None = None
        series_number = instance_number = 0
        problem: tuple[str, str, str] | None = None
        try:
            read = read_header(file.path)
        except ImageError as error:
            problem = (error.state, str(error.reason), error.detail)
        else:
            if read is None:
                ignored += 1
                continue
            header, wrong = read.header, read.problem
            study_uid = str(header.get("StudyInstanceUID") or "") or None
            series_number, instance_number = (int(header.get(key) or 0) for key in ("SeriesNumber", "InstanceNumber"))
            if read.changes:  # by tag, never by value
                logger.warning("file %d (see result.json): changed in the header: %s", number, ", ".join(read.changes))
            if wrong is not None:
                problem = (wrong.state, str(wrong.reason), wrong.detail)
            elif header.SOPInstanceUID in seen:
                problem = (
                    "declined",
                    DeclinedReason.DUPLICATE_INSTANCE,
                    "another file of this run has the same SOP Instance UID",
                )
            else:
                seen.add(str(header.SOPInstanceUID))
        if problem is not None:
            level = logging.INFO if problem[0] == "declined" else logging.WARNING
            logger.log(level, "file %d (see result.json): %s, %s: %s", number, *problem)
        studies.setdefault(study_uid, []).append(_Entry(series_number, instance_number, file.name, file.path, problem))
    return FolderIndex(studies, ignored)


def read_studies(index: FolderIndex, read_header: HeaderReader) -> Iterator[Study[SourceImage]]:
    """Yield the studies of an index in the order of their first file, reading the headers of one study at a time."""
    for study_uid, entries in index.studies.items():
        images = tuple(_read(entry, read_header) for entry in sorted(entries))
        yield Study(study_uid, images if study_uid is None else _of_one_patient(study_uid, images))


def _of_one_patient(
    study_uid: str, images: tuple[SourceImage | ExcludedImage, ...]
) -> tuple[SourceImage | ExcludedImage, ...]:
    """Return the images of a study; if they name different patients, none is analysed: no report could be right.

    A missing Patient ID contradicts none.
    """
    sources = [image.source for image in images]
    named = {str(source.header.get("PatientID") or "") for source in sources if isinstance(source, SourceImage)}
    if len(named - {""}) <= 1:
        return images
    detail = "the files of this study name different patients; correct Patient ID or Study Instance UID at the source"
    logger.error("study %s: failed, %s: %s", study_uid, FailedReason.HEADER_INVALID, detail)
    files = (source.file if isinstance(source, SourceImage) else source for source in sources)
    return tuple(ExcludedImage(file, "failed", str(FailedReason.HEADER_INVALID), detail) for file in files)


def _read(entry: _Entry, read_header: HeaderReader) -> SourceImage | ExcludedImage:
    file = SourceFile(entry.path, entry.name)
    if entry.problem is not None and entry.problem[1] != DeclinedReason.DUPLICATE_INSTANCE:
        return ExcludedImage(file, *entry.problem)
    try:
        read = read_header(entry.path)
    except ImageError as error:
        return ExcludedImage(file, error.state, str(error.reason), error.detail)
    if read is None:
        return ExcludedImage(file, "failed", "unreadable_file", "the file changed during the run")
    header = read.header
    image = SourceImage(
        file=file,
        header=header,
        sop_instance_uid=str(header.SOPInstanceUID),
        body_part=body_part(header),
        view_position=str(header.get("ViewPosition") or "") or None,
        laterality=laterality(header),
        imager_pixel_spacing_mm=imager_pixel_spacing_mm(header),
        has_pixel_data=read.has_pixel_data,
    )
    return image if entry.problem is None else ExcludedImage(image, *entry.problem)
