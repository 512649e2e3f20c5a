"""Pictures of an image for people: the radiograph once, and layers that are laid over it and taken off again."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from operators.drawing.colours import HEAT
from operators.drawing.contours import drawn_contours
from operators.drawing.displayed import displayed, true_aspect
from operators.records.geometry import PixelBox
from operators.records.images import BoxMark, Picture, Segmentation

RADIOGRAPH_SIDE = 1200  # pixels of the longest side
HEAT_SIDE = 256  # of the map, which is smooth
LEAST_HEAT = 0.02  # below it nothing is drawn: a tint all over the picture would say something that the map does not
TEXT_PER_SIDE = 1 / 34  # height of a box's number in longest sides of the image


def draw(segmentation: Segmentation) -> Picture:
    """Return the picture of an image that was analysed."""
    localization = segmentation.localization
    header, pixels = localization.source.header, localization.classification.radiograph.pixels
    shown = displayed(
        pixels, header, overlays=header.get("BurnedInAnnotation") == "NO"
    )  # else text may name the patient
    (rows, columns), aspect = pixels.shape, true_aspect(header)
    heat = None
    if localization.classification.has_finding:
        heat = encode(heat_picture(localization.heatmap), "WEBP", quality=50, alpha_quality=80, method=4)
    return Picture(
        columns,
        rows,
        encode(grey_picture(shown), "JPEG", quality=85),
        heat,
        tuple(mark(number, box, (rows, columns), aspect) for number, box in enumerate(localization.boxes, start=1)),
        tuple(tuple(drawn_contours(mask)) for mask in segmentation.masks),
        localization.map_name,
        aspect,
    )


def grey_picture(pixels: NDArray[np.float32], side: int = RADIOGRAPH_SIDE) -> Image.Image:
    """Return a radiograph (rows, columns) [0, 1] in grey, its longest side at most ``side`` pixels."""
    grey = Image.fromarray(np.round(pixels * 255).astype(np.uint8))
    grey.thumbnail((side, side), Image.Resampling.BOX, reducing_gap=None)
    return grey


def heat_picture(heatmap: NDArray[np.float32]) -> Image.Image:
    """Return a heat map (rows, columns) [0, 1] as one colour whose opacity is the map's root: a weak map shows too."""
    small = Image.fromarray(heatmap)
    small.thumbnail((HEAT_SIDE, HEAT_SIDE), Image.Resampling.BOX, reducing_gap=None)
    share = np.clip((np.asarray(small, np.float32) - LEAST_HEAT) / (1 - LEAST_HEAT), 0, 1)
    picture = Image.new("RGB", small.size, HEAT)
    picture.putalpha(Image.fromarray(np.round(np.sqrt(share) * 255).astype(np.uint8)))
    return picture


def mark(number: int, box: PixelBox, size: tuple[int, int], aspect: float = 1.0) -> BoxMark:
    """Return a box with the tag of its number: above it where there is room, else inside, never beyond the picture.

    ``size`` of the image is (rows, columns); ``aspect`` is the height of a pixel over its width.
    """
    across, down, upper = size[1], size[0] * aspect, box.top * aspect
    height = max(across, down) * TEXT_PER_SIDE * 1.3
    width = height * (0.45 + 0.45 * len(str(number)))
    top = upper - height if upper >= height else upper
    return BoxMark(number, box, (max(min(box.left, across - width), 0), min(top, max(down - height, 0)), width, height))


def svg_path(polygons: Iterable[NDArray[np.float64]]) -> str:
    """Return closed polygons as an SVG path, exact and short: edges of pixels run along a row or a column."""
    path = []
    for polygon in polygons:
        steps = np.diff(polygon, axis=0)
        path.append("M{:g} {:g}".format(*polygon[0]))
        path += [f"h{x:g}" if y == 0 else f"v{y:g}" if x == 0 else f"l{x:g} {y:g}" for x, y in steps]
        path.append("z")
    return "".join(path)


def encode(image: Image.Image, kind: str, **options: int) -> bytes:
    """Return a picture as a file of a kind that Pillow knows."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def data_uri(content: bytes, kind: str) -> str:
    """Return a picture as a data URI, for a page that is one file."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
