"""The marker segments of JPEG 2000: the size of the frame, and whether the stream is whole.

Notes
-----
ISO/IEC 15444-1 Annex A.
"""

from __future__ import annotations

from operators.reading.codestreams.frame_header import CodestreamError, FrameHeader

SOC, SIZ, COD, COC, SOT, EOC = 0xFF4F, 0xFF51, 0xFF52, 0xFF53, 0xFF90, 0xFFD9
_BOXED = b"\0\0\0\x0cjP"  # a JP2 file: against PS3.5 A.4.4, and met
_PREDICTABLE_TERMINATION = 0x10
_PADDING = b"\0\xff"
_SPARE_ZEROS = 16


def codestream(frame: bytes) -> bytes:
    """Return the codestream of a frame, out of the JP2 boxes that some equipment leaves around it."""
    if not frame.startswith(_BOXED):
        return frame
    return frame[max(frame.find(b"\xff\x4f\xff\x51"), 0) :]


def read_frame_header(frame: bytes) -> FrameHeader:
    """Return the size of the frame after checking the structure of the whole stream.

    Raises
    ------
    CodestreamError
        If a marker or a length is impossible, the end is missing, or something else than padding follows it.
    """
    found = _main_header(frame)
    _check_tile_parts(frame, found[SOT])
    start = found[SIZ]
    values = [int.from_bytes(frame[start + 2 + 4 * i : start + 6 + 4 * i], "big") for i in range(8)]
    components = int.from_bytes(frame[start + 34 : start + 36], "big")
    return FrameHeader(values[1] - values[3], values[0] - values[2], components, (frame[start + 36] & 0x7F) + 1)


def with_termination_checks(frame: bytes) -> bytes:
    """Return the codestream with a request to the decoder to check how each code-block ends.

    The bit that says "predictable termination" (ISO/IEC 15444-1 Table A.19) changes nothing in how a code-block is
    decoded. It lets the decoder compare the bytes that it used with those that the block has, which after damage
    differ, and in sound streams of any encoder by at most a few bytes.
    """
    changed = bytearray(frame)
    position = 2
    while (marker := _two(frame, position)) != SOT:
        start = position + 4
        if marker == COD:
            changed[start + 8] |= _PREDICTABLE_TERMINATION
        elif marker == COC:
            changed[start + 3] |= _PREDICTABLE_TERMINATION
        position += 2 + _two(frame, position + 2)
    return bytes(changed)


def has_empty_span(frame: bytes) -> bool:
    """Say whether a span of the stream is zero that is longer than all packets of a tile would be without content.

    A packet without content is a byte of zero (B.10.3); the coder of the others hardly gives two of them in a row.
    """
    start = _main_header(frame)[COD]
    if frame[start] & 1:  # precincts of their own: the packets are not easily counted
        return False
    packets = _two(frame, start + 2) * (frame[start + 5] + 1)
    return bytes(packets + _SPARE_ZEROS) in frame


def _two(frame: bytes, position: int) -> int:
    return int.from_bytes(frame[position : position + 2], "big")


def _main_header(frame: bytes) -> dict[int, int]:
    """Return where the segments of the main header have their values, by marker; SOT: where the marker is."""
    if _two(frame, 0) != SOC or _two(frame, 2) != SIZ:
        raise CodestreamError("the JPEG 2000 stream does not begin with its start marker and size")
    found: dict[int, int] = {}
    position = 2
    while (marker := _two(frame, position)) != SOT:
        length = _two(frame, position + 2)
        if not 0xFF50 <= marker <= 0xFF6F or length < 2 or position + 2 + length > len(frame):
            raise CodestreamError("the main header of the JPEG 2000 stream has an impossible marker or length")
        found.setdefault(marker, position + 4)
        position += 2 + length
    if COD not in found or found[COD] + 9 > position or found[SIZ] + 38 > position:
        raise CodestreamError("the main header of the JPEG 2000 stream is not complete")
    return found | {SOT: position}


def _check_tile_parts(frame: bytes, position: int) -> None:
    """Raise unless the tile-parts follow each other by their lengths, up to the end marker (A.4.2)."""
    while _two(frame, position) == SOT:
        length = int.from_bytes(frame[position + 6 : position + 10], "big")
        if _two(frame, position + 2) != 10 or 0 < length < 14:
            raise CodestreamError("a tile-part of the JPEG 2000 stream has an impossible length")
        position = position + length if length else frame.rfind(b"\xff\xd9")  # 0: up to the end
        if position < 0 or position > len(frame):
            raise CodestreamError("the JPEG 2000 stream ends within a tile-part")
    if _two(frame, position) != EOC:
        raise CodestreamError("the tile-parts of the JPEG 2000 stream do not lead to its end marker")
    if frame[position + 2 :].strip(_PADDING):
        raise CodestreamError("data follow the end of the JPEG 2000 stream")
