"""All images of a study on one picture: each small, with its boxes and outlines, its state in words below it."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from operators.drawing.burned_in import Words
from operators.drawing.colours import BOX
from operators.drawing.marks import BLACK, GREY, WHITE, band_of, draw_box, draw_outline, font_of
from operators.records.images import Picture

SIDE, GAP = 480, 16  # pixels: of a tile's picture, and between tiles
MOST_COLUMNS, MOST_TILES = 4, 16
SIZE = 20  # of the words, pixels


@dataclass(frozen=True, slots=True)
class Tile:
    """An image on a sheet.

    Parameters
    ----------
    words
        The lines below it.
    picture
        None for an image that was not analysed.
    in_doubt
        Whether its boxes are dashed.
    """

    words: tuple[str, ...]
    picture: Picture | None = None
    in_doubt: bool = False


def draw_sheet(tiles: Sequence[Tile], words: Words) -> NDArray[np.uint8]:
    """Return a sheet of at most MOST_TILES tiles, (rows, columns, 3) uint8 RGB."""
    drawn = [_draw(tile) for tile in tiles[:MOST_TILES]]
    across = min(MOST_COLUMNS, max(2, math.ceil(math.sqrt(len(drawn)))))
    lines = [drawn[start : start + across] for start in range(0, len(drawn), across)]
    width = across * (SIDE + GAP) + GAP
    more = len(tiles) - len(drawn)
    left_out = f"{more} more images are in the report. " if more else ""
    above = band_of([(words.head, SIZE, WHITE), *((line, SIZE * 3 // 2, WHITE) for line in words.state)], width, GAP)
    below = band_of([(left_out + words.foot, SIZE * 3 // 4, GREY)], width, GAP)
    heights = [max(tile.height for tile in line) + GAP for line in lines]
    height = above.height + sum(heights) + below.height
    sheet = Image.new("RGB", (width, height + height % 2))  # DICOM pads an odd number of bytes
    sheet.paste(above, (0, 0))
    top = above.height
    for line, line_height in zip(lines, heights, strict=True):
        for column, tile in enumerate(line):
            sheet.paste(tile, (GAP + column * (SIDE + GAP), top))
        top += line_height
    sheet.paste(below, (0, top))
    return np.asarray(sheet)


def _draw(tile: Tile) -> Image.Image:
    words = band_of([(line, SIZE, WHITE) for line in tile.words], SIDE, GAP // 2)
    drawn = Image.new("RGB", (SIDE, SIDE + words.height))
    if tile.picture is not None:
        radiograph = _radiograph(tile.picture, tile.in_doubt)
        drawn.paste(radiograph, ((SIDE - radiograph.width) // 2, (SIDE - radiograph.height) // 2))
    drawn.paste(words, (0, SIDE))
    return drawn


def _radiograph(picture: Picture, in_doubt: bool) -> Image.Image:
    """Return a radiograph with boxes, their numbers and outlines, its longest side SIDE."""
    factor = SIDE / max(picture.columns, picture.height)
    size = max(1, round(picture.columns * factor)), max(1, round(picture.height * factor))
    with Image.open(io.BytesIO(picture.radiograph)) as stored:
        drawn = stored.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    draw, scale = ImageDraw.Draw(drawn), (size[0] / picture.columns, size[1] / picture.rows)
    for polygons in picture.outlines:
        draw_outline(draw, polygons, scale, 1)
    for mark in picture.boxes:
        box = mark.box
        left, top, right, bottom = (
            *(box.left * scale[0], box.top * scale[1]),
            *(box.right * scale[0], box.bottom * scale[1]),
        )
        draw_box(draw, (left, top, max(left, right - 1), max(top, bottom - 1)), 2, 8 if in_doubt else None)
        x, y = min(max(left, 0), size[0] - SIZE), top - SIZE if top >= SIZE else top
        draw.rectangle((x, y, x + SIZE - 1, y + SIZE - 1), fill=BOX)
        draw.text((x + SIZE / 2, y + SIZE / 2), str(mark.number), fill=BLACK, font=font_of(SIZE - 4), anchor="mm")
    return drawn
