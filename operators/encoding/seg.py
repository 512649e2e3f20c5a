"""Segmentation -> DICOM SEG of one image, one segment per box: BINARY (PS3.3 A.51) and LABELMAP (PS3.3 A.51, 2024)."""

from __future__ import annotations

from typing import cast

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from operators.drawing.colours import SEGMENTS
from operators.encoding.requests import ImageRequest
from operators.encoding.series import identify
from operators.reading.scope import plane_spacing
from operators.records.codes import BODY_PARTS, MORPHOLOGICALLY_ALTERED_STRUCTURE, in_sentence
from operators.records.provenance import RESEARCH_USE_ONLY, tracking_id
from operators.records.states import State


def encode_seg(request: ImageRequest) -> Dataset | None:
    """Build the BINARY SEG of an image, which holds every mask as it is; None if nothing is outlined."""
    masks = [mask for mask in request.segmentation.masks if mask.any()]
    if not masks:
        return None
    pixels = np.stack(masks, axis=-1)[np.newaxis].astype(np.uint8)
    return complete(_build("BINARY", pixels, request), request)


def encode_labelmap(request: ImageRequest) -> Dataset | None:
    """Build the LABELMAP SEG of an image, with the segments and numbers of ``encode_seg``; None if nothing is outlined.

    A pixel of a label map belongs to one segment: where masks overlap, the later one, whose box scored lower, gives
    way. One that is covered altogether keeps its description and has no pixels.
    """
    masks = [mask for mask in request.segmentation.masks if mask.any()]
    if not masks:
        return None
    labels = np.zeros((1, *masks[0].shape), np.uint8)
    for number, mask in reversed(list(enumerate(masks, start=1))):
        labels[0, mask] = number
    return complete(_build("LABELMAP", labels, request), request)


def complete(seg: hd.seg.Segmentation, request: ImageRequest) -> Dataset:
    """Add to a SEG what highdicom leaves out, and make it the same in every run."""
    source = request.source
    seg.PatientOrientation = source.header.get("PatientOrientation") or None  # type 2C of General Image
    _identify_segment_per_frame(seg)
    _add_plane_geometry(seg, source.header)
    request.provenance.stamp(seg, source.header)
    return cast(Dataset, seg)


def _build(segmentation_type: str, pixels: NDArray[np.uint8], request: ImageRequest) -> hd.seg.Segmentation:
    return hd.seg.Segmentation(
        source_images=[request.source.header],
        pixel_array=pixels,
        segmentation_type=segmentation_type,
        segment_descriptions=_describe(request),
        content_label="ABNORMALITY",
        content_description=RESEARCH_USE_ONLY,
        content_creator_name="OsteoMAP^",
        **identify(request),
    )


def _describe(request: ImageRequest) -> list[hd.seg.SegmentDescription]:
    """Return the segment of every mask that is not empty."""
    segmentation, provenance = request.segmentation, request.provenance
    region = BODY_PARTS.get(segmentation.source.body_part or "")
    in_doubt = " (in doubt)" if segmentation.localization.classification.state == State.DOUBT else ""
    outlined = [index for index, mask in enumerate(segmentation.masks) if mask.any()]
    return [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=f"Suspected {in_sentence(provenance.finding)} {index + 1}{in_doubt}",
            segmented_property_category=MORPHOLOGICALLY_ALTERED_STRUCTURE,
            segmented_property_type=provenance.finding,
            algorithm_type="AUTOMATIC",
            algorithm_identification=provenance.algorithm(provenance.segmenter),
            display_color=hd.color.CIELabColor.from_rgb(*SEGMENTS[index % len(SEGMENTS)]),
            tracking_uid=request.tracking_uids[index],
            tracking_id=tracking_id(request.number, index),
            anatomic_regions=None if region is None else [region],
        )
        for number, index in enumerate(outlined, start=1)
    ]


def _identify_segment_per_frame(seg: Dataset) -> None:
    """Say with each frame which segment it shows, also where all frames show the same one; dwv looks nowhere else."""
    shared = seg.SharedFunctionalGroupsSequence[0]
    if "SegmentIdentificationSequence" in shared:
        for frame in seg.PerFrameFunctionalGroupsSequence:
            frame.SegmentIdentificationSequence = shared.SegmentIdentificationSequence
        del shared.SegmentIdentificationSequence


def _add_plane_geometry(seg: Dataset, header: Dataset) -> None:
    """Add the plane that readers of SEG need to show it or to read it at all, and say what its spacing is.

    It is no position in the patient: the Standard reserves it for images with a Frame of Reference (PS3.3 A.51.5.1).
    """
    spacing = plane_spacing(header)
    shared = seg.SharedFunctionalGroupsSequence[0]
    shared.PixelMeasuresSequence = hd.PixelMeasuresSequence(
        pixel_spacing=(spacing.row, spacing.column), slice_thickness=1.0, spacing_between_slices=1.0
    )
    shared.PlaneOrientationSequence = hd.PlaneOrientationSequence("PATIENT", [1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    for frame in seg.PerFrameFunctionalGroupsSequence:
        frame.PlanePositionSequence = hd.PlanePositionSequence("PATIENT", [0.0, 0.0, 0.0])
        content = frame.FrameContentSequence[0]
        content.DimensionIndexValues = [content.DimensionIndexValues, 1]
    seg.DimensionIndexSequence.append(_position_as_dimension(seg))
    seg.ImageComments = f"Pixel Spacing: {spacing.origin}. Not a position in the patient."


def _position_as_dimension(seg: Dataset) -> Dataset:
    """Return the index of the planes, of which there is one: dwv takes no segmentation without it (PS3.3 C.7.6.17)."""
    index = Dataset()
    index.DimensionOrganizationUID = seg.DimensionOrganizationSequence[0].DimensionOrganizationUID
    index.DimensionIndexPointer = Tag("ImagePositionPatient")
    index.FunctionalGroupPointer = Tag("PlanePositionSequence")
    index.DimensionDescriptionLabel = "Image Position (Patient)"
    return index
