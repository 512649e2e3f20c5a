"""Classification -> localization: the activation map on the original pixels, and boxes around what it shows."""

from __future__ import annotations

from operators.localization.activation_maps import activation_map, is_absolute, map_name
from operators.localization.boxes import find_boxes
from operators.records.images import Classification, Localization
from operators.records.rules import PLAIN, BoxRule, MapRule


def localize(classification: Classification, rule: BoxRule, maps: MapRule = PLAIN) -> Localization:
    """Find the boxes of one image; a normal image has none, nor has one whose map is the same everywhere."""
    cells = activation_map(classification, maps)
    heatmap = classification.geometry.map_to_original(cells, classification.feature_stride)
    found = [] if classification.state == "normal" else find_boxes(classification, cells, rule)
    boxes, scores = tuple(box for _, box in found), tuple(score for score, _ in found)
    named, relative = map_name(classification, maps), not is_absolute(classification, maps)
    return Localization(classification, heatmap, boxes, scores, named, relative)
