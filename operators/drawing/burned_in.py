"""Segmentation -> the picture of a Secondary Capture: radiograph, boxes, outlines, and words in bands beside it.

Nothing covers the bone but the lines, the numbers at the boxes, and no patient's data are drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from operators.drawing.colours import BOX
from operators.drawing.contours import drawn_contours
from operators.drawing.displayed import displayed, true_aspect
from operators.drawing.marks import BLACK, GREY, WHITE, Rectangle, band_of, draw_box, draw_outline, font_of
from operators.records.images import Segmentation
from operators.records.states import State

SMALLEST, LARGEST = 1024, 2048  # longest side of the radiograph in the picture, pixels
LINES_PER_SIDE = 48  # lines of text that would fill the longest side: legible when a viewer shows all of it


@dataclass(frozen=True, slots=True)
class Words:
    """What is written: above the radiograph ``head`` and, larger, the lines of ``state``; below it ``foot``."""

    head: str
    state: tuple[str, ...]
    foot: str


def burn(segmentation: Segmentation, words: Words) -> NDArray[np.uint8]:
    """Return the picture of an image, (rows, columns, 3) uint8 RGB."""
    localization = segmentation.localization
    pixels = localization.classification.radiograph.pixels
    header = segmentation.source.header
    radiograph = _scaled(displayed(pixels, header), true_aspect(header))
    scale = (radiograph.width / pixels.shape[1], radiograph.height / pixels.shape[0])
    draw, size = ImageDraw.Draw(radiograph), _font_size(radiograph)
    for mask in segmentation.masks:
        draw_outline(draw, drawn_contours(mask), scale, max(3, size // 9))
    boxes = [
        (box.left * scale[0], box.top * scale[1], box.right * scale[0], box.bottom * scale[1])
        for box in localization.boxes
    ]
    dash = size if localization.classification.state == State.DOUBT else None
    for left, top, right, bottom in boxes:
        draw_box(draw, (left, top, max(left, right - 1), max(top, bottom - 1)), max(2, size // 7), dash)
    _label(radiograph, boxes, [f"{number}: {score:.2f}" for number, score in enumerate(localization.scores, start=1)])
    width = max(radiograph.width, max(radiograph.size) // 2)  # room for words beside a narrow radiograph
    lines = [(words.head, size, WHITE), *((line, size * 5 // 4, WHITE) for line in words.state)]
    above = band_of(lines, width, size // 2)
    below = band_of([(words.foot, size * 3 // 4, GREY)], width, size // 2)
    height = above.height + radiograph.height + below.height
    picture = Image.new("RGB", (width, height + height % 2))  # DICOM pads an odd number of bytes, at which dwv stumbles
    picture.paste(above, (0, 0))
    picture.paste(radiograph, ((width - radiograph.width) // 2, above.height))
    picture.paste(below, (0, above.height + radiograph.height))
    return np.asarray(picture)


def _scaled(pixels: NDArray[np.float32], aspect: float) -> Image.Image:
    """Return a radiograph (rows, columns) [0, 1] in grey, its longest side between SMALLEST and LARGEST.

    ``aspect`` is the height of a pixel over its width.
    """
    grey = Image.fromarray(np.round(pixels * 255).astype(np.uint8))
    width, height = grey.width, grey.height * aspect
    factor = min(max(width, height, SMALLEST), LARGEST) / max(width, height)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return grey.resize(size, Image.Resampling.BICUBIC).convert("RGB")


def _font_size(image: Image.Image) -> int:
    return max(image.size) // LINES_PER_SIDE


def _label(image: Image.Image, boxes: Sequence[Rectangle], texts: Sequence[str]) -> None:
    """Write a text at each box."""
    draw, font = ImageDraw.Draw(image), font_of(_font_size(image))
    sizes = [(draw.textlength(text, font) + font.size * 0.6, font.size * 1.3) for text in texts]
    for (left, top, right, bottom), text in zip(place_labels(boxes, sizes, image.size), texts, strict=True):
        draw.rectangle((left, top, right, bottom), fill=BOX)
        draw.text(((left + right) / 2, (top + bottom) / 2), text, fill=BLACK, font=font, anchor="mm")


def place_labels(
    boxes: Sequence[Rectangle], sizes: Sequence[tuple[float, float]], picture: tuple[int, int]
) -> list[Rectangle]:
    """Return where labels of sizes (width, height) lie: outside their boxes, apart and in the picture if possible."""
    taken: list[Rectangle] = []
    for (left, top, right, bottom), (width, height) in zip(boxes, sizes, strict=True):
        corners = [(x, y) for y in (top - height, bottom) for x in (left, right - width)]
        places = [(x, y, x + width, y + height) for x, y in (*corners, (left, top))]
        free = [place for place in places if _inside(place, picture) and not any(_meet(place, o) for o in taken)]
        taken.append(free[0] if free else _moved_inside(places[-1], picture))
    return taken


def _inside(place: Rectangle, size: tuple[int, int]) -> bool:
    return place[0] >= 0 and place[1] >= 0 and place[2] <= size[0] and place[3] <= size[1]


def _meet(first: Rectangle, second: Rectangle) -> bool:
    across = first[0] < second[2] and second[0] < first[2]
    return across and first[1] < second[3] and second[1] < first[3]


def _moved_inside(place: Rectangle, size: tuple[int, int]) -> Rectangle:
    left = max(0.0, min(place[0], size[0] - (place[2] - place[0])))
    top = max(0.0, min(place[1], size[1] - (place[3] - place[1])))
    return left, top, left + place[2] - place[0], top + place[3] - place[1]
