"""Display shutters of a source image: what of it is not to be displayed (PS3.3 C.7.6.11)."""

from __future__ import annotations

from collections.abc import Mapping, MutableSequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset

_EDGES = (
    "ShutterLeftVerticalEdge",
    "ShutterRightVerticalEdge",
    "ShutterUpperHorizontalEdge",
    "ShutterLowerHorizontalEdge",
)
_OF_SHAPE: Mapping[str, tuple[str, ...]] = {
    "RECTANGULAR": _EDGES,
    "CIRCULAR": ("CenterOfCircularShutter", "RadiusOfCircularShutter"),
    "POLYGONAL": ("VerticesOfThePolygonalShutter",),
}
SHUTTER = ("ShutterShape", *(keyword for keywords in _OF_SHAPE.values() for keyword in keywords))
COLLIMATOR = tuple(keyword.replace("Shutter", "Collimator") for keyword in SHUTTER)  # PS3.3 C.8.7.3, the same meaning
SHUTTER_VALUE = "ShutterPresentationValue"
_LEAST_SHOWN = 0.01  # of an image: a shutter that hides more is a mistake of the header


def drop_incomplete_shutters(copy: Dataset) -> list[str]:
    """Remove from a normalised copy the shutters whose shape is not told or that hide all; return what is gone."""
    rows, columns = int(copy.get("Rows") or 0), int(copy.get("Columns") or 0)
    shapes = [shape for shape in _shapes(copy) if shape in _OF_SHAPE and _is_told(copy, shape)]
    trial = Dataset()
    trial.update({element.tag: element for element in copy if element.keyword in SHUTTER})
    trial.ShutterShape = shapes
    if (
        not shapes
        or not rows * columns
        or exposed(trial, rows, columns, step=1 + max(rows, columns) // 256).mean() < _LEAST_SHOWN
    ):
        shapes = []
    kept = {keyword for shape in shapes for keyword in _OF_SHAPE[shape]}
    gone = [keyword for keyword in (*SHUTTER, SHUTTER_VALUE) if keyword in copy and keyword not in kept]
    gone = [keyword for keyword in gone if not shapes or keyword not in ("ShutterShape", SHUTTER_VALUE)]
    for keyword in gone:
        delattr(copy, keyword)
    if shapes and len(shapes) < len(_shapes(copy)):
        copy.ShutterShape = shapes
        gone.append("ShutterShape")
    return gone


def exposed(header: Dataset, rows: int, columns: int, aspect: float = 1.0, step: int = 1) -> NDArray[np.bool_]:
    """Return what shutters of a normalised header leave to be displayed, bool; all without a shutter.

    Several shutters leave what each of them leaves.

    Parameters
    ----------
    header
        The normalised header.
    rows, columns
        Of the image.
    aspect
        Height of a pixel over its width: a radius counts pixels along a row.
    step
        1: every pixel, (rows, columns); more: every so many rows and columns.
    """
    down, across = np.ogrid[1 : rows + 1 : step, 1 : columns + 1 : step]
    shown = np.ones((down.size, across.size), bool)
    for shape in _shapes(header):
        if shape == "RECTANGULAR":
            left, right, top, bottom = (int(header[keyword].value) for keyword in _EDGES)
            shown &= (down >= top) & (down <= bottom) & (across >= left) & (across <= right)
        elif shape == "CIRCULAR":
            row, column = (int(value) for value in header.CenterOfCircularShutter)
            rise, run = np.float32(aspect) * (down - row).astype(np.float32), (across - column).astype(np.float32)
            shown &= rise**2 + run**2 <= float(header.RadiusOfCircularShutter) ** 2
        elif shape == "POLYGONAL":
            vertices = [int(value) for value in header.VerticesOfThePolygonalShutter]
            picture = Image.new("1", shown.shape[::-1])
            points = [((x - 1) / step, (y - 1) / step) for y, x in zip(vertices[::2], vertices[1::2], strict=True)]
            ImageDraw.Draw(picture).polygon(points, fill=1)
            shown &= np.asarray(picture)
    return shown


def collimator_as_shutter(header: Dataset) -> Dataset:
    """Return a header whose shutters are the collimator of a normalised one, without what is incomplete."""
    shutter = Dataset()
    for keyword in ("Rows", "Columns", *COLLIMATOR):
        if keyword in header:
            setattr(shutter, keyword.replace("Collimator", "Shutter"), header[keyword].value)
    drop_incomplete_shutters(shutter)
    return shutter


def shutter_level(header: Dataset) -> float:
    """Return the grey level [0, 1] of what a shutter hides: a P-Value of 16 bits, black if none is told."""
    return int(header.get(SHUTTER_VALUE) or 0) / 65535


def _shapes(header: Dataset) -> list[str]:
    value = header.get("ShutterShape")
    return list(value) if isinstance(value, MutableSequence) else [value] if value else []


def _is_told(header: Dataset, shape: str) -> bool:
    if not all(keyword in header for keyword in _OF_SHAPE[shape]):
        return False
    vertices = header.get("VerticesOfThePolygonalShutter")
    return shape != "POLYGONAL" or (
        isinstance(vertices, MutableSequence) and len(vertices) >= 6 and len(vertices) % 2 == 0
    )
