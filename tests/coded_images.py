"""Radiographs in every transfer syntax that is read, made by independent encoders: GDCM, CharLS, Pillow, pydicom."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from tests.phantoms import radiograph

EIGHT_BITS = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEG2000)
_GDCM = {
    JPEG2000Lossless: gdcm.TransferSyntax.JPEG2000Lossless,
    JPEGLossless: gdcm.TransferSyntax.JPEGLosslessProcess14,
    JPEGLosslessSV1: gdcm.TransferSyntax.JPEGLosslessProcess14_1,
}


def coded(stored: NDArray[np.uint16], syntax: UID, key: str = "a", **header: Any) -> Dataset:
    """A DX phantom of stored values of 12 bits (of 8 in ``EIGHT_BITS``), in a transfer syntax."""
    bits = 8 if syntax in EIGHT_BITS else 12
    pixels = (stored >> 4).astype(np.uint8) if bits == 8 else stored
    window = {"WindowCenter": 2 ** (bits - 1), "WindowWidth": 2**bits}
    ds = radiograph(key, stored=pixels, **({"BitsStored": bits, "HighBit": bits - 1} | window | header))
    _ENCODERS[syntax](ds, pixels, syntax)
    ds.file_meta.TransferSyntaxUID = syntax
    return ds


def content(ds: Dataset) -> bytes:
    """The bytes of the file."""
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def frame_of(ds: Dataset) -> bytes:
    """The coded frame."""
    return next(generate_frames(ds.PixelData, number_of_frames=1))


def with_frame(ds: Dataset, frame: bytes) -> Dataset:
    """The data set with another coded frame."""
    ds.PixelData = encapsulate([frame])
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    return ds


def _native(_ds: Dataset, _pixels: NDArray[Any], _syntax: UID) -> None:
    pass


def _big_endian(ds: Dataset, pixels: NDArray[Any], _syntax: UID) -> None:
    ds.PixelData = pixels.astype(">u2").tobytes()


def _compress(ds: Dataset, _pixels: NDArray[Any], syntax: UID) -> None:
    ds.compress(syntax, **({"jls_error": 2} if syntax == JPEGLSNearLossless else {}))


def _pillow(ds: Dataset, pixels: NDArray[Any], syntax: UID) -> None:
    buffer = io.BytesIO()
    options: dict[str, Any] = {"format": "JPEG", "quality": 90}
    if syntax == JPEG2000:
        options = {"format": "JPEG2000", "no_jp2": True, "irreversible": True}
        options |= {"quality_mode": "rates", "quality_layers": [10]}
    Image.fromarray(pixels).save(buffer, **options)
    frame = buffer.getvalue()
    if syntax == JPEGExtended12Bit:  # the same process at 8 bits, under its own start of frame
        frame = frame.replace(b"\xff\xc0", b"\xff\xc1", 1)
    with_frame(ds, frame)


def _gdcm(ds: Dataset, _pixels: NDArray[Any], syntax: UID) -> None:
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    with_frame(ds, frame_of(dcmread(io.BytesIO(_changed_by_gdcm(content(ds), syntax)))))


def _changed_by_gdcm(file: bytes, syntax: UID) -> bytes:

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "source"), Path(folder, "target")
        source.write_bytes(file)
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(source))
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(_GDCM[syntax]))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFileName(str(target))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        return target.read_bytes()


_ENCODERS: Mapping[UID, Callable[[Dataset, NDArray[Any], UID], None]] = {
    ImplicitVRLittleEndian: _native,
    ExplicitVRLittleEndian: _native,
    ExplicitVRBigEndian: _big_endian,
    DeflatedExplicitVRLittleEndian: _native,
    JPEGBaseline8Bit: _pillow,
    JPEGExtended12Bit: _pillow,
    JPEGLossless: _gdcm,
    JPEGLosslessSV1: _gdcm,
    JPEGLSLossless: _compress,
    JPEGLSNearLossless: _compress,
    JPEG2000Lossless: _gdcm,
    JPEG2000: _pillow,
    RLELossless: _compress,
}
SYNTAXES = tuple(_ENCODERS)
COMPRESSED = tuple(syntax for syntax in SYNTAXES if syntax.is_encapsulated)
