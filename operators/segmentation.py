"""Localization + bundle -> segmentation: SAM, prompted by each box, outlines the finding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything.modeling import Sam
from torch import Tensor

from operators.geometry import PixelBox, PixelGeometry, cut, geometry_of, paste, square_around, whole_image
from operators.records import Bundle, Localization, Segmentation


@dataclass(frozen=True, slots=True)
class PromptRule:
    """What SAM sees of the image.

    Parameters
    ----------
    zoom
        Side of the square window about a box, in longer sides of the box; None: the whole image.
    smallest_window
        Least side of a window, original pixels.
    """

    zoom: float | None
    smallest_window: int = 32


def segment(localization: Localization, bundle: Bundle, rule: PromptRule) -> Segmentation:
    """Outline the finding of every box; an image that several boxes share is encoded once."""
    pixels = localization.classification.radiograph.pixels
    encoded: dict[PixelBox, tuple[Tensor, PixelGeometry]] = {}
    masks, scores = [], []
    for box in localization.boxes:
        window = window_of(box, pixels.shape, rule)
        if window not in encoded:
            encoded[window] = encode(pixels, window, bundle)
        mask, score = outline(box, *encoded[window], _sam(bundle))
        masks.append(mask)
        scores.append(score)
    return Segmentation(localization, tuple(masks), tuple(scores))


def window_of(box: PixelBox, shape: tuple[int, ...], rule: PromptRule) -> PixelBox:
    """Return the part of an image (rows, columns) that SAM sees for a box."""
    if rule.zoom is None:
        return whole_image(shape[0], shape[1])
    return square_around(box, rule.zoom, rule.smallest_window)


def encode(pixels: NDArray[np.float32], window: PixelBox, bundle: Bundle) -> tuple[Tensor, PixelGeometry]:
    """Return the embedding (1, channels, h, w) of a window, and where the window lies in SAM's input."""
    sam = _sam(bundle)
    image = bundle.preprocess(cut(pixels, window))
    with torch.inference_mode():
        embedding = sam.image_encoder(sam.preprocess(image.as_subclass(Tensor))[None])
    return embedding, geometry_of(image.affine, pixels.shape, window)


def outline(box: PixelBox, embedding: Tensor, geometry: PixelGeometry, sam: Sam) -> tuple[NDArray[np.bool_], float]:
    """Return the mask of one box, (rows, columns) bool of the original image, and its predicted IoU [0, 1]."""
    prompt = torch.tensor([geometry.box_to_input(box)])
    with torch.inference_mode():
        sparse, dense = sam.prompt_encoder(points=None, boxes=prompt, masks=None)
        logits, iou = sam.mask_decoder(
            image_embeddings=embedding,
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,  # a box is not ambiguous
        )
    stride = sam.image_encoder.img_size / logits.shape[-1]
    inside = geometry.map_to_original(logits[0, 0].numpy(), stride) > sam.mask_threshold
    mask = paste(inside, geometry.window, geometry.rows, geometry.columns)
    return mask, min(max(float(iou[0, 0]), 0.0), 1.0)


def _sam(bundle: Bundle) -> Sam:
    if not isinstance(bundle.network, Sam):
        raise TypeError(f"bundle {bundle.name} holds no Segment Anything Model")
    return bundle.network
