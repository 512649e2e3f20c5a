"""A file, its header, and an image before its pixels are read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import Dataset

from operators.records.errors import ImageError
from operators.records.reasons import Reason
from operators.records.states import State

_PIECE = 2**20  # bytes of two files that are compared at a time


@dataclass(frozen=True, slots=True, eq=False)
class SourceFile:
    """A file of the input.

    Parameters
    ----------
    path
        Where the file lies; of a file in memory only its name.
    name
        Its path relative to the input folder, by which results and the log name it.
    content
        The bytes of a file in memory; None: they are read from ``path``.
    problem
        Why it cannot be read, in one line, if listing the folder has told already; it may stand for a whole folder.
    picture
        Whether it is a PNG or JPEG picture, which is analysed as the Secondary Capture that it is wrapped in.
    """

    path: Path
    name: str
    content: bytes | None = None
    problem: str | None = None
    picture: bool = False

    def __str__(self) -> str:
        return printable(self.name)

    @property
    def data(self) -> Path | bytes:
        """What the decoder reads: the path, or the bytes of a file in memory."""
        return self.path if self.content is None else self.content

    def equals(self, other: SourceFile) -> bool:
        """Say whether two files have the same bytes; not if one of them cannot be read."""
        try:
            with self._open() as one, other._open() as another:
                while (piece := one.read(_PIECE)) == another.read(_PIECE):
                    if not piece:
                        return True
        except OSError:
            pass  # it is told when its pixels are read
        return False

    def _open(self) -> BinaryIO:
        return self.path.open("rb") if self.content is None else BytesIO(self.content)


class Ignored(StrEnum):
    """Why a DICOM object or a picture is counted and otherwise passed over."""

    OWN_OBJECT = "own_objects"  # a report about it would make the next one, without an end
    NO_IMAGE = "non_images"  # it says nothing of an image to analyse
    PICTURE = "pictures"  # PNG or JPEG beside DICOM files: a preview of one of them, most likely


@dataclass(frozen=True, slots=True, eq=False)
class HeaderReply:
    """What reading a header gives.

    ``header`` is the normalised copy (``dicom_source``), ``problem`` what is wrong with its identity,
    ``changes`` what was changed in the copy, by tag, ``sha256`` of the copy, ``ignored`` why the object is passed over,
    None: it is not.
    """

    header: Dataset
    has_pixel_data: bool
    problem: ImageError | None
    changes: tuple[str, ...]
    sha256: str
    ignored: Ignored | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SourceImage:
    """A DICOM image whose header is read and whose pixels are not.

    ``header`` is the normalised copy (``dicom_source``); ``body_part`` is a defined term of PS3.16 Annex L, or None
    if the header names none; ``imager_pixel_spacing_mm`` is (row, column) at the detector plane, or None;
    ``changes`` says what the source has and the copy has not, or otherwise: tag, keyword, emptied or rewritten;
    ``header_sha256`` is of the copy, as hexadecimal: by it the file is known again when its pixels are read.
    """

    file: SourceFile
    header: Dataset
    sop_instance_uid: str
    body_part: str | None
    view_position: str | None
    laterality: str | None
    imager_pixel_spacing_mm: tuple[float, float] | None
    has_pixel_data: bool
    changes: tuple[str, ...] = ()
    header_sha256: str = ""

    def was_emptied(self, keyword: str) -> bool:
        """Say whether the header has a value of an attribute that is not valid and so counts as absent."""
        return any(change.split()[-2:] == [keyword, "emptied"] for change in self.changes)

    @property
    def states_orientation(self) -> bool:
        """Whether the header says how the picture stands (Patient Orientation)."""
        return bool(self.header.get("PatientOrientation"))

    def __str__(self) -> str:
        return str(self.file)

    @property
    def source(self) -> SourceImage:
        """Return itself: every record on a wire knows its source image."""
        return self


@dataclass(frozen=True, slots=True, eq=False)
class ExcludedImage:
    """An image that will not be analysed: ``state`` is declined or failed, ``reason`` one of ``reasons``."""

    source: SourceImage | SourceFile
    state: State
    reason: Reason
    detail: str


def printable(name: str) -> str:
    """Return the name of a file on one line: what a terminal or a log would not show as it is stands as an escape."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name)


def contradictions(one: Dataset, other: Dataset) -> list[str]:
    """Return in what two normalised headers of one instance contradict each other: patient, study, series.

    A missing Patient ID or issuer contradicts none.
    """

    def differ(keyword: str) -> bool:
        values = {str(header.get(keyword) or "") for header in (one, other)}
        return len(values - {""}) > 1

    found = {
        "patient": differ("PatientID") or differ("IssuerOfPatientID"),
        "study": differ("StudyInstanceUID"),
        "series": differ("SeriesInstanceUID"),
    }
    return [what for what, differs in found.items() if differs]
