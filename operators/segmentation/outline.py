"""Localization + bundle -> segmentation: SAM, prompted by each box, outlines the finding.

``outline`` is where a box becomes a mask.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from segment_anything.modeling import Sam

from operators.networks.bundle import Bundle
from operators.records.geometry import PixelBox, cut, paste, square_around, whole_image
from operators.records.images import Localization, Segmentation
from operators.records.rules import PromptRule
from operators.segmentation.automatic_masks import generate, mask_of_box
from operators.segmentation.prompts import Points, centre_point, heat_points, jittered_boxes, no_points
from operators.segmentation.sam import MASK_LOGIT, EncodedWindow, decode, encode, sam_of

Array = NDArray[np.float32]


Outline = tuple[NDArray[np.bool_], float]


COLD = 1e-6  # a heat map that does not exceed it says nothing of where


def segment(localization: Localization, bundle: Bundle, rule: PromptRule) -> Segmentation:
    """Outline the finding of every box."""
    pixels = localization.classification.radiograph.pixels
    outlines = outline_each(pixels, localization.boxes, bundle, rule, localization.heatmap)
    return Segmentation(localization, tuple(mask for mask, _ in outlines), tuple(score for _, score in outlines))


def outline_each(
    pixels: Array, boxes: Sequence[PixelBox], bundle: Bundle, rule: PromptRule, heatmap: Array | None = None
) -> list[Outline]:
    """Return the mask of every box, and its predicted IoU; a window that several boxes share is encoded once."""
    sam = sam_of(bundle)
    if rule.prompt == "automatic":
        found = generate(pixels, bundle) if boxes else None
        return [mask_of_box(box, found) for box in boxes if found is not None]
    encoded: dict[PixelBox, EncodedWindow] = {}
    outlines = []
    for box in boxes:
        window = window_of(box, pixels.shape, rule)
        if window not in encoded:
            encoded[window] = encode(pixels, window, bundle)
        outlines.append(outline(box, encoded[window], sam, rule, heatmap))
    return outlines


def window_of(box: PixelBox, shape: tuple[int, ...], rule: PromptRule) -> PixelBox:
    """Return the part of an image (rows, columns) that SAM sees for a box."""
    if rule.zoom is None:
        return whole_image(shape[0], shape[1])
    return square_around(box, rule.zoom, rule.smallest_window)


def outline(box: PixelBox, encoded: EncodedWindow, sam: Sam, rule: PromptRule, heatmap: Array | None = None) -> Outline:
    """Return the mask of one box, (rows, columns) bool of the original image, and its predicted IoU [0, 1]."""
    points = points_of(box, encoded.geometry.window, rule, heatmap)
    return outline_with_points(box, points, encoded, sam, rule, heatmap=heatmap)


def outline_with_points(
    box: PixelBox, points: Points, encoded: EncodedWindow, sam: Sam, rule: PromptRule, *, heatmap: Array | None = None
) -> Outline:
    """Return the mask of one box and of points that go with it, whatever the rule says of points; as ``outline``."""
    geometry = encoded.geometry
    boxes = jittered_boxes(box, rule.votes, geometry.rows, geometry.columns)
    decoded = decode(sam, encoded, boxes, points, three=rule.masks == "best_of_three")
    logits, scores = vote(decoded.logits, decoded.predicted_iou)
    inside = geometry.inside or geometry.window  # a window reaches far beyond the image where a box is large
    masks = [geometry.map_to_original(each, decoded.stride, inside) > MASK_LOGIT for each in logits]
    best = choose(masks, scores, None if heatmap is None else cut(heatmap, inside))
    mask = paste(masks[best], inside, geometry.rows, geometry.columns)
    return mask, float(scores[best])


def points_of(box: PixelBox, window: PixelBox, rule: PromptRule, heatmap: Array | None) -> Points:
    """Return the points that SAM is told beside the box."""
    if rule.prompt == "box":
        return no_points()
    if rule.prompt == "box_points" and heatmap is not None:
        return heat_points(box, heatmap, window)
    return centre_point(box)


def vote(logits: Array, predicted_iou: Array) -> tuple[Array, Array]:
    """Return the logits of the votes' mean probability, (masks, h, w), and their predicted IoU, (masks,).

    ``logits`` is (votes, masks, h, w), ``predicted_iou`` (votes, masks). The more the votes' own masks differ from the
    one that they agree on, the less is predicted of it: their mean IoU with it is a factor.
    """
    if len(logits) == 1:
        return logits[0], predicted_iou[0]
    yes, no = (np.logaddexp.reduce(-np.logaddexp(0, sign * logits)) for sign in (-1, 1))  # log of the sums
    agreed = yes - no
    single, together = logits > MASK_LOGIT, agreed > MASK_LOGIT
    shared, either = (single & together).sum(axis=(-2, -1)), (single | together).sum(axis=(-2, -1))
    stability = np.where(either > 0, shared / np.maximum(either, 1), 1.0).mean(axis=0)
    return agreed, np.asarray(predicted_iou.mean(axis=0) * stability, np.float32)


def choose(masks: Sequence[NDArray[np.bool_]], predicted_iou: Array, heat: Array | None) -> int:
    """Return which mask has the highest predicted IoU x soft Jaccard index with the heat, all of one window.

    The heat counts relative to its maximum in the window: a faint map points to its place as a bright one does.
    """
    top = 0.0 if heat is None or len(masks) == 1 else float(heat.max())
    if heat is None or top <= COLD:
        return int(predicted_iou.argmax())
    overlaps = [float(heat[mask].sum()) / max(top * mask.sum() + float(heat[~mask].sum()), COLD) for mask in masks]
    return max(range(len(masks)), key=lambda index: (predicted_iou[index] * overlaps[index], predicted_iou[index]))
