"""The value of Pixel Data: read from the file with its claimed size checked before anything is allocated.

Notes
-----
PS3.5 8.2 and A.4: native pixels have exactly the bytes that the header says; encapsulated ones are items, the first of
which is the table of offsets, closed by a delimiter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from pydicom.dataset import Dataset

from operators.reading.bounded_file import read_exactly
from operators.reading.codestreams.frame_header import CodestreamError
from operators.records.errors import InvalidDicomError
from operators.records.reasons import FailedReason

UNDEFINED_LENGTH = 0xFFFFFFFF
_PIXEL_GROUP = 0x7FE0
_ITEM, _DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
# A coded frame is hardly larger than its pixels (RLE at worst by one byte in 128), and a radiograph, which has noise,
# never so much smaller: the lossy ones of PACS are 10 to 50 times.
_LARGEST_GROWTH, _SPARE_BYTES = 2, 65536
HIGHEST_RATIO = 1000


@dataclass(frozen=True, slots=True)
class PixelElement:
    """Where Pixel Data begin in a file, and the length that they claim."""

    position: int
    length: int


def expected_bytes(header: Dataset) -> int:
    """Return the bytes of the decoded pixels, of all frames."""
    samples = int(header.get("SamplesPerPixel") or 1) * int(header.get("NumberOfFrames") or 1)
    return int(header.Rows) * int(header.Columns) * samples * (int(header.BitsAllocated) // 8)


def read_native(file: BinaryIO, element: PixelElement, header: Dataset) -> bytes:
    """Return the bytes of native Pixel Data, even in number.

    Raises
    ------
    InvalidDicomError
        If there are more bytes than Rows and Columns say.
    CodestreamError
        If there are fewer, or the file ends before.
    """
    expected = expected_bytes(header)
    if element.length != UNDEFINED_LENGTH and element.length > expected + expected % 2:
        raise InvalidDicomError(
            FailedReason.HEADER_INVALID,
            f"Pixel Data have {element.length} bytes, Rows, Columns and Bits Allocated need {expected}; "
            "correct the header at the source",
        )
    if element.length < expected or element.length == UNDEFINED_LENGTH:
        raise CodestreamError("Pixel Data have fewer bytes than Rows x Columns need")
    value = _read(file, element.position, expected)
    return value + b"\0" * (expected % 2)


def check_what_follows(file: BinaryIO, element: PixelElement) -> None:
    """Raise CodestreamError unless native Pixel Data are followed by another element or by nothing.

    It shows where bytes are lost or doubled before; for inflated data, whose end is not that of a file.
    """
    follower = read_exactly(file, element.position + element.length, 8)
    later = len(follower) == 8 and int.from_bytes(follower[:2], "little") >= _PIXEL_GROUP
    if follower.strip(b"\0") and not later:
        raise CodestreamError("what follows Pixel Data is no data element")


def read_frame(file: BinaryIO, element: PixelElement, header: Dataset) -> bytes:
    """Return the coded frame of encapsulated Pixel Data: all fragments, joined.

    Raises
    ------
    CodestreamError
        If the items are damaged, the closing delimiter is missing, or the frame's size is not plausible.
    """
    if element.length != UNDEFINED_LENGTH:
        raise CodestreamError("compressed Pixel Data have no items")
    expected = expected_bytes(header)
    room = expected * _LARGEST_GROWTH + _SPARE_BYTES
    position, fragments = element.position, []
    while True:
        start = _read(file, position, 8)
        tag, length = start[:4], int.from_bytes(start[4:], "little")
        if tag == _DELIMITER:
            break
        if tag != _ITEM or length == UNDEFINED_LENGTH:
            raise CodestreamError("the items of compressed Pixel Data are damaged")
        room -= length + 8
        if room < 0:
            raise CodestreamError("compressed Pixel Data are larger than twice their pixels")
        fragments.append(_read(file, position + 8, length))
        position += 8 + length
    frame = b"".join(fragments[1:])
    if len(frame) * HIGHEST_RATIO < expected:
        raise CodestreamError(f"{len(frame)} bytes cannot hold the {expected} bytes that the pixels need")
    return frame


def _read(file: BinaryIO, position: int, count: int) -> bytes:
    content = read_exactly(file, position, count)
    if len(content) < count:
        raise CodestreamError("the file ends within Pixel Data")
    return content
