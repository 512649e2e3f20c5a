"""A PNG or JPEG file -> the header of its Secondary Capture, and its grey values.

Like ``dicom_file``, this code meets untrusted bytes and runs in the decoder's child process.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ExifTags import Base
from pydicom.dataset import Dataset
from pydicom.uid import JPEGBaseline8Bit

from operators.reading.bounded_file import has_preamble
from operators.reading.codestreams.codec_messages import captured_messages
from operators.reading.codestreams.frame_header import CodestreamError
from operators.reading.codestreams.frames import check_codes
from operators.reading.dicom_file import StoredValues
from operators.reading.pictures.capture import capture_header
from operators.records.errors import ImageError, InvalidDicomError, UnsupportedImageError
from operators.records.reasons import DeclinedReason, FailedReason

_FORMATS = ("PNG", "JPEG")
_STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
# A grey radiograph may be stored as RGB, and by a lossy codec with a little colour, or with a small coloured mark.
_LEAST_COLOUR = 25  # of 255: by how much red, green and blue of a coloured pixel differ
_LEAST_COLOURED = 0.005  # of all pixels, in a coloured picture
_OPAQUE = 255
# What brings a picture upright, by the value of its EXIF orientation.
_TRANSPOSITIONS: Mapping[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_EXCHANGED = (5, 6, 7, 8)  # the values by which rows become columns
_ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True, eq=False)
class _Opened:
    """A picture whose pixels are not decoded yet, the file that it is in, and the header of its Secondary Capture."""

    image: Image.Image
    file: BinaryIO
    header: Dataset


def is_picture(data: Path | bytes) -> bool:
    """Say whether a file begins as PNG or JPEG does, and not as DICOM, whose preamble may be used for either."""
    with _open(data) as file:
        start = file.read(max(map(len, _STARTS)))
        file.seek(0)
        return start.startswith(_STARTS) and not has_preamble(file)


def read_picture_header(data: Path | bytes) -> Dataset:
    """Return the header of a picture's Secondary Capture; its pixels are not decoded.

    Raises
    ------
    UnsupportedImageError
        If the file cannot be a grey-scale picture, or is larger than any radiograph.
    InvalidDicomError
        If its header is damaged.
    OSError
        If the file cannot be opened.
    """
    with _opened(data) as opened:
        return opened.header


def read_picture(data: Path | bytes) -> StoredValues:
    """Return a picture's header and grey values, turned as its EXIF orientation says, as every viewer shows it.

    Raises
    ------
    UnsupportedImageError, InvalidDicomError, OSError
        As ``read_picture_header``, and if the picture is in colour, has transparent parts, is cut off or damaged.
    """
    with _opened(data) as opened:
        try:
            doubtful = _check_coded_data(opened)
            values = _grey_values(opened.image)
        except ImageError:
            raise
        except Exception as error:  # noqa: BLE001 - a damaged file raises a dozen kinds; this is a child process
            what = str(error) if isinstance(error, CodestreamError) else type(error).__name__
            detail = f"the picture cannot be decoded ({what}); export it again"
            raise InvalidDicomError(FailedReason.PIXEL_DATA_CORRUPT, detail) from error
        return StoredValues(opened.header, values, doubtful)


def _open(data: Path | bytes) -> BinaryIO:
    return data.open("rb") if isinstance(data, Path) else BytesIO(data)


@contextmanager
def _opened(data: Path | bytes) -> Iterator[_Opened]:
    """Open a picture and make its header."""
    with _open(data) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        try:
            image = Image.open(file, formats=_FORMATS)
            header = _header(image, digest, size)
        except Image.DecompressionBombError as error:
            raise UnsupportedImageError(DeclinedReason.TOO_LARGE, "more pixels than any radiograph has") from error
        except ImageError:
            raise
        except Exception as error:  # noqa: BLE001 - as in ``read_picture``
            detail = f"the picture's header is damaged ({type(error).__name__}); export it again"
            raise InvalidDicomError(FailedReason.UNREADABLE_FILE, detail) from error
        with image:
            yield _Opened(image, file, header)


def _header(image: Image.Image, digest: str, size: int) -> Dataset:
    """Return the header of an opened picture; raise UnsupportedImageError for one of a kind that is not read."""
    if getattr(image, "n_frames", 1) > 1:
        raise UnsupportedImageError(DeclinedReason.MULTI_FRAME, "several frames; only single pictures are read")
    if image.mode in ("CMYK", "YCCK"):
        raise UnsupportedImageError(DeclinedReason.COLOUR, "a picture in the colours of printing (CMYK)")
    columns, rows = image.size
    if _orientation(image) in _EXCHANGED:
        columns, rows = rows, columns
    bits = 16 if image.mode.startswith("I") else 8
    ratio = None if image.format == "PNG" else rows * columns / size
    return capture_header(digest, rows, columns, bits, ratio)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation that stands before the pixels, 1 without one; no pixels are decoded."""
    exif = Image.Exif()
    exif.load(image.info.get("exif", b""))
    return int(exif.get(Base.Orientation, 1))


def _check_coded_data(opened: _Opened) -> bool:
    """Check what Pillow does not: the checksums of PNG, the codes of grey JPEG; return whether there is doubt."""
    opened.file.seek(0)
    if opened.image.format == "PNG":
        with Image.open(BytesIO(opened.file.read()), formats=_FORMATS) as copy:
            copy.verify()
        return False
    if getattr(opened.image, "layers", 0) != 1 or opened.image.info.get("progressive"):
        return False
    with captured_messages() as messages:
        check_codes(opened.file.read(), JPEGBaseline8Bit)
    return bool(messages.doubts)


def _grey_values(image: Image.Image) -> NDArray[np.unsignedinteger]:
    """Return grey values, (rows, columns) uint8 or uint16; raise UnsupportedImageError for other pictures."""
    orientation = _orientation(image)
    image.load()
    if orientation in _TRANSPOSITIONS:
        image = image.transpose(_TRANSPOSITIONS[orientation])
    if image.mode.startswith("I"):
        return np.asarray(image).astype(np.uint16)
    if image.mode in ("LA", "PA", "RGBA", "P") or "transparency" in image.info:
        image = image.convert("RGBA")
        if np.asarray(image)[..., 3].min() < _OPAQUE:
            raise UnsupportedImageError(
                DeclinedReason.NOT_A_RADIOGRAPH, "a picture with transparent parts; save it without transparency"
            )
        image = image.convert("RGB")
    if image.mode == "RGB" and _is_coloured(np.asarray(image)):
        raise UnsupportedImageError(DeclinedReason.COLOUR, "a picture in colour; radiographs are grey")
    return np.asarray(image.convert("L"))


def _is_coloured(rgb: NDArray[np.uint8]) -> bool:
    """Say whether so much of a picture is in colour that it is no radiograph with a coloured mark."""
    coloured = 0
    for start in range(0, rgb.shape[0], _ROWS_AT_ONCE):
        part = rgb[start : start + _ROWS_AT_ONCE]
        coloured += int((part.max(axis=2) - part.min(axis=2) >= _LEAST_COLOUR).sum())
    return bool(coloured > _LEAST_COLOURED * rgb.shape[0] * rgb.shape[1])
