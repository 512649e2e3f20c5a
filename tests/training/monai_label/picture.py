"""The picture of docs/monai_label.md: what the server returns for a phantom of a fractured forearm.

``python -m tests.training.monai_label.picture docs/pictures/monai_label.png``, after ``make monai-label``.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from operators.drawing.colours import BOX, OUTLINE
from operators.drawing.contours import drawn_contours
from operators.drawing.layers import grey_picture, heat_picture
from operators.drawing.marks import WHITE, band_of
from tests.training.monai_label.running import PHANTOMS, Running
from training.datasets.phantoms import draw_phantom, mask_box

POINT = 6  # radius of a drawn point, pixels


def panel(pixels, values, words, box=None, points=()):
    """Return a radiograph with a heat map or an outline on it, and words above it."""
    picture = grey_picture(pixels, side=max(pixels.shape)).convert("RGB")
    if values.dtype == np.float32:
        heat = heat_picture(values).resize(picture.size)
        picture.paste(heat, mask=heat.getchannel("A"))
    draw = ImageDraw.Draw(picture)
    if values.dtype != np.float32:
        for polygon in drawn_contours(values > 0):
            draw.polygon([tuple(point) for point in polygon.tolist()], outline=OUTLINE, width=2)
    if box is not None:
        draw.rectangle(box, outline=BOX, width=2)
    for x, y in points:
        draw.ellipse((x - POINT, y - POINT, x + POINT, y + POINT), fill=BOX)
    band = band_of([(words, 22, WHITE)], picture.width, 20)
    whole = Image.new("RGB", (picture.width, picture.height + 64))
    whole.paste(band, (0, 0))
    whole.paste(picture, (0, 64))
    return whole


def draw(server):
    """Ask the server and return the picture."""
    pixels, box = draw_phantom(*PHANTOMS["step"]).pixels, mask_box(draw_phantom(*PHANTOMS["step"]).mask)
    left, top, right, bottom = box
    middle = [(left + right) // 2, (top + bottom) // 2, 0]
    heat, facts = server.infer("heatmap", "step")
    boxed, _ = server.infer("msk_sam", "step", roi=[left, right - 1, top, bottom - 1, 0, 0])
    clicked, _ = server.infer("msk_sam", "step", foreground=[middle])
    panels = [
        panel(pixels, heat, f"heatmap: {facts['state']}, {facts['probability']:.2f}"),
        panel(pixels, boxed, "msk_sam: a box", box=box),
        panel(pixels, clicked, "msk_sam: a click", points=[middle[:2]]),
    ]
    picture = Image.new("RGB", (sum(each.width for each in panels), panels[0].height))
    for number, each in enumerate(panels):
        picture.paste(each, (number * each.width, 0))
    return picture


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        running = Running(Path(folder))
        try:
            draw(running).save(sys.argv[1], optimize=True)
        finally:
            running.end()
