"""Lines and words of a picture: boxes, outlines, and bands of text beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from operators.drawing.colours import BOX, Colour

WHITE, BLACK, GREY = (255, 255, 255), (0, 0, 0), (190, 190, 190)
Rectangle = tuple[float, float, float, float]  # left, top, right, bottom, pixels


def font_of(size: int) -> ImageFont.FreeTypeFont:
    """Return Pillow's own font: no font of the system is needed."""
    return cast(ImageFont.FreeTypeFont, ImageFont.load_default(size))


def draw_box(draw: ImageDraw.ImageDraw, box: Rectangle, width: int, dash: int | None) -> None:
    """Draw the lines of a box within it; ``dash``: their length and twice that of the gaps, None for whole lines."""
    left, top, right, bottom = (round(side) for side in box)
    if dash is None:
        draw.rectangle((left, top, right, bottom), outline=BOX, width=width)
        return
    for x in range(left, right + 1, dash * 3 // 2):
        for y in (top, max(top, bottom - width + 1)):
            draw.rectangle((x, y, min(x + dash - 1, right), min(y + width - 1, bottom)), fill=BOX)
    for y in range(top, bottom + 1, dash * 3 // 2):
        for x in (left, max(left, right - width + 1)):
            draw.rectangle((x, y, min(x + width - 1, right), min(y + dash - 1, bottom)), fill=BOX)


def draw_outline(
    draw: ImageDraw.ImageDraw, polygons: Sequence[NDArray[np.float64]], scale: tuple[float, float], width: int
) -> None:
    """Draw closed polygons (n, 2) of (column, row), scaled, in white with a dark edge: it is seen on white bone too."""
    scaled = [(polygon * scale).round() for polygon in polygons]
    for colour, thickness in ((BLACK, width + 4), (WHITE, width)):
        for polygon in scaled:
            points = [tuple(point) for point in polygon.tolist()]
            draw.line([*points, *points[:2]], fill=colour, width=thickness, joint="curve")


def band_of(texts: Sequence[tuple[str, int, Colour]], width: int, margin: int) -> Image.Image:
    """Return a black band of texts (text, font size, colour), as high as the wrapped lines need."""
    lines = [
        (line, font, colour)
        for text, size, colour in texts
        for font in [font_of(size)]
        for line in wrapped(text, font, width - 2 * margin)
    ]
    heights = [round(font.size * 1.35) for _, font, _ in lines]
    band = Image.new("RGB", (width, sum(heights) + margin))
    draw, top = ImageDraw.Draw(band), margin // 2
    for (line, font, colour), height in zip(lines, heights, strict=True):
        draw.text((margin, top), line, fill=colour, font=font)
        top += height
    return band


def wrapped(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Break a text into lines of at most a width, between words."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
