"""RLE frames: byte planes as runs, each of which must give exactly the frame's pixels (PS3.5 Annex G)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.reading.codestreams.frame_header import CodestreamError

_HEADER_BYTES = 64
_PADDING = b"\0\x80"  # to an even length; 80h: the code that stands for nothing
_MOST_PADDING = 3


def segment_bounds(frame: bytes, count: int) -> list[tuple[int, int]]:
    """Return start and end of each segment.

    Parameters
    ----------
    frame
        The coded frame.
    count
        Segments that the pixels need: bytes per sample.

    Raises
    ------
    CodestreamError
        If the frame has another number of segments, or they are not in order.
    """
    if len(frame) < _HEADER_BYTES:
        raise CodestreamError("the RLE frame is shorter than its header")
    numbers = np.frombuffer(frame[:_HEADER_BYTES], "<u4").tolist()
    if numbers[0] != count:
        raise CodestreamError(f"the RLE frame has {numbers[0]} segments in place of {count}")
    starts = [*numbers[1 : count + 1], len(frame)]
    if starts[0] != _HEADER_BYTES or any(start >= end for start, end in zip(starts, starts[1:], strict=False)):
        raise CodestreamError("the segments of the RLE frame are not in order")
    return list(zip(starts, starts[1:], strict=False))


def decode(frame: bytes, pixels: int, bytes_per_sample: int) -> NDArray[np.uint8]:
    """Return the decoded samples, little-endian: (pixels, bytes per sample) uint8.

    Raises
    ------
    CodestreamError
        If a segment gives fewer or more bytes than there are pixels, or is not used up.
    """
    planes = [
        _decode_segment(frame[start:end], pixels) for start, end in reversed(segment_bounds(frame, bytes_per_sample))
    ]
    return np.stack(planes, axis=1)


def _decode_segment(segment: bytes, pixels: int) -> NDArray[np.uint8]:
    """Return the bytes of a segment (PS3.5 G.3.2)."""
    decoded = bytearray()
    position, end = 0, len(segment)
    while len(decoded) < pixels:
        if position >= end:
            raise CodestreamError("a segment of the RLE frame gives fewer bytes than the image has pixels")
        code = segment[position]
        position += 1
        if code < 0x80:
            decoded += segment[position : position + code + 1]
            position += code + 1
        elif code > 0x80:
            decoded += segment[position : position + 1] * (257 - code)
            position += 1
    rest = segment[position:]
    if len(decoded) > pixels or position > end or len(rest) > _MOST_PADDING or rest.strip(_PADDING):
        raise CodestreamError("a segment of the RLE frame gives more bytes than the image has pixels")
    return np.frombuffer(decoded, np.uint8)
