"""The graphics of a presentation state: boxes, outlines and text, each on a layer of its own (PS3.3 C.10.5)."""

from __future__ import annotations

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from operators.drawing.colours import BOX, OUTLINE
from operators.drawing.contours import drawn_contours
from operators.encoding.requests import ImageRequest
from operators.encoding.series import describe_state
from operators.records.codes import place
from operators.records.geometry import PixelBox
from operators.records.images import Localization
from operators.records.provenance import APPLICATION, RESEARCH_USE_ONLY, Provenance, tracking_id
from operators.records.states import State

_COLOURS = {"BOXES": BOX, "OUTLINES": OUTLINE, "TEXT": BOX}


def annotate(request: ImageRequest, referenced: Dataset) -> list[tuple[hd.pr.GraphicLayer, hd.pr.GraphicAnnotation]]:
    """Return a layer of boxes, one of outlines and one of text, each with what lies on it; empty ones are left out."""
    segmentation = request.segmentation
    boxes, outlines, texts = [], [], _head(segmentation.localization, request.provenance)
    for index, (box, mask, uid) in enumerate(
        zip(segmentation.localization.boxes, segmentation.masks, request.tracking_uids, strict=True)
    ):
        names = {"tracking_id": tracking_id(request.number, index), "tracking_uid": uid}
        boxes.append(_polyline(_corners(box), names))
        if segmentation.localization.classification.state == State.DOUBT:
            boxes[-1].LineStyleSequence = [_dashed()]
        outlines += [_polyline(polygon, names) for polygon in drawn_contours(mask)]
        texts.append(_label(segmentation.localization, index, names))
    found: list[tuple[hd.pr.GraphicLayer, hd.pr.GraphicAnnotation]] = []
    for name, graphics, words in (("BOXES", boxes, []), ("OUTLINES", outlines, []), ("TEXT", [], texts)):
        if graphics or words:
            layer = hd.pr.GraphicLayer(
                name,
                order=len(found) + 1,
                description=f"{APPLICATION} {name.lower()} (research use only)",
                display_color=hd.color.CIELabColor.from_rgb(*_COLOURS[name]),
            )
            found.append((layer, hd.pr.GraphicAnnotation([referenced], layer, None, None, graphics, words)))
    return found


def _polyline(points: NDArray[np.float64], names: dict[str, str]) -> hd.pr.GraphicObject:
    """Return a closed polyline; PIXEL units are pixel edges, from 0 to Columns and Rows (PS3.3 C.10.5.1.2)."""
    return hd.pr.GraphicObject("POLYLINE", np.vstack([points, points[:1]]), "PIXEL", **names)


def _dashed() -> Dataset:
    """Return the style of a box in doubt (PS3.3 C.10.5.1.5): a pattern of eight on, eight off, two points thick."""
    style = Dataset()
    style.PatternOnOpacity, style.PatternOffOpacity = 1.0, 0.0
    style.PatternOnColorCIELabValue = list(hd.color.CIELabColor.from_rgb(*BOX).value)
    style.LineThickness = 2.0
    style.LineDashingStyle, style.LinePattern = "DASHED", 0x00FF
    style.ShadowStyle, style.ShadowOpacity = "OFF", 0.0
    style.ShadowOffsetX = style.ShadowOffsetY = 0.0
    style.ShadowColorCIELabValue = [0, 32896, 32896]  # black
    return style


def _corners(box: PixelBox) -> NDArray[np.float64]:
    return np.array(
        [[box.left, box.top], [box.right, box.top], [box.right, box.bottom], [box.left, box.bottom]], np.float64
    )


def _head(localization: Localization, provenance: Provenance) -> list[hd.pr.TextObject]:
    """Return what is said of the image, at the top of the display."""
    source = localization.source
    lines = (
        f"{APPLICATION} {provenance.version}: {RESEARCH_USE_ONLY}",
        place(source.body_part, source.laterality, source.view_position),
        ", ".join(describe_state(localization, provenance.finding)),
    )
    return [
        hd.pr.TextObject(
            line,
            "DISPLAY",
            bounding_box=(0.01, 0.01 + 0.03 * row, 0.99, 0.04 + 0.03 * row),
            text_justification="LEFT",
        )
        for row, line in enumerate(lines)
    ]


def _label(localization: Localization, index: int, names: dict[str, str]) -> hd.pr.TextObject:
    """Return number and score of a box, above it where there is room, else inside."""
    box, (rows, columns) = localization.boxes[index], localization.heatmap.shape
    height, width = max(rows, columns) / 40, max(rows, columns) / 8
    left, top = max(0.0, min(box.left, columns - width)), box.top - height if box.top >= height else box.top
    return hd.pr.TextObject(
        f"{index + 1}: {localization.scores[index]:.2f}",
        "PIXEL",
        bounding_box=(left, top, min(left + width, columns), min(top + height, rows)),
        text_justification="LEFT",
        **names,
    )
