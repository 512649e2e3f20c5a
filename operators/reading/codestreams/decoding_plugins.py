"""The decoders that pydicom is to use: one for each transfer syntax, the strictest, most of them our own.

pydicom tries one decoder after the other until one does not complain; of damaged data the last word would be that of
the most lenient. What codecs do not check, our plugins do: they raise CodestreamError for damage, and warn with
DoubtfulPixelsWarning where sound data can look the same. ``register`` makes pydicom know them.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

import gdcm
from pydicom.pixels.decoders.base import (
    JPEG2000Decoder,
    JPEG2000LosslessDecoder,
    JPEGBaseline8BitDecoder,
    JPEGExtended12BitDecoder,
    RLELosslessDecoder,
)
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
    RLELossless,
)

from operators.reading.codestreams import jpeg_2000, openjpeg, rle
from operators.reading.codestreams.codec_messages import DoubtfulPixelsWarning
from operators.reading.codestreams.frame_header import CodestreamError

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import DecodeRunner

OURS = "osteomap"
DECODER_DEPENDENCIES = {  # pydicom's plugin interface
    JPEGBaseline8Bit: ("gdcm",),
    JPEGExtended12Bit: ("gdcm",),
    JPEG2000Lossless: ("pillow",),
    JPEG2000: ("pillow",),
    RLELossless: ("numpy",),
}
PLUGINS: Mapping[UID, str] = {
    JPEGBaseline8Bit: OURS,
    JPEGExtended12Bit: OURS,
    JPEGLossless: "gdcm",
    JPEGLosslessSV1: "gdcm",
    JPEGLSLossless: "pyjpegls",
    JPEGLSNearLossless: "pyjpegls",
    JPEG2000Lossless: OURS,
    JPEG2000: OURS,
    RLELossless: OURS,
}
# What OpenJPEG says where a code-block uses fewer or more bytes than it has. Some encoders leave out up to 3 bytes at
# an end, none adds any. One that cuts code-blocks to meet a rate now and then ends a single one otherwise: there, only
# several prove damage.
_WRONG_END = re.compile(r"PTERM check failure: (\d+) (remaining|synthesized)")
_USUAL_BYTES, _MOST_DOUBTFUL = 3, 2
_START_OF_FRAME = (b"\xff\xc0", b"\xff\xc1")


def is_available(uid: str) -> bool:
    """Say whether the plugins decode a transfer syntax (pydicom's plugin interface)."""
    return uid in DECODER_DEPENDENCIES


def sample_precision(frame: bytes) -> int:
    """Return the bits per sample that a baseline or extended JPEG stream declares (ISO/IEC 10918-1 B.2.2).

    The header's Bits Stored may be less: encoders keep the stream at 12 bits and the values low.

    Raises
    ------
    ValueError
        If the stream has no start of frame, or a precision that the process does not have.
    """
    starts = [frame.find(marker) for marker in _START_OF_FRAME]
    start = min((position for position in starts if position >= 0), default=-1)
    if start < 0 or start + 4 >= len(frame):
        raise ValueError("no start of frame in the JPEG stream")
    precision = frame[start + 4]
    if precision not in (8, 12):  # GDCM writes and reads 16, with all pixels white
        raise ValueError(f"{precision} bits per sample in the JPEG stream, which knows 8 and 12")
    return precision


def decode_jpeg(frame: bytes, runner: DecodeRunner) -> bytes:
    """Return the decoded frame of a sequential stream, little-endian, at its own precision (pydicom's interface).

    GDCM decodes 12 bits, too, which pydicom's own plugin for it refuses.
    """
    precision = sample_precision(frame)
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(frame)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((runner.columns, runner.rows, 1))
    image.SetDataElement(element)
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
    allocated = 8 if precision <= 8 else 16
    runner.set_option("bits_allocated", allocated)
    runner.set_option(
        "bits_stored", precision
    )  # else pydicom masks what a lossy stream overshoots, and white turns black
    image.SetPixelFormat(gdcm.PixelFormat(1, allocated, precision, precision - 1, 0))
    buffer: str = image.GetBuffer()
    return buffer.encode("utf-8", "surrogateescape")  # GDCM hands bytes over as str


def decode_jpeg_2000(frame: bytes, runner: DecodeRunner) -> bytes:
    """Return the decoded frame, little-endian (pydicom's plugin interface)."""
    samples, messages = openjpeg.decode(jpeg_2000.with_termination_checks(frame))
    ends = [match for match in map(_WRONG_END.match, messages) if match is not None]
    wrong = sum(match[2] == "remaining" or int(match[1]) > _USUAL_BYTES for match in ends)
    wrong += jpeg_2000.has_empty_span(frame)
    most = 0 if runner.transfer_syntax == JPEG2000Lossless else _MOST_DOUBTFUL
    if len(ends) < len(messages) or wrong > most:
        raise CodestreamError("code-blocks of the JPEG 2000 stream are damaged")
    if wrong:
        warnings.warn(f"{wrong} parts of the JPEG 2000 stream are unusual", DoubtfulPixelsWarning, stacklevel=1)
    precision = jpeg_2000.read_frame_header(frame).precision
    allocated = 8 if precision <= 8 else 16 if precision <= 16 else 32
    runner.set_option("bits_allocated", allocated)
    return samples.astype(f"<u{allocated // 8}").tobytes()


def decode_rle(frame: bytes, runner: DecodeRunner) -> bytes:
    """Return the decoded frame of one sample per pixel, little-endian (pydicom's plugin interface)."""
    samples = rle.decode(frame, runner.rows * runner.columns, runner.bits_allocated // 8)
    return samples.tobytes()


def register() -> None:
    """Make pydicom know our plugins, once."""
    for decoder, function in _DECODERS.items():
        if OURS not in decoder.available_plugins:
            decoder.add_plugin(OURS, (__name__, function))


_DECODERS = {
    JPEGBaseline8BitDecoder: "decode_jpeg",
    JPEGExtended12BitDecoder: "decode_jpeg",
    JPEG2000LosslessDecoder: "decode_jpeg_2000",
    JPEG2000Decoder: "decode_jpeg_2000",
    RLELosslessDecoder: "decode_rle",
}
