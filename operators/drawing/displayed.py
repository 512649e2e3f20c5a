"""A radiograph as its header has it displayed: the shape of its pixels, its shutters dark, its overlays drawn in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from operators.reading.display.overlays import overlay_planes
from operators.reading.display.shutters import exposed, shutter_level
from operators.reading.scope import plane_spacing

MOST_OBLONG = 8  # sides of a pixel


def true_aspect(header: Dataset) -> float:
    """Return the height of a pixel over its width as a picture shows it; 1 where what the header says cannot be meant.

    Parameters
    ----------
    header
        The normalised header of the image.
    """
    aspect = plane_spacing(header).aspect
    return aspect if 1 / MOST_OBLONG <= aspect <= MOST_OBLONG else 1.0


def displayed(pixels: NDArray[np.float32], header: Dataset, *, overlays: bool = True) -> NDArray[np.float32]:
    """Return what is displayed of a radiograph; what is analysed is the radiograph itself.

    Parameters
    ----------
    pixels
        (rows, columns) float32 [0, 1].
    header
        The normalised header of the image.
    overlays
        Whether overlays are drawn. They may hold text that names the patient, which only Burned In Annotation denies.
    """
    planes = overlay_planes(header) if overlays else ()
    if not planes and "ShutterShape" not in header:
        return pixels
    rows, columns = pixels.shape
    shown = exposed(header, rows, columns, plane_spacing(header).aspect)
    picture = np.where(shown, pixels, np.float32(shutter_level(header))).astype(np.float32)
    for plane in planes:
        picture[plane.on_image(rows, columns)] = 1
    return picture
