"""The decoders that pydicom is to use: one for each transfer syntax, the strictest, and two of our own.

pydicom tries one decoder after the other until one does not complain; of damaged data the last word would be that of
the most lenient. JPEG Extended with 12 bits is decoded by GDCM, which pydicom's own plugin refuses. Importing
this module registers nothing; ``register`` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import gdcm
from pydicom.pixels.decoders.base import JPEGExtended12BitDecoder, RLELosslessDecoder
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

from operators.reading.codestreams import rle

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import DecodeRunner

OURS = "osteomap"
DECODER_DEPENDENCIES = {JPEGExtended12Bit: ("gdcm",), RLELossless: ("numpy",)}  # pydicom's plugin interface
PLUGINS: Mapping[UID, str] = {
    JPEGBaseline8Bit: "gdcm",
    JPEGExtended12Bit: OURS,
    JPEGLossless: "gdcm",
    JPEGLosslessSV1: "gdcm",
    JPEGLSLossless: "pyjpegls",
    JPEGLSNearLossless: "pyjpegls",
    JPEG2000Lossless: "gdcm",
    JPEG2000: "gdcm",
    RLELossless: OURS,
}
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


def decode_jpeg_extended(frame: bytes, runner: DecodeRunner) -> bytes:
    """Return the decoded frame, little-endian, at the stream's own precision (pydicom's plugin interface)."""
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


def decode_rle(frame: bytes, runner: DecodeRunner) -> bytes:
    """Return the decoded frame of one sample per pixel, little-endian (pydicom's plugin interface)."""
    samples = rle.decode(frame, runner.rows * runner.columns, runner.bits_allocated // 8)
    return samples.tobytes()


def register() -> None:
    """Make pydicom know our plugins, once."""
    for decoder, function in ((JPEGExtended12BitDecoder, "decode_jpeg_extended"), (RLELosslessDecoder, "decode_rle")):
        if OURS not in decoder.available_plugins:
            decoder.add_plugin(OURS, (__name__, function))
