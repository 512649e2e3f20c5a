"""The entropy-coded data of a JPEG stream: Huffman tables, the parts between restart markers, and how a part must end.

Notes
-----
ISO/IEC 10918-1 Annex C (tables), F.1.2.3 (a part is padded with 1-bits to whole bytes), H.1.2 (lossless).
"""

from __future__ import annotations

import warnings
from enum import Enum

import numpy as np

from operators.reading.codestreams.codec_messages import DoubtfulPixelsWarning
from operators.reading.codestreams.frame_header import CodestreamError
from operators.reading.codestreams.jpeg import DHT, DRI, LOSSLESS, SOS, Segment, segments

END_OF_BLOCK = 128  # an advance beyond any coefficient
_WINDOW = 1 << 16  # what a table is looked up by: the next 16 bits


class Coded(Enum):
    """What the symbols of a table are."""

    DC = "category of a DC difference"
    AC = "run of zeros and category of an AC coefficient"
    SAMPLE = "category of a difference of samples"


def interval_of(frame: bytes, found: list[Segment]) -> int:
    """Return the restart interval in blocks or samples, 0 without one."""
    starts = [segment.start for segment in found if segment.marker == DRI]
    return int.from_bytes(frame[starts[-1] : starts[-1] + 2], "big") if starts else 0


def table(frame: bytes, found: list[Segment], number: int, coded: Coded) -> list[int]:
    """Return a Huffman table by the next 16 bits: 256 x the bits that are used, plus what the symbol says.

    That is the category for DC, how many coefficients on for AC, nothing for samples. 0: no code.
    """
    entries = [0] * _WINDOW
    identifier = 0x10 | number if coded == Coded.AC else number
    for segment in found:
        position = segment.start
        while segment.marker == DHT and position < segment.end:
            counts = frame[position + 1 : position + 17]
            symbols = frame[position + 17 : position + 17 + sum(counts)]
            if frame[position] == identifier:
                _fill(entries, counts, symbols, coded)
            position += 17 + sum(counts)
    return entries


def _fill(entries: list[int], counts: bytes, symbols: bytes, coded: Coded) -> None:
    code = index = 0
    for length, count in enumerate(counts, 1):
        width = _WINDOW >> length
        for symbol in symbols[index : index + count]:
            entries[code * width : (code + 1) * width] = [_entry(symbol, length, coded)] * width
            code += 1
        index += count
        code <<= 1
    if len(entries) != _WINDOW:
        raise CodestreamError("a Huffman table of the JPEG stream is impossible")


def _entry(symbol: int, length: int, coded: Coded) -> int:
    if coded == Coded.DC:
        return length << 8 | symbol
    if coded == Coded.SAMPLE:
        return length + symbol % 16 << 8  # category 16 has no further bits
    run, bits = symbol >> 4, symbol & 15
    return length + bits << 8 | (run + 1 if bits or run == 15 else END_OF_BLOCK)


def parts(frame: bytes, scan: Segment) -> list[bytes]:
    """Return the coded data between restart markers, without stuffed bytes."""
    bounds = [scan.end, *(position + 2 for position in scan.restarts)]
    ends = [*scan.restarts, scan.data_end]
    return [frame[start:end].replace(b"\xff\0", b"\xff") for start, end in zip(bounds, ends, strict=True)]


def windows(part: bytes) -> memoryview:
    """Return the 32 bits from each byte on."""
    padded = np.frombuffer(part + b"\xff" * 8, np.uint8).astype(np.uint32)
    words = padded[:-3] << np.uint32(24) | padded[1:-2] << np.uint32(16) | padded[2:-1] << np.uint32(8) | padded[3:]
    return memoryview(words.astype(np.uint32).data)


def check_end(part: bytes, position: int) -> None:
    """Check what follows the last code of a part, whose bits are used up to ``position``: less than a byte, 1-bits.

    Raises
    ------
    CodestreamError
        If codes are missing or left over: after damage, decoding came into step again elsewhere in the picture.
    """
    spare = 8 * len(part) - position
    if not 0 <= spare < 8:
        raise CodestreamError("the JPEG stream has fewer or more codes than its picture needs")
    rest = part[-1] & (1 << spare) - 1 if spare else 0
    if rest == (1 << spare) - 1:
        return
    if rest:
        raise CodestreamError("the JPEG stream has more codes than its picture needs")
    warnings.warn("the JPEG stream is padded with 0-bits", DoubtfulPixelsWarning, stacklevel=2)


def check_sample_count(frame: bytes) -> None:
    """Check that a lossless stream has exactly the codes of its samples.

    Raises
    ------
    CodestreamError
        If a code is impossible, or codes are missing or left over.
    """
    found = list(segments(frame))
    start = next(segment.start for segment in found if segment.marker == LOSSLESS)
    scan = next(segment for segment in found if segment.marker == SOS)
    left = int.from_bytes(frame[start + 1 : start + 3], "big") * int.from_bytes(frame[start + 3 : start + 5], "big")
    interval = interval_of(frame, found) or left
    entries = [entry >> 8 for entry in table(frame, found, frame[scan.start + 2] >> 4, Coded.SAMPLE)]
    for part in parts(frame, scan):
        count = min(interval, left)
        check_end(part, _end_of_samples(part, count, entries))
        left -= count
    if left:
        raise CodestreamError("the JPEG stream has fewer codes than its picture needs")


def _end_of_samples(part: bytes, count: int, entries: list[int]) -> int:
    """Return the bits that so many samples use."""
    words = windows(part)
    position, last = 0, len(words)
    for _ in range(count):
        byte = position >> 3
        if byte >= last:
            raise CodestreamError("the JPEG stream has fewer codes than its picture needs")
        used = entries[words[byte] >> 16 - (position & 7) & 0xFFFF]
        if not used:
            raise CodestreamError("a code of the JPEG stream is impossible")
        position += used
    return position
