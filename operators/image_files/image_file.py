"""A PNG, JPEG, DICOM or NIfTI file -> a radiograph and the grid of its pixels in space.

Files that the application would decline are declined here for the same reasons; DICOM is read by the application's own
functions. Rows and columns are those of the file: an orientation in EXIF is ignored, as ITK and the training ignore it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset

from operators.image_files.grid import PNG, grid_of, grid_of_nifti, jpeg_spacing, png_spacing
from operators.reading.decoder import Decoder
from operators.reading.dicom_file import NotDicomError
from operators.reading.radiographs import radiograph_of, read_radiograph
from operators.reading.study_index import source_image
from operators.records.errors import ImageError, InvalidDicomError, UnsupportedImageError
from operators.records.images import Radiograph
from operators.records.reasons import DeclinedReason, FailedReason
from operators.records.rules import Scope
from operators.records.sources import ExcludedImage, SourceFile, SourceImage

Array = NDArray[np.float32]
SUFFIX = re.compile(r"\.(png|jpe?g|dcm|dicom|nii|nii\.gz)$", re.IGNORECASE)
JPEG = b"\xff\xd8\xff"
NIFTI_SUFFIXES = (".nii", ".nii.gz")
NOT_DICOM = "an image that is not DICOM"  # stands for the SOP Instance UID in the log; a file name could hold a name


@dataclass(frozen=True, slots=True, eq=False)
class ImageFile:
    """A radiograph that was read from a file; ``grid`` is a NIfTI header of the image's geometry and nothing else."""

    radiograph: Radiograph
    grid: nibabel.Nifti1Header

    @property
    def source(self) -> SourceImage:
        """The image that it is about."""
        return self.radiograph.source

    def to_nifti(self, values: NDArray[Any], description: str) -> nibabel.Nifti1Image:
        """Return values of the pixels, (rows, columns), as a NIfTI image that lies on top of the file's image.

        Parameters
        ----------
        values
            Their dtype becomes the image's.
        description
            Header field ``descrip``; what exceeds its 79 characters is cut.
        """
        header = self.grid.copy()
        header.set_data_dtype(values.dtype)
        header["descrip"] = description.encode("ascii", "replace")[:79]
        return nibabel.Nifti1Image(values.T.reshape(header.get_data_shape()), header.get_best_affine(), header)


@dataclass(frozen=True, slots=True, eq=False)
class IgnoredFile(ExcludedImage):
    """A file of a folder that holds no image, such as a text or a report: it is counted, and otherwise passed over."""


class NoImageError(InvalidDicomError):
    """The file is of no kind that holds an image."""


class ImageReader:
    """Transform of a MONAI data set: read an item's ``file``, a ``SourceFile``, as its ``image``.

    ``image`` is an ``ImageFile``, or an ``ExcludedImage`` if the application would decline it or it cannot be read.
    As in the application, the second of two files with the same SOP Instance UID is declined, and a file that holds no
    image is an ``IgnoredFile``; but it is a failure if ``item["named"]``, the user, asked for this very file.
    """

    def __init__(self, scope: Scope, decoder: Decoder) -> None:
        self.scope = scope
        self.decoder = decoder
        self._name_of: dict[str, str] = {}

    def __call__(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Return a new item."""
        file: SourceFile = item["file"]
        try:
            image: ImageFile | ExcludedImage = read_image(file, self.scope, self.decoder)
            self._check_duplicate(image.source)
        except NoImageError as error:
            kind = ExcludedImage if item.get("named", True) else IgnoredFile
            image = kind(file, *error.outcome)
        except ImageError as error:
            image = ExcludedImage(file, *error.outcome)
        return {**item, "image": image}

    def _check_duplicate(self, source: Any) -> None:
        uid, name = source.sop_instance_uid, source.file.name
        if uid != NOT_DICOM and self._name_of.setdefault(uid, name) != name:
            raise UnsupportedImageError(
                DeclinedReason.DUPLICATE_INSTANCE, "another file of this run has the same SOP Instance UID"
            )


def read_image(file: SourceFile, scope: Scope, decoder: Decoder) -> ImageFile:
    """Read one file; its first bytes say what it is, NIfTI is told by its suffix.

    Pixels become float32 [0, 1]: of PNG and JPEG by their bit depth (colour becomes grey), of DICOM as the application
    renders it, of NIfTI by the range of the image's own values.

    Raises
    ------
    ImageError
        If there is no picture to analyse; the reason is coded, the text names no file.
    """
    try:
        with file.path.open("rb") as stream:
            start = stream.read(len(PNG))
    except OSError as error:
        raise InvalidDicomError(
            FailedReason.UNREADABLE_FILE,
            f"the file cannot be opened ({error.strerror}); correct its name or its rights",
        ) from error
    if start.startswith((PNG, JPEG)):
        return _read_picture(file, scope)
    if file.path.name.lower().endswith(NIFTI_SUFFIXES):
        return _read_nifti(file, scope)
    return _read_dicom(file, scope, decoder)


def _read_dicom(file: SourceFile, scope: Scope, decoder: Decoder) -> ImageFile:
    try:
        reply = decoder.header(file.path)
    except NotDicomError as error:
        fault = InvalidDicomError if SUFFIX.search(file.path.name) else NoImageError  # a damaged image is told
        raise fault(
            FailedReason.UNREADABLE_FILE, "neither PNG, JPEG, DICOM nor NIfTI; remove the file or convert it"
        ) from error
    if reply.ignored is not None:
        raise NoImageError(FailedReason.UNREADABLE_FILE, "a DICOM object that is no image; remove the file")
    if reply.problem is not None:
        raise reply.problem
    source = source_image(file, reply)
    radiograph = read_radiograph(source, scope, decoder)
    row_spacing, column_spacing = source.imager_pixel_spacing_mm or (1.0, 1.0)
    rows, columns = radiograph.pixels.shape
    return ImageFile(radiograph, grid_of(columns, rows, (column_spacing, row_spacing)))


def _read_picture(file: SourceFile, scope: Scope) -> ImageFile:
    try:
        with Image.open(file.path, formats=("PNG", "JPEG")) as image:
            _check_size(image.width, image.height, scope)
            spacing = jpeg_spacing(image.info) if image.format == "JPEG" else png_spacing(file.path)
            deep = image.mode.startswith("I")
            pixels = np.asarray(image if deep else image.convert("L"), np.float32) / (65535.0 if deep else 255.0)
    except Image.DecompressionBombError as error:
        raise UnsupportedImageError(DeclinedReason.TOO_LARGE, "more pixels than any radiograph has") from error
    except ImageError:
        raise
    except Exception as error:  # noqa: BLE001 - a damaged file raises a dozen kinds
        raise _corrupt(error) from error
    return _not_dicom(file, pixels, grid_of(pixels.shape[1], pixels.shape[0], spacing), scope)


def _read_nifti(file: SourceFile, scope: Scope) -> ImageFile:
    """Read a NIfTI image of one slice: its first axis longer than 1 is i, the columns, its second j, the rows."""
    try:
        image = nibabel.load(file.path)
        if image.get_data_dtype().kind not in "iuf":
            raise UnsupportedImageError(DeclinedReason.COLOUR, "not a grey-scale image")
        sides = [side for side in image.shape if side != 1]
        if len(sides) != 2:
            raise UnsupportedImageError(DeclinedReason.MULTI_FRAME, "not one slice; give an image of two dimensions")
        columns, rows = sides
        _check_size(columns, rows, scope)
        values = np.asarray(image.dataobj, np.float64).reshape(columns, rows).T
        grid = grid_of_nifti(image)
    except ImageError:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        raise _corrupt(error) from error
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():  # one value that is not a number makes both so
        raise InvalidDicomError(FailedReason.PIXEL_DATA_CORRUPT, "values that are not numbers; write the image again")
    pixels = np.ascontiguousarray((values - low) / max(high - low, 1e-300), np.float32)
    return _not_dicom(file, pixels, grid, scope)


def _not_dicom(file: SourceFile, pixels: Array, grid: nibabel.Nifti1Header, scope: Scope) -> ImageFile:
    """Return an image without a DICOM header; raise UnsupportedImageError if it is blank."""
    if np.ptp(pixels) == 0:
        raise UnsupportedImageError(DeclinedReason.IMAGE_QUALITY, "a blank image: all pixels are equal")
    source = SourceImage(file, Dataset(), NOT_DICOM, None, None, None, None, has_pixel_data=True)
    return ImageFile(radiograph_of(source, pixels, scope), grid)


def _check_size(columns: int, rows: int, scope: Scope) -> None:
    """Raise UnsupportedImageError for a size that the application declines in DICOM."""
    if min(columns, rows) < scope.smallest_side:
        raise UnsupportedImageError(
            DeclinedReason.TOO_SMALL, f"{columns} x {rows} pixels; the least is {scope.smallest_side} a side"
        )
    if columns * rows > scope.largest_area:
        raise UnsupportedImageError(
            DeclinedReason.TOO_LARGE, f"{columns} x {rows} pixels; the most is {scope.largest_area} in all"
        )


def _corrupt(error: Exception) -> ImageError:
    detail = f"the image cannot be decoded ({type(error).__name__}); export it again"
    return InvalidDicomError(FailedReason.PIXEL_DATA_CORRUPT, detail)
