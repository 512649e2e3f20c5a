"""Classification -> localization: the activation map on the original pixels, and boxes around what it shows."""

from __future__ import annotations

from operators.localization.activation_maps import activation_map, is_absolute, made_rule
from operators.localization.boxes import find_boxes
from operators.records.images import Classification, Localization
from operators.records.rules import BoxRule
from operators.records.states import State


def localize(classification: Classification, rule: BoxRule) -> Localization:
    """Make the map that the image was classified for and find its boxes.

    A normal image has no box, nor has one whose map is the same everywhere.
    """
    cells = activation_map(classification)
    heatmap = classification.geometry.map_to_original(cells, classification.feature_stride)
    found = [] if classification.state == State.NORMAL else find_boxes(classification, cells, rule)
    boxes, scores = tuple(box for _, box in found), tuple(score for score, _ in found)
    relative = not is_absolute(classification)
    return Localization(classification, heatmap, boxes, scores, made_rule(classification), relative)
