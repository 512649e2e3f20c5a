"""A file -> its DICOM header, and the stored values of its pixels; the code that meets untrusted bytes.

It runs in the decoder's child process (``decoding``), never in the application itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.errors import InvalidDicomError as NoPreambleError
from pydicom.filereader import read_partial
from pydicom.pixels.utils import pixel_array
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    MediaStorageDirectoryStorage,
)

from operators.reading.bounded_file import BoundedFile, HeaderLimitError, InflatingFile, has_preamble, open_file
from operators.reading.codestreams import decoding_plugins
from operators.reading.codestreams.codec_messages import captured_messages
from operators.reading.codestreams.frame_header import CodestreamError
from operators.reading.codestreams.frames import check_codes, sound_frame
from operators.reading.codestreams.pixel_element import PixelElement, check_what_follows, read_frame, read_native
from operators.records.errors import InvalidDicomError
from operators.records.reasons import FailedReason

PIXEL_DATA_TAGS = (Tag("FloatPixelData"), Tag("DoubleFloatPixelData"), Tag("PixelData"))
LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, HTJ2K)


class NotDicomError(Exception):
    """The file is not DICOM at all."""


class PictureError(NotDicomError):
    """The file is not DICOM, but a PNG or JPEG picture."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredValues:
    """The pixels of a file as they are stored.

    Parameters
    ----------
    header
        The full header.
    values
        (rows, columns), within what Bits Stored and Pixel Representation allow.
    doubtful
        Whether the codestream looks damaged in a way that a sound one can look, too.
    """

    header: Dataset
    values: NDArray[np.integer]
    doubtful: bool


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
    with open_file(data) as file:
        header, element = _parse(file)
    return header, element is not None


def _parse(file: BinaryIO) -> tuple[Dataset, PixelElement | None]:
    """Return the header of an open file, and where its pixel data begin; errors as ``read_header``."""
    met: list[tuple[int, int]] = []

    def at_pixel_data(tag: BaseTag, _vr: str | None, length: int) -> bool:
        if tag in PIXEL_DATA_TAGS:
            met.append((file.tell(), length))
        return bool(met)

    preamble = has_preamble(file)
    try:
        header = read_partial(cast(BinaryIO, BoundedFile(file)), at_pixel_data, force=not preamble)
        _ = [element for element in header]  # raw values are converted now, under the guard
    except NoPreambleError as error:
        raise NotDicomError from error
    except Exception as error:  # noqa: BLE001 - a damaged header raises a dozen kinds
        if not preamble:
            raise NotDicomError from error
        what = str(error) if isinstance(error, HeaderLimitError) else f"it cannot be parsed ({type(error).__name__})"
        raise InvalidDicomError(
            FailedReason.UNREADABLE_FILE, f"the header is damaged: {what}; export the image again"
        ) from error
    if not preamble and "SOPClassUID" not in header:
        raise NotDicomError
    if isinstance(file, InflatingFile):
        header.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    if header.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        raise NotDicomError
    return header, PixelElement(*met[0]) if met else None


def read_stored_values(data: Path | bytes) -> StoredValues:
    """Read a file, given by its path or its bytes, with its pixels.

    Returns
    -------
    The header, its values, and whether they may be damaged.

    Raises
    ------
    NotDicomError, InvalidDicomError, OSError
        As ``read_header``, and if the pixel data are short, damaged or contradict the header.
    """
    decoding_plugins.register()
    with open_file(data) as file:
        header, element = _parse(file)
        header.PhotometricInterpretation = str(header.get("PhotometricInterpretation", "")).strip().upper()
        if "TransferSyntaxUID" not in header.file_meta:
            header.file_meta = FileMetaDataset()
            header.file_meta.TransferSyntaxUID = UID(_transfer_syntax_without_meta(header))
        try:
            decoded, doubtful = _decode(_sound_value(file, element, header), header)
        except InvalidDicomError:
            raise
        except BaseException as error:  # noqa: BLE001 - codecs raise what they like; this is a child process
            what = str(error) if isinstance(error, CodestreamError) else type(error).__name__
            raise InvalidDicomError(
                FailedReason.PIXEL_DATA_CORRUPT, f"the pixel data cannot be decoded: {what}; export the image again"
            ) from error
    if decoded.shape != (header.Rows, header.Columns):
        raise InvalidDicomError(FailedReason.PIXEL_DATA_CORRUPT, "the pixel data do not have Rows x Columns values")
    return StoredValues(header, _within_bits_stored(decoded, header), doubtful)


def _sound_value(file: BinaryIO, element: PixelElement | None, header: Dataset) -> bytes:
    """Return native Pixel Data, or the coded frame, after checking all that can be checked before decoding."""
    if element is None:
        raise CodestreamError("there are no pixel data")
    syntax = header.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        value = read_native(file, element, header)
        if isinstance(file, InflatingFile):
            check_what_follows(file, element)
        return value
    return sound_frame(read_frame(file, element, header), syntax, header)


def _decode(value: bytes, header: Dataset) -> tuple[NDArray[np.integer], bool]:
    """Return the decoded frame, and whether it is doubtful; what codecs say is a fault: they decode on after damage."""
    syntax = header.file_meta.TransferSyntaxUID
    header.PixelData = encapsulate([value], has_bot=False) if syntax.is_encapsulated else value
    plugin = decoding_plugins.PLUGINS.get(syntax, "")
    with captured_messages() as messages:
        check_codes(value, syntax)
        decoded = pixel_array(header, correct_unused_bits=False, decoding_plugin=plugin)
    if messages.faults:
        raise CodestreamError("the codec found damage")
    return decoded, bool(messages.doubts)


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


def _transfer_syntax_without_meta(header: Dataset) -> str:
    """Return the transfer syntax of a file without file meta information, as pydicom guessed it while reading."""
    implicit, little = header.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian
