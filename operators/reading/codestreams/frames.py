"""Coded frame and header -> the decoded frame, after all that can be checked before, and with all that codecs say."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial

from pydicom.dataset import Dataset
from pydicom.uid import (
    JPEG2000,
    UID,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
)

from operators.reading.codestreams import jpeg, jpeg_2000
from operators.reading.codestreams.block_steps import LEAST_SCORE, step_score
from operators.reading.codestreams.codec_messages import DoubtfulPixelsWarning
from operators.reading.codestreams.frame_header import FrameHeader
from operators.reading.codestreams.jpeg_coefficients import block_means
from operators.reading.codestreams.jpeg_entropy import check_sample_count
from operators.records.errors import InvalidDicomError
from operators.records.reasons import FailedReason

_SEQUENTIAL, _LOSSLESS = (JPEGBaseline8Bit, JPEGExtended12Bit), (JPEGLossless, JPEGLosslessSV1)
# RLE frames have no size of their own: their segments are checked while they are decoded.
_READERS: Mapping[UID, Callable[[bytes], FrameHeader]] = {
    JPEGBaseline8Bit: partial(jpeg.read_frame_header, kinds=(jpeg.BASELINE, jpeg.EXTENDED)),
    JPEGExtended12Bit: partial(jpeg.read_frame_header, kinds=(jpeg.BASELINE, jpeg.EXTENDED)),
    JPEGLossless: partial(jpeg.read_frame_header, kinds=(jpeg.LOSSLESS,)),
    JPEGLosslessSV1: partial(jpeg.read_frame_header, kinds=(jpeg.LOSSLESS,)),
    JPEGLSLossless: partial(jpeg.read_frame_header, kinds=(jpeg.JPEG_LS,)),
    JPEGLSNearLossless: partial(jpeg.read_frame_header, kinds=(jpeg.JPEG_LS,)),
    JPEG2000Lossless: jpeg_2000.read_frame_header,
    JPEG2000: jpeg_2000.read_frame_header,
}


def sound_frame(frame: bytes, syntax: UID, header: Dataset) -> bytes:
    """Return a coded frame, without what does not belong to it, after checking its structure and its size.

    Raises
    ------
    CodestreamError
        If its structure is damaged.
    InvalidDicomError
        If it has another size, another number of samples or other bits than the header says.
    """
    if syntax not in _READERS:
        return frame
    if syntax in (JPEG2000Lossless, JPEG2000):
        frame = jpeg_2000.codestream(frame)
    check_size(_READERS[syntax](frame), header)
    return frame


def check_codes(frame: bytes, syntax: UID) -> None:
    """Check the codes of a sound frame where its decoder does not: JPEG with Huffman codes.

    Raises
    ------
    CodestreamError
        If they are impossible, or are not exactly those of the picture.

    Warns
    -----
    DoubtfulPixelsWarning
        If the picture steps as it does after damage.
    """
    if syntax in _LOSSLESS:
        check_sample_count(frame)
    elif syntax in _SEQUENTIAL:
        precision = _READERS[syntax](frame).precision
        means, unit = block_means(frame)
        scale = 2.0 ** (precision - 8)
        if step_score(means / scale, unit / scale) >= LEAST_SCORE:
            warnings.warn("from one block on, all are brighter or darker", DoubtfulPixelsWarning, stacklevel=1)


def check_size(found: FrameHeader, header: Dataset) -> None:
    """Raise InvalidDicomError unless a codestream's picture is the one that the header describes (PS3.5 8.2)."""
    stored, allocated = int(header.BitsStored), int(header.BitsAllocated)
    said = FrameHeader(int(header.Rows), int(header.Columns), int(header.get("SamplesPerPixel") or 1), stored)
    same = (found.rows, found.columns, found.components) == (said.rows, said.columns, said.components)
    if not same or not stored <= found.precision <= allocated:
        raise InvalidDicomError(
            FailedReason.HEADER_INVALID,
            f"the header says {said}, the compressed data have {found}; correct the header at the source",
        )
