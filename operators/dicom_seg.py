"""Segmentation -> BINARY DICOM SEG of one image, one segment per box (PS3.3 A.51, in memory)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset

from operators.codes import BODY_PARTS, LESION, MORPHOLOGICALLY_ALTERED_STRUCTURE
from operators.provenance import RESEARCH_USE_ONLY, Provenance, equipment, tracking_id
from operators.records import Segmentation

FIRST_SERIES_NUMBER = 9001


def encode_seg(
    segmentation: Segmentation, tracking_uids: Sequence[str], provenance: Provenance, viewer_geometry: bool
) -> Dataset | None:
    """Build the SEG of an image; None if nothing is outlined.

    Parameters
    ----------
    segmentation
        The outlined boxes of an image that can be referred to.
    tracking_uids
        One per box.
    provenance
        Who makes the object.
    viewer_geometry
        Add a plane geometry where the header gives a spacing. The Standard reserves it for images with a Frame of
        Reference, which radiographs lack, but some viewers need it to draw the segment at all.
    """
    outlined = [index for index, mask in enumerate(segmentation.masks) if mask.any()]
    if not outlined:
        return None
    seg = _build(segmentation, outlined, tracking_uids, provenance)
    seg.PatientOrientation = (
        segmentation.source.header.get("PatientOrientation") or None
    )  # type 2C; highdicom leaves it out
    if viewer_geometry:
        _add_viewer_geometry(seg, segmentation.source.imager_pixel_spacing_mm)
    provenance.stamp(seg)
    return cast(Dataset, seg)


def _build(
    segmentation: Segmentation, outlined: list[int], tracking: Sequence[str], provenance: Provenance
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
