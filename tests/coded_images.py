"""Radiographs in every transfer syntax that is read, made by independent encoders: GDCM, CharLS, Pillow, pydicom."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEG2000, UID, ExplicitVRLittleEndian, JPEGBaseline8Bit, JPEGExtended12Bit

from monai_app.command.sample_images import SYNTAXES, encode, file_bytes
from tests.phantoms import radiograph

EIGHT_BITS = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEG2000)
COMPRESSED = tuple(syntax for syntax in SYNTAXES if syntax.is_encapsulated)


def coded(stored: NDArray[np.uint16], syntax: UID, key: str = "a", **header: Any) -> Dataset:
    """A DX phantom of stored values of 12 bits (of 8 in ``EIGHT_BITS``), in a transfer syntax."""
    bits = 8 if syntax in EIGHT_BITS else 12
    pixels = (stored >> 4).astype(np.uint8) if bits == 8 else stored
    window = {"WindowCenter": 2 ** (bits - 1), "WindowWidth": 2**bits}
    ds = radiograph(key, stored=pixels, **({"BitsStored": bits, "HighBit": bits - 1} | window | header))
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    encode(ds, pixels, syntax, jpeg_quality=90, jpeg_2000_ratio=10, jpeg_ls_error=2)
    ds.file_meta.TransferSyntaxUID = syntax
    return ds


content = file_bytes


def frame_of(ds: Dataset) -> bytes:
    """The coded frame."""
    return next(generate_frames(ds.PixelData, number_of_frames=1))


def with_frame(ds: Dataset, frame: bytes) -> Dataset:
    """The data set with another coded frame."""
    ds.PixelData = encapsulate([frame])
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    return ds
