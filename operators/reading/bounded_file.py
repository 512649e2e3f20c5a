"""A file as the parser may see it: inflated where it is deflated, and never more of it than a header may have."""

from __future__ import annotations

import os
import zlib
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

PREAMBLE_BYTES: Final = 132
# Far above what equipment writes: a few hundred elements, and private blobs of some MB.
LARGEST_HEADER_BYTES: Final = 32 * 1024 * 1024
MOST_ELEMENTS: Final = 20_000
_TAG_BYTES: Final = 8  # tag and length: what pydicom reads first of an element
_CHUNK: Final = 1024 * 1024


class HeaderLimitError(ValueError):
    """A header has more bytes or more elements than any sound one."""


class BoundedFile:
    """What pydicom parses a header from: a binary file that refuses to give more than a header may have.

    Parameters
    ----------
    file
        The file behind it, which stays readable without limits.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._elements = 0
        self.seek, self.tell, self.close = file.seek, file.tell, file.close

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes; raise HeaderLimitError beyond the limits."""
        self._elements += size == _TAG_BYTES
        if self._elements > MOST_ELEMENTS:
            raise HeaderLimitError(f"the header has more than {MOST_ELEMENTS} elements")
        room = LARGEST_HEADER_BYTES - self._file.tell()
        content = self._file.read(room + 1 if size < 0 else min(size, room + 1))
        if len(content) > room:
            raise HeaderLimitError(f"the header has more than {LARGEST_HEADER_BYTES // 2**20} MiB")
        return content


def open_file(data: Path | bytes) -> BinaryIO:
    """Open a file, given by its path or its bytes; of a deflated one, what a parser sees after inflating.

    Raises
    ------
    OSError
        If it cannot be opened.
    """
    file: BinaryIO = data.open("rb") if isinstance(data, Path) else BytesIO(data)
    if not has_preamble(file):
        return file
    file.seek(PREAMBLE_BYTES)
    try:
        meta = read_dataset(BoundedFile(file), False, True, stop_when=_beyond_meta)  # type: ignore[arg-type]
        deflated = meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian
    except Exception:  # noqa: BLE001 - the parser says later what is wrong
        deflated = False
    if deflated:
        end = file.tell()
        file.seek(0)
        start = file.read(end).replace(_uid(DeflatedExplicitVRLittleEndian), _uid(ExplicitVRLittleEndian))
        file.seek(end)
        return InflatingFile(start, file)
    file.seek(0)
    return file


def has_preamble(file: BinaryIO) -> bool:
    """Say whether a file begins as a DICOM file does (PS3.10 7.1), and go back to its start."""
    start = file.read(PREAMBLE_BYTES)
    file.seek(0)
    return start[128:] == b"DICM"


def read_exactly(file: BinaryIO, position: int, count: int) -> bytes:
    """Return ``count`` bytes from a position on, or fewer at the end; a false count allocates no more than there is."""
    file.seek(position)
    content = bytearray()
    while len(content) < count:
        chunk = file.read(min(_CHUNK, count - len(content)))
        if not chunk:
            break
        content += chunk
    return bytes(content)


class InflatingFile(BytesIO):
    """The data set of a deflated file (PS3.5 A.5), inflated as far as it is read.

    Parameters
    ----------
    start
        What precedes the deflated part.
    file
        The file, at the beginning of its deflated part.
    """

    def __init__(self, start: bytes, file: BinaryIO) -> None:
        super().__init__(start)
        self._deflated = file
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._size = len(start)

    def read(self, size: int | None = -1) -> bytes:
        """Return up to ``size`` bytes; -1: everything."""
        position = self.tell()
        self._inflate(None if size is None or size < 0 else position + size)
        return super().read(size)

    def close(self) -> None:
        """Close the file behind it, too."""
        self._deflated.close()
        super().close()

    def _inflate(self, end: int | None) -> None:
        """Inflate until ``end`` bytes are there."""
        position = self.tell()
        super().seek(0, os.SEEK_END)
        while (end is None or self._size < end) and not self._inflater.eof:
            source = self._inflater.unconsumed_tail or self._deflated.read(_CHUNK)
            chunk = self._inflater.decompress(source, _CHUNK)
            if not source and not chunk:
                break
            self._size += self.write(chunk)
        super().seek(position)


def _uid(uid: str) -> bytes:
    """Return the bytes of the longer of both UIDs and of the shorter, padded to the same length."""
    return uid.encode().ljust(len(DeflatedExplicitVRLittleEndian), b"\0")


def _beyond_meta(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag.group != 2
