"""Segmentation -> presentation state of one image: boxes, outlines and text that a viewer switches (PS3.3 A.33.1)."""

from __future__ import annotations

from typing import cast

import highdicom as hd
from pydicom.dataset import Dataset

from operators.encoding.gsps.annotations import annotate
from operators.encoding.gsps.grey_scale import MODALITY_LUT, VOI_LUT, add_grey_scale
from operators.encoding.gsps.source_display import add_source_display
from operators.encoding.requests import ImageRequest
from operators.encoding.series import add_body_part, identify
from operators.reading.scope import SpacingOrigin, plane_spacing
from operators.records.provenance import RESEARCH_USE_ONLY


def encode_presentation_state(request: ImageRequest) -> Dataset:
    """Build the presentation state of an image, whatever its state.

    It shows the grey values as the image's own header does.
    """
    segmentation, provenance = request.segmentation, request.provenance
    source = segmentation.source
    referenced = _without_grey_scale(source.header)
    annotations = annotate(request, referenced)
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
    add_grey_scale(state, source.header)
    _add_pixel_shape(state, source.header)
    add_source_display(state, source.header)
    provenance.stamp(state, source.header)
    state.PresentationCreationDate = provenance.now.strftime("%Y%m%d")
    state.PresentationCreationTime = provenance.now.strftime("%H%M%S")
    return cast(Dataset, state)


def _without_grey_scale(header: Dataset) -> Dataset:
    """Return a header without its LUTs; highdicom would refuse or change some of them, so they are added afterwards."""
    plain = Dataset()
    for element in header:
        if element.keyword not in (*MODALITY_LUT, *VOI_LUT):
            plain.add(element)
    return plain


def _add_pixel_shape(state: Dataset, header: Dataset) -> None:
    """Say how pixels that are not square are to be displayed (PS3.3 C.10.4); highdicom calls all of them square."""
    spacing = plane_spacing(header)
    if spacing.aspect == 1:
        return
    for area in state.DisplayedAreaSelectionSequence:
        del area.PresentationPixelAspectRatio
        if spacing.origin is SpacingOrigin.ASPECT_RATIO:
            area.PresentationPixelAspectRatio = list(header.PixelAspectRatio)
        else:
            area.PresentationPixelSpacing = [spacing.row, spacing.column]
