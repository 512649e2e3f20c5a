"""SAM without a prompt: masks of everything in an image, as segment_anything's generator finds them.

Every point of a grid is a prompt, the masks that SAM is sure of stay. For comparison and research: it takes hundreds of
prompts, nothing tells it what a finding is, and a SAM that never learnt from points alone may be sure of nothing.

Notes
-----
Kirillov et al., "Segment Anything", ICCV 2023, section 5; figure 9 of the second source paper.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from segment_anything import SamAutomaticMaskGenerator
from torch import Tensor

from operators.networks.bundle import Bundle
from operators.records.geometry import PixelBox, PixelGeometry, geometry_of, whole_image
from operators.segmentation.sam import sam_of

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class AutomaticRule:
    """Which masks SAM looks for without a prompt.

    Parameters
    ----------
    points_per_side
        The grid has as many rows and columns of points; every point is a prompt to decode.
    points_per_batch
        Points that are decoded together.
    least_predicted_iou, least_stability
        Masks below are dropped (segment_anything's ``pred_iou_thresh`` and ``stability_score_thresh``).
    """

    points_per_side: int = 16
    points_per_batch: int = 64
    least_predicted_iou: float = 0.5
    least_stability: float = 0.8


@dataclass(frozen=True, slots=True, eq=False)
class AutomaticMasks:
    """``masks`` (input_height, input_width) bool, as small as SAM saw the image, and their ``predicted_iou`` [0, 1]."""

    masks: tuple[Mask, ...]
    predicted_iou: tuple[float, ...]
    geometry: PixelGeometry


def every_mask(
    pixels: NDArray[np.float32], bundle: Bundle, rule: AutomaticRule = AutomaticRule()
) -> list[tuple[Mask, float]]:
    """Return (mask (rows, columns) bool, predicted IoU [0, 1]) of everything SAM finds in an image."""
    found = generate(pixels, bundle, rule)
    return [
        (_to_original(mask, found.geometry), score)
        for mask, score in zip(found.masks, found.predicted_iou, strict=True)
    ]


def generate(pixels: NDArray[np.float32], bundle: Bundle, rule: AutomaticRule = AutomaticRule()) -> AutomaticMasks:
    """Find masks in a whole image, (rows, columns) float32 [0, 1], at the size that SAM sees it.

    The generator gets the image as the bundle prepares it, at SAM's own size, so that it has nothing to resize: SAM
    sees the grey levels that it was trained on, and the masks of hundreds of points fit into memory.
    """
    image = bundle.preprocess(pixels)
    generator = SamAutomaticMaskGenerator(
        sam_of(bundle),
        points_per_side=rule.points_per_side,
        points_per_batch=rule.points_per_batch,
        pred_iou_thresh=rule.least_predicted_iou,
        stability_score_thresh=rule.least_stability,
    )
    grey = image.as_subclass(Tensor).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    found = [record for record in generator.generate(grey) if record["area"] > 0]
    return AutomaticMasks(
        tuple(record["segmentation"] for record in found),
        tuple(min(max(float(record["predicted_iou"]), 0.0), 1.0) for record in found),
        geometry_of(image.affine, pixels.shape, whole_image(*pixels.shape)),
    )


def mask_of_box(box: PixelBox, found: AutomaticMasks) -> tuple[Mask, float]:
    """Return the mask with the highest predicted IoU x Jaccard index with a box, (rows, columns) bool, and that IoU.

    Empty, with a predicted IoU of 0, if none overlaps with the box.
    """
    cover = _cover(box, found.geometry)
    fits = [score * _jaccard(mask, cover) for mask, score in zip(found.masks, found.predicted_iou, strict=True)]
    if max(fits, default=0.0) <= 0:
        return np.zeros((found.geometry.rows, found.geometry.columns), bool), 0.0
    best = int(np.argmax(fits))
    return _to_original(found.masks[best], found.geometry), found.predicted_iou[best]


def _cover(box: PixelBox, geometry: PixelGeometry) -> NDArray[np.float64]:
    """Return the share, 0 to 1, of every pixel of SAM's input that a box covers; it may cover less than one."""
    left, top, right, bottom = geometry.box_to_input(box)
    x, y = np.arange(geometry.input_width), np.arange(geometry.input_height)
    across = np.clip(np.minimum(x + 1, right) - np.maximum(x, left), 0, None)
    down = np.clip(np.minimum(y + 1, bottom) - np.maximum(y, top), 0, None)
    return np.outer(down, across)


def _jaccard(mask: Mask, cover: NDArray[np.float64]) -> float:
    shared = float(cover[mask].sum())
    return shared / (float(mask.sum()) + float(cover.sum()) - shared)


def _to_original(mask: Mask, geometry: PixelGeometry) -> Mask:
    return np.asarray(geometry.map_to_original(mask.astype(np.float32), 1.0) > 0.5)
