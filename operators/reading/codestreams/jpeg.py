"""The marker segments of JPEG and JPEG-LS: the size of the frame, and whether the stream is whole.

Notes
-----
ISO/IEC 10918-1 Annex B for JPEG, ISO/IEC 14495-1 Annex C for JPEG-LS.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from operators.reading.codestreams.frame_header import CodestreamError, FrameHeader

SOI, EOI, SOS, DHT, DQT, DRI = 0xD8, 0xD9, 0xDA, 0xC4, 0xDB, 0xDD
BASELINE, EXTENDED, LOSSLESS, JPEG_LS = 0xC0, 0xC1, 0xC3, 0xF7
_FRAMES = {*range(0xC0, 0xD0)} - {DHT, 0xC8, 0xCC} | {JPEG_LS}  # C8 is reserved, CC is DAC
_RESTARTS = range(0xD0, 0xD8)
_PADDING = b"\0\xff"


@dataclass(frozen=True, slots=True)
class Segment:
    """A marker segment: ``start`` and ``end`` of what follows its length; of SOS also the coded data, to ``data_end``.

    ``restarts`` are the positions of the restart markers in the coded data.
    """

    marker: int
    start: int
    end: int
    data_end: int = 0
    restarts: tuple[int, ...] = ()


def segments(frame: bytes) -> Iterator[Segment]:
    """Yield the marker segments of a frame between its first and its last marker.

    Raises
    ------
    CodestreamError
        If a marker or a length is impossible, the end is missing, or something else than padding follows it.
    """
    if frame[:2] != bytes((0xFF, SOI)):
        raise CodestreamError("the JPEG stream does not begin with its start marker")
    position, is_ls = 2, False
    while True:
        marker, position = _marker_at(frame, position)
        if marker == EOI:
            break
        if position + 2 > len(frame):
            raise CodestreamError("the JPEG stream ends within a marker segment")
        length = int.from_bytes(frame[position : position + 2], "big")
        end = position + length
        if length < 2 or end > len(frame):
            raise CodestreamError("a marker segment of the JPEG stream has an impossible length")
        is_ls = is_ls or marker == JPEG_LS
        segment = Segment(marker, position + 2, end)
        if marker == SOS:
            data_end, restarts = _end_of_scan(frame, end, is_ls)
            segment = Segment(marker, position + 2, end, data_end, restarts)
            end = data_end
        yield segment
        position = end
    if frame[position:].strip(_PADDING):
        raise CodestreamError("data follow the end of the JPEG stream")


def read_frame_header(frame: bytes, kinds: tuple[int, ...]) -> FrameHeader:
    """Return the size of the frame after checking the structure of the whole stream.

    Parameters
    ----------
    frame
        The coded frame.
    kinds
        The start-of-frame markers that the transfer syntax allows.

    Raises
    ------
    CodestreamError
        If the stream is damaged, or is of another process.
    """
    found = list(segments(frame))
    frames = [segment for segment in found if segment.marker in _FRAMES]
    scans = [segment for segment in found if segment.marker == SOS]
    if len(frames) != 1 or len(scans) != 1:  # of a grey-scale image, in the processes that DICOM has
        raise CodestreamError(f"the JPEG stream has {len(frames)} frames and {len(scans)} scans in place of one")
    start = frames[0]
    if start.marker not in kinds:
        raise CodestreamError("the JPEG stream is of another process than the transfer syntax says")
    if start.end - start.start < 6:
        raise CodestreamError("the start of frame of the JPEG stream is too short")
    _check_restarts(frame, found, scans[0])
    return FrameHeader(
        rows=int.from_bytes(frame[start.start + 1 : start.start + 3], "big"),
        columns=int.from_bytes(frame[start.start + 3 : start.start + 5], "big"),
        components=frame[start.start + 5],
        precision=frame[start.start],
    )


def _marker_at(frame: bytes, position: int) -> tuple[int, int]:
    """Return the marker at a position, fill bytes before it passed over, and where it ends."""
    if frame[position : position + 1] != b"\xff":
        what = "ends without its end marker" if position >= len(frame) else "has no marker where one must be"
        raise CodestreamError(f"the JPEG stream {what}")
    while frame[position : position + 1] == b"\xff":
        position += 1
    if position >= len(frame):
        raise CodestreamError("the JPEG stream ends without its end marker")
    return frame[position], position + 1


def _end_of_scan(frame: bytes, position: int, is_ls: bool) -> tuple[int, tuple[int, ...]]:
    """Return where the coded data end, which is at the next marker, and where restart markers lie in them."""
    restarts = []
    while True:
        position = frame.find(b"\xff", position)
        if position < 0 or position + 1 >= len(frame):
            raise CodestreamError("the JPEG stream ends without its end marker")
        follower = frame[position + 1]
        if follower in _RESTARTS:
            restarts.append(position)
        elif not (follower < 0x80 if is_ls else follower == 0):  # a stuffed bit, or a stuffed byte
            return position, tuple(restarts)
        position += 2


def _check_restarts(frame: bytes, found: list[Segment], scan: Segment) -> None:
    """Raise unless restart markers come in their order, and only where an interval is defined."""
    intervals = [segment for segment in found if segment.marker == DRI]
    numbers = [frame[position + 1] & 7 for position in scan.restarts]
    if numbers and not intervals or numbers != [index % 8 for index in range(len(numbers))]:
        raise CodestreamError("the restart markers of the JPEG stream are not in order")
