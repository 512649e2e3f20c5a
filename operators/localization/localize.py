"""Classification -> localization: the activation map on the original pixels, and boxes around what it shows."""

from __future__ import annotations

import dataclasses

from operators.localization.activation_maps import activation_map, is_absolute, made_rule
from operators.localization.boxes import Array, Found, find_boxes
from operators.records.geometry import paste
from operators.records.images import Classification, Localization
from operators.records.rules import BoxRule, MapRule


def localize(classification: Classification, rule: BoxRule) -> Localization:
    """Make the map that the image was classified for and find its boxes.

    An image without a finding has no box, nor has one whose map is the same everywhere or below the rule's least score.
    """
    cells = activation_map(classification)
    found = find_boxes(classification, cells, rule) if classification.has_finding else []
    return dataclasses.replace(localization_of(classification, cells, found), minimum_score=rule.minimum_score)


def localization_of(
    classification: Classification, cells: Array, found: Found, map_rule: MapRule | None = None
) -> Localization:
    """Return the record of a map and its boxes.

    Parameters
    ----------
    classification
        What the map was made of.
    cells
        The activation map, (h, w) float32 [0, 1].
    found
        Score and box of every finding, the brightest first.
    map_rule
        Of the map; None: the rule that the image was classified by.
    """
    geometry = classification.geometry
    inside = geometry.map_to_original(cells, classification.feature_stride)
    return Localization(
        classification,
        heatmap=paste(inside, geometry.window, geometry.rows, geometry.columns),
        boxes=tuple(box for _, box in found),
        scores=tuple(score for score, _ in found),
        map_rule=made_rule(classification, map_rule),
        relative=not is_absolute(classification, map_rule),
    )
