"""A file -> its DICOM header, and the stored values of its pixels; the code that meets untrusted bytes.

It runs in the decoder's child process (``decoding``), never in the application itself.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import InvalidDicomError as NoPreambleError
from pydicom.filereader import read_partial
from pydicom.pixels.utils import pixel_array
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    MediaStorageDirectoryStorage,
)

from operators.reading import codecs
from operators.records.errors import InvalidDicomError
from operators.records.reasons import FailedReason

PIXEL_DATA_TAGS = (Tag("FloatPixelData"), Tag("DoubleFloatPixelData"), Tag("PixelData"))
LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, HTJ2K)


class NotDicomError(Exception):
    """The file is not DICOM at all."""


def read_header(data: Path | bytes) -> tuple[Dataset, bool]:
    """Read a file, given by its path or its bytes, up to its pixel data.

    Returns
    -------
    The header, and whether pixel data follows it.

    Raises
    ------
    NotDicomError
        If the file is not DICOM, or a DICOMDIR.
    InvalidDicomError
        If it is DICOM but cannot be parsed.
    OSError
        If the file cannot be opened.
    """
    met: list[BaseTag] = []

    def at_pixel_data(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        if tag in PIXEL_DATA_TAGS:
            met.append(tag)
        return bool(met)

    with _open(data) as file:
        has_preamble = _has_preamble(file)
        try:
            header = read_partial(file, at_pixel_data, force=not has_preamble)
            _ = [element for element in header]  # raw values are converted now, under the guard
        except NoPreambleError as error:
            raise NotDicomError from error
        except Exception as error:  # noqa: BLE001 - a damaged header raises a dozen kinds
            if not has_preamble:
                raise NotDicomError from error
            raise InvalidDicomError(
                FailedReason.UNREADABLE_FILE,
                f"the header cannot be parsed ({type(error).__name__}); export the image again",
            ) from error
    if not has_preamble and "SOPClassUID" not in header:
        raise NotDicomError
    if header.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        raise NotDicomError
    return header, bool(met)


def read_stored_values(data: Path | bytes) -> tuple[Dataset, NDArray[np.integer]]:
    """Read a file, given by its path or its bytes, with its pixels.

    Returns
    -------
    The header and the stored values, (rows, columns), within what Bits Stored and Pixel Representation allow.

    Raises
    ------
    InvalidDicomError
        If the pixel data are short, damaged or contradict the header.
    """
    codecs.register()
    with _open(data) as file:
        header = dcmread(file, force=True)
    header.PhotometricInterpretation = str(header.get("PhotometricInterpretation", "")).strip().upper()
    if "TransferSyntaxUID" not in header.file_meta:
        header.file_meta = FileMetaDataset()
        header.file_meta.TransferSyntaxUID = UID(_transfer_syntax_without_meta(header))
    try:
        decoded = pixel_array(header, correct_unused_bits=False)
    except BaseException as error:  # noqa: BLE001 - codecs raise what they like; this is a child process
        raise InvalidDicomError(
            FailedReason.PIXEL_DATA_CORRUPT,
            f"the pixel data cannot be decoded ({type(error).__name__}); export the image again",
        ) from error
    if decoded.shape != (header.Rows, header.Columns):
        raise InvalidDicomError(FailedReason.PIXEL_DATA_CORRUPT, "the pixel data do not have Rows x Columns values")
    return header, _within_bits_stored(decoded, header)


def _within_bits_stored(decoded: NDArray[np.integer], header: Dataset) -> NDArray[np.integer]:
    """Return the values that Bits Stored allows; overlays beside them are masked, a lossy codec's overshoot is cut."""
    stored, high = int(header.BitsStored), int(header.HighBit)
    signed = header.get("PixelRepresentation") == 1
    lowest, highest = (-(2 ** (stored - 1)), 2 ** (stored - 1) - 1) if signed else (0, 2**stored - 1)
    least, most = int(decoded.min()), int(decoded.max())
    syntax = header.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated and (high + 1 != stored or _has_overlay_bits(header)):
        values = decoded.astype(np.int64) >> (high + 1 - stored) & (2**stored - 1)
        return np.asarray(np.where(values > highest, values - 2**stored, values), np.int32)
    if lowest <= least and most <= highest:
        return decoded
    if signed and not syntax.is_encapsulated and least >= 0 and most < 2**stored:  # the sign was not extended
        return np.asarray(np.where(decoded > highest, decoded.astype(np.int32) - 2**stored, decoded))
    if syntax in LOSSY:
        return np.asarray(np.clip(decoded, lowest, highest))
    raise InvalidDicomError(
        FailedReason.PIXEL_DATA_CORRUPT,
        f"pixel values exceed the {stored} bits that the header declares; correct Bits Stored",
    )


def _has_overlay_bits(header: Dataset) -> bool:
    """Say whether an overlay is kept in unused bits of the pixels, as old equipment does (PS3.3 C.9.2, retired use)."""
    positions = (
        element for element in header if element.tag.group & 0xFF00 == 0x6000 and element.tag.element == 0x0102
    )
    return any(element.value for element in positions)


def _open(data: Path | bytes) -> BinaryIO:
    return data.open("rb") if isinstance(data, Path) else BytesIO(data)


def _has_preamble(file: BinaryIO) -> bool:
    start = file.read(132)
    file.seek(0)
    return start[128:] == b"DICM"


def _transfer_syntax_without_meta(header: Dataset) -> str:
    """Return the transfer syntax of a file without file meta information, as pydicom guessed it while reading."""
    implicit, little = header.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian
