"""Where the pixels of an image file lie for 3D Slicer and ITK-SNAP, as the header of a NIfTI image.

Those viewers read files with ITK: an index (i, j) is (column, row), and the world is LPS, x to the patient's left and y
backwards. NIfTI's world is RAS, so x and y change their sign. Origin and direction are 0 and the identity but in NIfTI;
what ITK takes for a pixel's spacing depends on the format:

- PNG: the chunk sCAL, which ITK itself writes, whatever its unit, else 1; pHYs is ignored.
- JPEG: the JFIF density where it has a unit, else 1.
- DICOM: Imager Pixel Spacing of CR and DX, else 1; Pixel Spacing is ignored.
- NIfTI: what its header says.

Notes
-----
Read in the source of ITK 5 (PNGImageIO, JPEGImageIO, GDCMImageIO), not tried with ITK itself; for DICOM a test asks
GDCM, with which ITK reads it. ITK would place a CR or DX object by an Image Position (Patient), which neither IOD
knows; we do not.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import nibabel
import numpy as np

PNG = b"\x89PNG\r\n\x1a\n"
CENTIMETRES_PER_UNIT = {1: 2.54, 2: 1.0}  # of a JFIF density: inch, centimetre
GEOMETRY = (
    *("pixdim", "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"),
)


def grid_of(columns: int, rows: int, spacing: tuple[float, float] = (1.0, 1.0)) -> nibabel.Nifti1Header:
    """Return the geometry of an image that ITK places at its origin, direction identity.

    Parameters
    ----------
    columns, rows
        Size, pixels.
    spacing
        (column, row) spacing as ITK gives it: mm, or 1 for a file that tells none.

    Returns
    -------
    A header of shape (columns, rows, 1): voxel (i, j, 0) is the pixel of column i and row j, at RAS (-i sx, -j sy, 0).
    """
    affine = np.diag([-spacing[0], -spacing[1], 1.0, 1.0])
    header = nibabel.Nifti1Header()
    header.set_data_shape((columns, rows, 1))
    header.set_xyzt_units("mm")
    header.set_qform(affine, code="scanner")
    header.set_sform(affine, code="scanner")
    return header


def grid_of_nifti(image: nibabel.Nifti1Image) -> nibabel.Nifti1Header:
    """Return the geometry of a NIfTI image, without what else its header tells."""
    header = nibabel.Nifti1Header()
    header.set_data_shape(image.shape)
    for name in GEOMETRY:
        header[name] = image.header[name]
    return header


def jpeg_spacing(info: Mapping[Any, Any]) -> tuple[float, float]:
    """Return the (column, row) spacing in mm that a JFIF density tells, or 1."""
    centimetres, density = CENTIMETRES_PER_UNIT.get(info.get("jfif_unit", 0)), info.get("jfif_density", (0, 0))
    if centimetres is None or min(density) <= 0:
        return 1.0, 1.0
    return 10 * centimetres / density[0], 10 * centimetres / density[1]


def png_spacing(path: Path) -> tuple[float, float]:
    """Return the (column, row) spacing that a PNG's sCAL chunk tells, or 1 (PNG specification, 11.3.5.4)."""
    with path.open("rb") as stream:
        stream.seek(len(PNG))
        for kind, data in _png_chunks(stream):
            if kind == b"sCAL":
                return _positive_pair(data[1:])
    return 1.0, 1.0


def _positive_pair(data: bytes) -> tuple[float, float]:
    """Return the two numbers of a sCAL chunk, or 1 where they are none: libpng leaves such a chunk out."""
    try:
        width, height = (float(text) for text in data.split(b"\0"))
    except ValueError:
        return 1.0, 1.0
    return (width, height) if 0 < min(width, height) <= max(width, height) < np.inf else (1.0, 1.0)


def _png_chunks(stream: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Yield (kind, data) of the chunks before the pixels."""
    while len(head := stream.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind in (b"IDAT", b"IEND"):
            return
        yield kind, stream.read(length)
        stream.seek(4, 1)  # the checksum; Pillow has seen to it
