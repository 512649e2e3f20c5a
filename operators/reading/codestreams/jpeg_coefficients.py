"""The DC coefficients of a sequential JPEG stream: where the mean of a block is impossible, the stream is damaged.

A JPEG stream codes each block's mean as its difference from that of the block before. After damage that leaves the
codes in step, all later means are wrong by the same amount; codecs clip what is out of range and say nothing.

Notes
-----
ISO/IEC 10918-1 F.2.2 (sequential decoding with Huffman tables).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from operators.reading.codestreams.frame_header import CodestreamError
from operators.reading.codestreams.jpeg import BASELINE, DQT, EXTENDED, SOS, Segment, segments
from operators.reading.codestreams.jpeg_entropy import (
    END_OF_BLOCK,
    Coded,
    check_end,
    interval_of,
    parts,
    table,
    windows,
)

_SIDE = 8  # of a block
_LAST = 64  # coefficients of a block


@dataclass(frozen=True, slots=True)
class _Scan:
    """What one scan of one component is decoded with."""

    blocks: tuple[int, int]
    precision: int
    step: int
    dc: list[int]
    ac: list[int]
    interval: int


def block_means(frame: bytes) -> tuple[NDArray[np.float64], float]:
    """Return the mean grey value of each block, (block rows, block columns), and what all are multiples of.

    They are as coded: clipped nowhere.

    Parameters
    ----------
    frame
        A sequential stream of one component whose structure is checked (``jpeg.read_frame_header``).

    Raises
    ------
    CodestreamError
        If a code is impossible, a part of the stream has too few blocks, or a mean is out of the range of the samples.
    """
    found = list(segments(frame))
    scan = _scan_of(frame, found)
    rows, columns = scan.blocks
    total = rows * columns
    differences: list[int] = []
    starts: list[int] = []
    for part in parts(frame, next(segment for segment in found if segment.marker == SOS)):
        starts.append(len(differences))
        count = min(scan.interval or total, total - len(differences))
        differences += _differences(part, count, scan)
    if len(differences) != total:
        raise CodestreamError("the JPEG stream has too few blocks")
    values = np.array(differences, np.int64)
    for start, end in zip(starts, [*starts[1:], total], strict=True):
        values[start:end] = np.cumsum(values[start:end])  # each interval begins anew
    middle = 2 ** (scan.precision - 1)
    if np.abs(values * scan.step).max() > _SIDE * middle + scan.step:
        raise CodestreamError("a block of the JPEG stream is brighter or darker than its samples can be")
    unit = scan.step / _SIDE
    return np.asarray(values * unit + middle, np.float64).reshape(rows, columns), unit


def _scan_of(frame: bytes, found: list[Segment]) -> _Scan:
    """Collect the tables of the scan."""
    start = next(segment.start for segment in found if segment.marker in (BASELINE, EXTENDED))
    scan = next(segment.start for segment in found if segment.marker == SOS)
    rows, columns = (int.from_bytes(frame[start + at : start + at + 2], "big") for at in (1, 3))
    tables = frame[scan + 2]
    return _Scan(
        blocks=(-(-rows // _SIDE), -(-columns // _SIDE)),
        precision=frame[start],
        step=_first_step(frame, found, frame[start + 8]),
        dc=table(frame, found, tables >> 4, Coded.DC),
        ac=table(frame, found, tables & 15, Coded.AC),
        interval=interval_of(frame, found),
    )


def _first_step(frame: bytes, found: list[Segment], number: int) -> int:
    """Return the quantisation step of the DC coefficient."""
    for segment in found:
        position = segment.start
        while segment.marker == DQT and position < segment.end:
            size = 2 if frame[position] >> 4 else 1
            if frame[position] & 15 == number:
                return int.from_bytes(frame[position + 1 : position + 1 + size], "big")
            position += 1 + 64 * size
    raise CodestreamError("the JPEG stream has no quantisation table for its component")


def _differences(part: bytes, count: int, scan: _Scan) -> list[int]:
    """Return the DC differences of so many blocks."""
    words = windows(part)
    dc, ac = scan.dc, scan.ac
    found, position, end = [], 0, 8 * len(part)
    for _ in range(count):
        if position >= end:
            raise CodestreamError("the JPEG stream has too few blocks")
        entry = dc[words[position >> 3] >> 16 - (position & 7) & 0xFFFF]
        category = entry & 0xFF
        position += entry >> 8
        difference = 0
        if category:
            if category > 15 or position >= end:
                raise CodestreamError("a code of the JPEG stream is impossible")
            difference = words[position >> 3] >> 32 - category - (position & 7) & (1 << category) - 1
            if not difference >> category - 1:
                difference += 1 - (1 << category)
            position += category
        found.append(difference)
        coefficient = 1
        while coefficient < _LAST:
            if position >= end:
                raise CodestreamError("the JPEG stream has too few blocks")
            entry = ac[words[position >> 3] >> 16 - (position & 7) & 0xFFFF]
            if not entry:
                raise CodestreamError("a code of the JPEG stream is impossible")
            position += entry >> 8
            coefficient += entry & 0xFF
        if _LAST < coefficient < END_OF_BLOCK:
            raise CodestreamError("a block of the JPEG stream has too many coefficients")
    check_end(part, position)
    return found
