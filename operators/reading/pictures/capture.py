"""The Secondary Capture that a picture is wrapped in (PS3.3 A.8.1): what is known of it, and nothing else.

It is the same in every run and every version, as its UIDs are derived from the bytes of the file alone.
"""

from __future__ import annotations

import hashlib
import uuid

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

SERIES_DESCRIPTION = "OsteoMAP wrapped picture (research use only)"  # by it the object is known as one of ours
_BITS_PER_BYTE = 8


def capture_header(file_sha256: str, rows: int, columns: int, bits: int, jpeg_ratio: float | None) -> Dataset:
    """Return the header of a picture's Secondary Capture.

    Parameters
    ----------
    file_sha256
        Of the bytes of the picture's file, as hexadecimal. The UIDs are derived from it, and a Patient ID, so that no
        archive takes the pictures of several patients for those of one.
    rows, columns
        Of the picture.
    bits
        Of a grey value, 8 or 16.
    jpeg_ratio
        How much smaller a JPEG file is than its values; None: nothing was lost.
    """
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.SOPClassUID = SecondaryCaptureImageStorage
    ds.SOPInstanceUID = _uid("instance", file_sha256)
    ds.StudyInstanceUID = _uid("study", file_sha256)
    ds.SeriesInstanceUID = _uid("series", file_sha256)
    ds.Modality = "OT"  # nothing says how the picture was made
    ds.PatientID = f"PICTURE-{file_sha256[:12].upper()}"
    ds.SeriesNumber = ds.InstanceNumber = 1
    add_pixel_description(ds, rows, columns, bits)
    add_compression(ds, jpeg_ratio)
    return ds


def add_pixel_description(ds: Dataset, rows: int, columns: int, bits: int) -> None:
    """Say how the pixels of a picture are stored, and that every value is shown as it is (PS3.3 C.7.6.3, C.11.2)."""
    ds.Rows, ds.Columns = rows, columns
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = bits
    ds.HighBit, ds.PixelRepresentation = bits - 1, 0
    ds.WindowCenter, ds.WindowWidth = 2 ** (bits - 1), 2**bits


def add_compression(ds: Dataset, jpeg_ratio: float | None) -> None:
    """Say whether the pixels were compressed with loss before they were wrapped (PS3.3 C.7.6.1.1.5)."""
    ds.LossyImageCompression = "00" if jpeg_ratio is None else "01"
    if jpeg_ratio is not None:
        ds.LossyImageCompressionRatio = round(jpeg_ratio, 2)
        ds.LossyImageCompressionMethod = "ISO_10918_1"


def add_pixel_data(ds: Dataset, stored: NDArray[np.unsignedinteger]) -> None:
    """Add stored values, (rows, columns) uint8 or uint16, in little endian."""
    data = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
    ds.add_new("PixelData", "OW" if stored.dtype.itemsize > 1 else "OB", data + b"\0" * (len(data) % 2))


def wrap_picture(header: Dataset, stored: NDArray[np.unsignedinteger]) -> Dataset:
    """Return the whole Secondary Capture of a normalised header and stored values, (rows, columns) uint8 or uint16."""
    ds = Dataset()
    for element in header:
        ds.add(element)
    ds.ConversionType = "WSD"
    ds.SeriesDescription = SERIES_DESCRIPTION
    ds.Laterality = ds.PatientOrientation = None  # not known
    add_pixel_data(ds, stored)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds


def stored_type(header: Dataset) -> type[np.unsignedinteger]:
    """Return the type of a capture's stored values."""
    return np.uint8 if header.BitsAllocated == _BITS_PER_BYTE else np.uint16


def _uid(kind: str, file_sha256: str) -> str:
    digest = hashlib.sha256(f"OsteoMAP picture 1\n{kind}\n{file_sha256}".encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"
