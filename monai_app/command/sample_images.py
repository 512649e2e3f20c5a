"""A phantom as DICOM files in every transfer syntax that is read: what an installation is checked with."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    JPEG2000,
    UID,
    ComputedRadiographyImageStorage,
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

_PILLOW = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEG2000)
_GDCM = {
    JPEG2000Lossless: gdcm.TransferSyntax.JPEG2000Lossless,
    JPEGLossless: gdcm.TransferSyntax.JPEGLosslessProcess14,
    JPEGLosslessSV1: gdcm.TransferSyntax.JPEGLosslessProcess14_1,
}


def phantom(rows: int, columns: int) -> NDArray[np.uint8]:
    """Draw a bone with a step in it, (rows, columns), 0 to 255: nothing that a model is measured by."""
    y, x = np.mgrid[0:rows, 0:columns] / rows
    centre = columns / rows / 2 + np.where(y > 0.5, 0.03, 0.0)
    bone = np.exp(-(((x - centre) / (0.07 + 0.05 * (2 * y - 1) ** 2)) ** 4))
    soft = np.exp(-(((x - columns / rows / 2) / 0.3) ** 4))
    grain = np.random.default_rng(1).normal(0, 2, (rows, columns))
    drawn: NDArray[np.uint8] = np.clip(20 + 70 * soft + 120 * bone + grain, 0, 255).astype(np.uint8)
    return drawn


def sample(syntax: UID, rows: int = 96, columns: int = 80) -> bytes:
    """Return the phantom as the bytes of a CR file in a transfer syntax.

    Parameters
    ----------
    syntax
        One of ``SYNTAXES``.
    rows, columns
        Its size in pixels.
    """
    pixels = phantom(rows, columns)
    ds = _header(rows, columns)
    ds.add_new("PixelData", "OW", pixels.tobytes())
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    encode(ds, pixels, syntax)
    ds.file_meta.TransferSyntaxUID = syntax
    return file_bytes(ds)


def _header(rows: int, columns: int) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID = ComputedRadiographyImageStorage
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = (f"2.25.{number}" for number in (11, 12, 13))
    ds.Modality, ds.PatientID, ds.PatientName, ds.PatientIdentityRemoved = "CR", "phantom", "Phantom", "YES"
    ds.BodyPartExamined, ds.ViewPosition, ds.Laterality, ds.PatientOrientation = "FOREARM", "AP", "L", ["L", "F"]
    ds.BurnedInAnnotation = "NO"
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = rows, columns, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.WindowCenter, ds.WindowWidth = 128, 256
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    return ds


def file_bytes(ds: Dataset) -> bytes:
    """Return a data set as the bytes of its file."""
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _set_frame(ds: Dataset, frame: bytes) -> None:
    ds.PixelData = encapsulate([frame])
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True


def encode(
    ds: Dataset,
    pixels: NDArray[np.unsignedinteger],
    syntax: UID,
    *,
    jpeg_quality: int = 95,
    jpeg_2000_ratio: int = 4,
    jpeg_ls_error: int = 1,
) -> None:
    """Encode the pixels of a data set, whose Pixel Data are in Explicit VR Little Endian.

    Parameters
    ----------
    ds
        Changed in place; the transfer syntax in its meta information is the caller's to change afterwards.
    pixels
        What its Pixel Data hold, (rows, columns) uint8 or uint16; 8 bits for JPEG Baseline, JPEG Extended and lossy
        JPEG 2000.
    syntax
        One of ``SYNTAXES``.
    jpeg_quality, jpeg_2000_ratio, jpeg_ls_error
        How much the lossy syntaxes lose.
    """
    if syntax in _PILLOW:
        _set_frame(ds, _pillow(pixels, syntax, jpeg_quality, jpeg_2000_ratio))
    elif syntax in _GDCM:
        _set_frame(ds, _gdcm(ds, syntax))
    elif syntax == JPEGLSNearLossless:
        ds.compress(syntax, jls_error=jpeg_ls_error)
    elif syntax.is_encapsulated:
        ds.compress(syntax)
    elif syntax == ExplicitVRBigEndian:
        ds.PixelData = pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()


def _pillow(pixels: NDArray[np.unsignedinteger], syntax: UID, quality: int, ratio: int) -> bytes:
    buffer = io.BytesIO()
    options: dict[str, Any] = {"format": "JPEG", "quality": quality}
    if syntax == JPEG2000:
        options = {"format": "JPEG2000", "no_jp2": True, "irreversible": True}
        options |= {"quality_mode": "rates", "quality_layers": [ratio]}
    Image.fromarray(pixels).save(buffer, **options)
    frame = buffer.getvalue()
    if syntax == JPEGExtended12Bit:  # the same process at 8 bits, under its own start of frame
        frame = frame.replace(b"\xff\xc0", b"\xff\xc1", 1)
    return frame


def _gdcm(ds: Dataset, syntax: UID) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "source"), Path(folder, "target")
        source.write_bytes(file_bytes(ds))
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(source))
        read = reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(_GDCM[syntax]))
        change.SetInput(reader.GetImage())
        changed = read and change.Change()
        writer.SetFileName(str(target))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        if not changed or not writer.Write():
            raise RuntimeError("GDCM cannot encode the image")
        return next(generate_frames(dcmread(target).PixelData, number_of_frames=1))


SYNTAXES = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEG2000Lossless,
    JPEG2000,
    RLELossless,
)
LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000)
