"""Localization -> the heat map as FRACTIONAL DICOM SEG of one segment (PS3.3 A.51, in memory)."""

from __future__ import annotations

from collections.abc import Mapping

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from operators.drawing.colours import HEAT
from operators.encoding.requests import ImageRequest
from operators.encoding.seg import complete
from operators.encoding.series import identify
from operators.records.codes import BODY_PARTS
from operators.records.images import Localization
from operators.records.provenance import RESEARCH_USE_ONLY, Provenance
from operators.records.states import State

# ``MapRule.method`` -> CID 217 Visual Explanation; the others have no code of their own.
_VISUAL_EXPLANATIONS: Mapping[str, Code] = {
    "cam": Code("130402", "DCM", "Class activation"),
    "grad_cam": Code("130403", "DCM", "Gradient-weighted class activation"),
    "grad_cam_plus_plus": Code("130403", "DCM", "Gradient-weighted class activation"),
}
_SALIENCY = Code("130404", "DCM", "Saliency")
# CID 7150: a map of where a network looked is neither anatomy nor a lesion.
_SPATIAL_CONCEPT = Code("309825002", "SCT", "Spatial and Relational Concept")
_LEVELS = 255


def encode_heatmap(request: ImageRequest) -> Dataset | None:
    """Build the heat map of an image; None if the image has no finding or the map is zero everywhere.

    Notes
    -----
    Of the two Segmentation Fractional Types, PROBABILITY says how likely the property is at a pixel, OCCUPANCY how much
    of the pixel it fills (PS3.3 C.8.20.2.3). A class activation map is a probability per pixel; other maps are relative
    to their own maximum, so that type is only the nearer one: the segment's label names the map.
    """
    localization, provenance = request.segmentation.localization, request.provenance
    levels = np.round(np.clip(localization.heatmap, 0, 1) * _LEVELS)
    if not localization.classification.has_finding or not levels.any():
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
        **identify(request),
    )
    return complete(seg, request)


def _describe(localization: Localization, provenance: Provenance) -> hd.seg.SegmentDescription:
    region = BODY_PARTS.get(localization.source.body_part or "")
    in_doubt = ", in doubt" if localization.classification.state == State.DOUBT else ""
    return hd.seg.SegmentDescription(
        segment_number=1,
        segment_label=f"Heat map{in_doubt} ({localization.map_name})"[:64],
        segmented_property_category=_SPATIAL_CONCEPT,
        segmented_property_type=_VISUAL_EXPLANATIONS.get(localization.map_rule.method, _SALIENCY),
        algorithm_type="AUTOMATIC",
        display_color=hd.color.CIELabColor.from_rgb(*HEAT),
        algorithm_identification=provenance.algorithm(provenance.classifiers[0]),
        anatomic_regions=None if region is None else [region],
    )
