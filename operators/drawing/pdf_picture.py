"""A picture with its layers -> vector graphics of a PDF page."""

from __future__ import annotations

import io

from reportlab import rl_config
from reportlab.lib.colors import Color, HexColor, black, white
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase.pdfmetrics import registerFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Flowable

from operators.drawing import colours
from operators.drawing.colours import as_hex
from operators.records.images import BoxMark, Picture

FONT, BOLD = "Vera", "VeraBd"  # of reportlab, embedded in the document
GAP = 8.5  # points
BOX, HALO = HexColor(as_hex(colours.BOX)), Color(0, 0, 0, 0.65)

rl_config.useA85 = 0  # pictures as they are, not as text
for _name in (FONT, BOLD):
    registerFont(TTFont(_name, f"{_name}.ttf"))


class PictureDrawing(Flowable):
    """The radiograph, and, if there is a finding, beside it the same with heat map, boxes and outlines.

    Lines stay sharp at any zoom, and pixels have their true shape.

    Parameters
    ----------
    picture
        What is drawn.
    width, height
        The most that both places together may take, points; a radiograph alone takes one of them.
    """

    def __init__(self, picture: Picture, width: float, height: float) -> None:
        super().__init__()
        self.picture = picture
        self.scale = min((width - GAP) / 2 / picture.columns, height / picture.height)
        places = 1 if picture.heat is None else 2
        self.width = places * picture.columns * self.scale + (places - 1) * GAP
        self.height = picture.height * self.scale + 4

    def draw(self) -> None:
        """Draw on the canvas; within, a unit is the width of a pixel of the original image, with y down."""
        self._draw_at(0, None)
        if self.picture.heat is not None:
            self._draw_at(self.picture.columns * self.scale + GAP, self.picture.heat)

    def _draw_at(self, shift: float, heat: bytes | None) -> None:
        """Draw the radiograph, with its layers where there is a heat map."""
        picture, canvas = self.picture, self.canv
        size = (picture.columns, picture.height)
        canvas.saveState()
        canvas.translate(shift, 4)
        canvas.scale(self.scale, self.scale)
        canvas.drawImage(ImageReader(io.BytesIO(picture.radiograph)), 0, 0, *size)
        if heat is not None:
            canvas.setFillAlpha(0.55)
            canvas.drawImage(ImageReader(io.BytesIO(heat)), 0, 0, *size, mask="auto")
            canvas.setFillAlpha(1)
            canvas.translate(0, picture.height)
            canvas.scale(1, -1)
            self._draw_lines()
        canvas.restoreState()

    def _draw_lines(self) -> None:
        canvas, point = self.canv, 1 / self.scale
        for width, colour in ((2, HALO), (0.9, white)):
            canvas.setLineWidth(width * point)
            canvas.setStrokeColor(colour)
            for polygon in (polygon for outline in self.picture.outlines for polygon in outline):
                path = canvas.beginPath()
                corners = polygon * (1, self.picture.aspect)
                path.moveTo(*corners[0])
                for corner in corners[1:]:
                    path.lineTo(*corner)
                path.close()
                canvas.drawPath(path)
        for mark in self.picture.boxes:
            self._draw_box(mark, point)

    def _draw_box(self, mark: BoxMark, point: float) -> None:
        canvas, box, aspect = self.canv, mark.box, self.picture.aspect
        for width, colour, dash in ((2.2, HALO, []), (1.1, BOX, [4 * point, 2 * point])):
            canvas.setLineWidth(width * point)
            canvas.setStrokeColor(colour)
            canvas.setDash(dash)
            canvas.rect(box.left, box.top * aspect, box.width, box.height * aspect)
        left, top, width, height = mark.tag
        canvas.setFillColor(BOX)
        canvas.rect(left, top, width, height, stroke=0, fill=1)
        canvas.saveState()
        canvas.translate(left + width / 2, top + 0.78 * height)
        canvas.scale(1, -1)
        canvas.setFillColor(black)
        canvas.setFont(BOLD, 0.72 * height)
        canvas.drawCentredString(0, 0, str(mark.number))
        canvas.restoreState()
