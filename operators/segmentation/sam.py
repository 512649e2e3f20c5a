"""The two calls of a Segment Anything Model: encode what it sees once, decode masks of prompts as often as wanted."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything.modeling import Sam
from torch import Tensor

from operators.networks.bundle import Bundle
from operators.records.geometry import PixelBox, PixelGeometry, cut_shrunk, geometry_of, multiple_of
from operators.segmentation.prompts import Coordinates, Points, to_input

MASK_LOGIT = Sam.mask_threshold  # a pixel belongs to the mask above it
LARGEST_SIDE = 2560  # pixels of a window when it is pre-processed


@dataclass(frozen=True, slots=True, eq=False)
class EncodedWindow:
    """``embedding`` (1, channels, h, w) of a window, and where the window lies in SAM's input."""

    embedding: Tensor
    geometry: PixelGeometry


@dataclass(frozen=True, slots=True, eq=False)
class DecodedMasks:
    """What SAM answers to a batch of prompts.

    ``logits`` (prompts, masks, h, w) float32, a cell covers ``stride`` network pixels and none lies wholly in the
    padding; ``predicted_iou`` (prompts, masks) float32 [0, 1].
    """

    logits: NDArray[np.float32]
    predicted_iou: NDArray[np.float32]
    stride: float


def sam_of(bundle: Bundle) -> Sam:
    """Return the network of a bundle that outlines; TypeError if it is another."""
    if not isinstance(bundle.network, Sam):
        raise TypeError(f"bundle {bundle.name} holds no Segment Anything Model")
    return bundle.network


def encode(pixels: NDArray[np.float32], window: PixelBox, bundle: Bundle) -> EncodedWindow:
    """Return the embedding of a window of an image, (rows, columns) float32 [0, 1].

    A window of more than ``LARGEST_SIDE`` pixels is shrunk before it is pre-processed: a window may be several times as
    large as the image, and the anti-aliasing takes a hundred bytes per pixel.
    """
    sam = sam_of(bundle)
    factor = -(-max(window.width, window.height) // LARGEST_SIDE)
    window = multiple_of(window, factor)
    image = bundle.preprocess(cut_shrunk(pixels, window, factor))
    with torch.inference_mode():
        embedding = sam.image_encoder(sam.preprocess(image.as_subclass(Tensor))[None])
    return EncodedWindow(embedding, geometry_of(np.asarray(image.affine) * factor, pixels.shape, window))


def decode(sam: Sam, encoded: EncodedWindow, boxes: Coordinates, points: Points, *, three: bool) -> DecodedMasks:
    """Decode the masks of all boxes in one call.

    Parameters
    ----------
    boxes
        (prompts, 4) left, top, right, bottom, original pixels.
    points
        Told with every box.
    three
        Whether SAM gives its three masks of an ambiguous prompt or its one mask.

    Raises
    ------
    ArithmeticError
        If what SAM gives is no number: a mask of it would be empty, as if nothing were there.
    """
    geometry = encoded.geometry
    prompts = torch.from_numpy(to_input(boxes, geometry)).float()
    point_prompts = None
    if len(points.labels):
        positions, labels = to_input(points.positions, geometry), points.labels
        point_prompts = tuple(
            torch.from_numpy(part).float().expand(len(boxes), *part.shape) for part in (positions, labels)
        )
    with torch.inference_mode():
        sparse, dense = sam.prompt_encoder(points=point_prompts, boxes=prompts, masks=None)
        logits, iou = sam.mask_decoder(
            image_embeddings=encoded.embedding,
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=three,
        )
    if not (logits.isfinite().all() and iou.isfinite().all()):
        raise ArithmeticError("SAM's masks hold values that are no finite numbers")
    stride = sam.image_encoder.img_size / logits.shape[-1]
    rows, columns = (math.ceil(side / stride) for side in (geometry.input_height, geometry.input_width))
    return DecodedMasks(logits[..., :rows, :columns].numpy(), iou.clamp(0, 1).numpy(), stride)
