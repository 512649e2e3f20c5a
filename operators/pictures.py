"""Pictures of a finding for people: the plain radiograph, and the same with heat map, boxes and outline."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from operators.records import Segmentation

LONGEST_SIDE = 900
HEAT = (255, 140, 0)  # orange; with sky blue and white it stays apart in all common colour deficiencies
BOX = (86, 180, 233)
OUTLINE = (255, 255, 255)
HEAT_OPACITY = 0.55


def plain_picture(pixels: NDArray[np.float32]) -> Image.Image:
    """Return a radiograph (rows, columns) [0, 1] as a grey picture of at most LONGEST_SIDE."""
    grey = Image.fromarray(np.round(pixels * 255).astype(np.uint8))
    grey.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BOX, reducing_gap=None)
    return grey


def finding_picture(segmentation: Segmentation) -> Image.Image:
    """Return the radiograph with the heat map laid over it, the boxes and the outlines, in colour."""
    localization = segmentation.localization
    grey = plain_picture(localization.classification.radiograph.pixels)
    rows, columns = localization.heatmap.shape
    heat = np.asarray(Image.fromarray(localization.heatmap).resize(grey.size, Image.Resampling.BOX))
    opacity = (HEAT_OPACITY * np.sqrt(np.clip(heat, 0, 1)))[..., None]  # the root, so that a weak map is seen too
    picture = np.asarray(grey, np.float32)[..., None] * (1 - opacity) + np.array(HEAT, np.float32) * opacity
    for mask in segmentation.masks:
        small = np.asarray(Image.fromarray(mask).convert("L").resize(grey.size, Image.Resampling.BOX)) > 127
        picture[ndimage.binary_dilation(small) & ~small] = OUTLINE
    image = Image.fromarray(np.round(picture).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    scale_x, scale_y = grey.width / columns, grey.height / rows
    for box in localization.boxes:
        left, top = box.left * scale_x, box.top * scale_y
        right, bottom = max(left, box.right * scale_x - 1), max(top, box.bottom * scale_y - 1)
        draw.rectangle([left, top, right, bottom], outline=BOX, width=max(1, max(grey.size) // 300))
    return image


def data_uri(image: Image.Image) -> str:
    """Return a picture as a JPEG data URI, for a page that is one file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
