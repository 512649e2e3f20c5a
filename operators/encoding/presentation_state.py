"""Segmentation -> presentation state of one image: boxes, outlines and text that a viewer switches (PS3.3 A.33.1)."""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import Any, cast

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

from operators.drawing.colours import BOX, OUTLINE
from operators.drawing.contours import drawn_contours
from operators.encoding.requests import ImageRequest
from operators.encoding.series import add_body_part, describe_state, identify
from operators.reading.lookup_tables import stretched_modality_lut, stretched_voi_lut
from operators.records.codes import place
from operators.records.geometry import PixelBox
from operators.records.images import Localization
from operators.records.provenance import APPLICATION, RESEARCH_USE_ONLY, Provenance, tracking_id

# The grey-scale pipeline of the source (PS3.3 C.11.1, C.11.2): a state without it shows the image without its window.
_MODALITY_LUT = ("ModalityLUTSequence", "RescaleIntercept", "RescaleSlope", "RescaleType")
_VOI_LUT = ("VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction")
_COLOURS = {"BOXES": BOX, "OUTLINES": OUTLINE, "TEXT": BOX}


def encode_presentation_state(request: ImageRequest) -> Dataset:
    """Build the presentation state of an image, whatever its state.

    It shows the grey values as the image's own header does.
    """
    segmentation, provenance = request.segmentation, request.provenance
    source = segmentation.source
    referenced = _without_grey_scale(source.header)
    annotations = _annotate(request, referenced)
    state = hd.pr.GrayscaleSoftcopyPresentationState(
        referenced_images=[referenced],
        content_label="OSTEOMAP",
        content_description=RESEARCH_USE_ONLY,
        content_creator_name="OsteoMAP^",
        graphic_layers=[layer for layer, _ in annotations],
        graphic_annotations=[annotation for _, annotation in annotations],
        **identify(request),
    )
    add_body_part(state, request.subject)
    _add_grey_scale(state, source.header)
    _add_pixel_shape(state, source.imager_pixel_spacing_mm)
    provenance.stamp(state)
    state.PresentationCreationDate = provenance.now.strftime("%Y%m%d")
    state.PresentationCreationTime = provenance.now.strftime("%H%M%S")
    return cast(Dataset, state)


def _without_grey_scale(header: Dataset) -> Dataset:
    """Return a header without its LUTs; highdicom would refuse or change some of them, so they are added afterwards."""
    plain = Dataset()
    for element in header:
        if element.keyword not in (*_MODALITY_LUT, *_VOI_LUT):
            plain.add(element)
    return plain


def _add_pixel_shape(state: Dataset, spacing_mm: tuple[float, float] | None) -> None:
    """Say how pixels that are not square are to be displayed (PS3.3 C.10.4); highdicom calls all of them square."""
    if spacing_mm is None or spacing_mm[0] == spacing_mm[1]:
        return
    for area in state.DisplayedAreaSelectionSequence:
        del area.PresentationPixelAspectRatio
        area.PresentationPixelSpacing = list(spacing_mm)


def _add_grey_scale(state: Dataset, header: Dataset) -> None:
    """Copy Modality LUT and VOI LUT of the source, a table before a window, as ``radiographs`` applies them."""
    factor, voi = _add_modality_lut(state, header), Dataset()
    if header.get("VOILUTSequence"):
        modality = state.ModalityLUTSequence[0] if factor != 1 else None
        if modality is not None:  # tables that fit each other no longer: one for both
            modality = header.ModalityLUTSequence[0]
            del state.ModalityLUTSequence
        voi.VOILUTSequence = [stretched_voi_lut(header.VOILUTSequence[0], modality)]
    elif header.get("WindowCenter") is not None and header.get("WindowWidth") is not None:
        linear = header.get("VOILUTFunction", "LINEAR") == "LINEAR"
        window = (_first(header.WindowCenter), _first(header.WindowWidth))
        voi.WindowCenter, voi.WindowWidth = window if factor == 1 else _stretched(window, factor, linear)
        if header.get("VOILUTFunction"):
            voi.VOILUTFunction = header.VOILUTFunction
    if len(voi):
        state.SoftcopyVOILUTSequence = [voi]
    if header.get("PhotometricInterpretation") == "MONOCHROME1":
        state.PresentationLUTShape = "INVERSE"


def _add_modality_lut(state: Dataset, header: Dataset) -> float:
    """Copy Modality LUT or rescale of the source; return by what its outputs were multiplied."""
    factor = 1.0
    if header.get("ModalityLUTSequence"):
        item, factor = stretched_modality_lut(header.ModalityLUTSequence[0])
        state.ModalityLUTSequence = [item]
    elif header.get("RescaleSlope") is not None and header.get("RescaleIntercept") is not None:
        state.RescaleSlope, state.RescaleIntercept = header.RescaleSlope, header.RescaleIntercept
        state.RescaleType = header.get("RescaleType") or "US"  # unspecified
    return factor


def _stretched(window: tuple[Any, Any], factor: float, linear: bool) -> tuple[str, str]:
    """Return a window for values that were multiplied; LINEAR counts from pixel centres (PS3.3 C.11.2.1.2.1)."""
    shift = (0.5, 1.0) if linear else (0.0, 0.0)
    centre, width = ((float(value) - off) * factor + off for value, off in zip(window, shift, strict=True))
    return format_number_as_ds(centre), format_number_as_ds(width)


def _first(value: object) -> object:
    """Return the first of several values: a presentation state holds one window, the one that is shown."""
    return value[0] if isinstance(value, MutableSequence) else value


def _annotate(request: ImageRequest, referenced: Dataset) -> list[tuple[hd.pr.GraphicLayer, hd.pr.GraphicAnnotation]]:
    """Return a layer of boxes, one of outlines and one of text, each with what lies on it; empty ones are left out."""
    segmentation = request.segmentation
    boxes, outlines, texts = [], [], _head(segmentation.localization, request.provenance)
    for index, (box, mask, uid) in enumerate(
        zip(segmentation.localization.boxes, segmentation.masks, request.tracking_uids, strict=True)
    ):
        names = {"tracking_id": tracking_id(request.number, index), "tracking_uid": uid}
        boxes.append(_polyline(_corners(box), names))
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
        ", ".join(describe_state(localization.classification)),
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
