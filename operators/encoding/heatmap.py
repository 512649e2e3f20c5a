"""Localization -> the heat map as FRACTIONAL DICOM SEG of one segment (PS3.3 A.51, in memory)."""

from __future__ import annotations

from collections.abc import Mapping

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from operators.encoding.seg import complete
from operators.encoding.series import identify
from operators.records.codes import BODY_PARTS
from operators.records.images import Localization
from operators.records.provenance import RESEARCH_USE_ONLY, Provenance

# How ``Localization.map_name`` begins -> CID 217 Visual Explanation.
_VISUAL_EXPLANATIONS: Mapping[str, Code] = {
    "CAM": Code("130402", "DCM", "Class activation"),
    "Grad-CAM": Code("130403", "DCM", "Gradient-weighted class activation"),
}
_SALIENCY = Code("130404", "DCM", "Saliency")
# CID 7150: a map of where a network looked is neither anatomy nor a lesion.
_SPATIAL_CONCEPT = Code("309825002", "SCT", "Spatial and Relational Concept")
_LEVELS = 255


def encode_heatmap(localization: Localization, provenance: Provenance, viewer_geometry: bool) -> Dataset | None:
    """Build the heat map of an image; None if the image is normal or the map is zero everywhere.

    Parameters
    ----------
    localization
        Of an image that can be referred to.
    provenance
        Who makes the object; the first classifier made the map.
    viewer_geometry
        See ``encode_seg``.

    Notes
    -----
    Of the two Segmentation Fractional Types, PROBABILITY says how likely the property is at a pixel, OCCUPANCY how much
    of the pixel it fills (PS3.3 C.8.20.2.3). A class activation map is a probability per pixel; other maps are relative
    to their own maximum, so that type is only the nearer one: the segment's label names the map.
    """
    levels = np.round(np.clip(localization.heatmap, 0, 1) * _LEVELS)
    if localization.classification.state == "normal" or not levels.any():
        return None
    source = localization.source
    seg = hd.seg.Segmentation(
        source_images=[source.header],
        pixel_array=(levels / _LEVELS)[np.newaxis],
        segmentation_type="FRACTIONAL",
        fractional_type="PROBABILITY",
        max_fractional_value=_LEVELS,
        segment_descriptions=[_describe(localization, provenance)],
        content_label="HEATMAP",
        content_description=RESEARCH_USE_ONLY,
        content_creator_name="OsteoMAP^",
        **identify("heatmap", source, provenance),
    )
    return complete(seg, source, provenance, viewer_geometry)


def _describe(localization: Localization, provenance: Provenance) -> hd.seg.SegmentDescription:
    region = BODY_PARTS.get(localization.source.body_part or "")
    return hd.seg.SegmentDescription(
        segment_number=1,
        segment_label=f"Heat map ({localization.map_name})"[:64],
        segmented_property_category=_SPATIAL_CONCEPT,
        segmented_property_type=_explanation(localization.map_name),
        algorithm_type="AUTOMATIC",
        algorithm_identification=provenance.algorithm(provenance.classifiers[0]),
        anatomic_regions=None if region is None else [region],
    )


def _explanation(map_name: str) -> Code:
    """Return the concept of a map by how its name begins."""
    return next((code for name, code in _VISUAL_EXPLANATIONS.items() if map_name.startswith(name)), _SALIENCY)
