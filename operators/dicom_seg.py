"""Segmentation -> BINARY DICOM SEG of one image, one segment per box (PS3.3 A.51, in memory)."""

from __future__ import annotations

from dataclasses import dataclass

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset

from operators.codes import BODY_PARTS, LESION, MORPHOLOGICALLY_ALTERED_STRUCTURE
from operators.dicom_source import is_referable
from operators.errors import EncodingError
from operators.provenance import RESEARCH_USE_ONLY, Provenance, equipment, tracking_id
from operators.records import EncodedImage, Segmentation

FIRST_SERIES_NUMBER = 9001


@dataclass(frozen=True, slots=True)
class SegRule:
    """How the object is written.

    ``viewer_geometry`` adds a plane geometry where the header gives a spacing. The Standard reserves it for images
    with a Frame of Reference, which radiographs lack, but some viewers need it to draw the segment at all.
    """

    viewer_geometry: bool


def encode_segmentation(segmentation: Segmentation, provenance: Provenance, rule: SegRule) -> EncodedImage:
    """Build the SEG of an image; none if there is nothing to outline, or no valid UID to refer to.

    Raises
    ------
    EncodingError
        If highdicom refuses the object.
    """
    source = segmentation.source.sop_instance_uid
    tracking = tuple(provenance.uid("tracking", source, str(index)) for index in range(len(segmentation.masks)))
    outlined = [index for index, mask in enumerate(segmentation.masks) if mask.any()]
    numbers = tuple(outlined.index(index) + 1 if index in outlined else None for index in range(len(tracking)))
    if not outlined or not is_referable(segmentation.source.header):
        return EncodedImage(segmentation, None, tracking, numbers)
    try:
        seg = _build(segmentation, outlined, tracking, provenance)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise EncodingError(f"the SEG object cannot be built ({type(error).__name__})") from error
    seg.PatientOrientation = (
        segmentation.source.header.get("PatientOrientation") or None
    )  # type 2C; highdicom leaves it out
    if rule.viewer_geometry:
        _add_viewer_geometry(seg, segmentation.source.imager_pixel_spacing_mm)
    provenance.stamp(seg)
    return EncodedImage(segmentation, seg, tracking, numbers)


def _build(
    segmentation: Segmentation, outlined: list[int], tracking: tuple[str, ...], provenance: Provenance
) -> hd.seg.Segmentation:
    source = segmentation.source
    region = BODY_PARTS.get(source.body_part or "")
    descriptions = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=f"Abnormality {index + 1}",
            segmented_property_category=MORPHOLOGICALLY_ALTERED_STRUCTURE,
            segmented_property_type=LESION,
            algorithm_type="AUTOMATIC",
            algorithm_identification=provenance.algorithm(provenance.segmenter),
            tracking_uid=tracking[index],
            tracking_id=tracking_id(index),
            anatomic_regions=None if region is None else [region],
        )
        for number, index in enumerate(outlined, start=1)
    ]
    masks = np.stack([segmentation.masks[index] for index in outlined], axis=-1)
    return hd.seg.Segmentation(
        source_images=[source.header],
        pixel_array=masks[np.newaxis].astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=descriptions,
        series_instance_uid=provenance.uid("seg series", source.sop_instance_uid),
        series_number=FIRST_SERIES_NUMBER,
        sop_instance_uid=provenance.uid("seg", source.sop_instance_uid),
        instance_number=1,
        content_label="ABNORMALITY",
        content_description=RESEARCH_USE_ONLY,
        content_creator_name="OsteoMAP^",
        series_description="OsteoMAP segmentation (research use only)",
        contributing_equipment=provenance.contributing_equipment(),
        **equipment(provenance),
    )


def _add_viewer_geometry(seg: Dataset, spacing_mm: tuple[float, float] | None) -> None:
    """Add the plane geometry of the detector, if its spacing is known; nothing is invented."""
    if spacing_mm is None:
        return
    shared = seg.SharedFunctionalGroupsSequence[0]
    shared.PixelMeasuresSequence = hd.PixelMeasuresSequence(
        pixel_spacing=spacing_mm, slice_thickness=1.0, spacing_between_slices=1.0
    )
    shared.PlaneOrientationSequence = hd.PlaneOrientationSequence("PATIENT", [1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    for frame in seg.PerFrameFunctionalGroupsSequence:
        frame.PlanePositionSequence = hd.PlanePositionSequence("PATIENT", [0.0, 0.0, 0.0])
