"""Box-prompted training samples for SAM: one zoomed window, one box and one mask per finding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

import numpy as np
import torch
from monai.losses.dice import DiceFocalLoss
from monai.transforms import Randomizable
from numpy.typing import NDArray
from segment_anything.modeling import Sam
from torch import Tensor, nn
from torch.nn import functional

from operators.geometry import PixelBox, cut, square_around
from training.data import plain, read_pixels
from training.manifest import ImageRecord


def findings(records: Iterable[ImageRecord]) -> list[dict[str, Any]]:
    """Return one item per box of the records that have a mask."""
    return [
        {"image": str(record.path), "mask": str(record.mask), "box": box}
        for record in records
        if record.mask is not None
        for box in record.boxes
    ]


def pixel_box(box: tuple[float, float, float, float]) -> PixelBox:
    """Return the smallest pixel box that holds a box of a manifest."""
    left, top = int(np.floor(box[0])), int(np.floor(box[1]))
    return PixelBox(left, top, max(int(np.ceil(box[2])), left + 1), max(int(np.ceil(box[3])), top + 1))


def finding_mask(mask: NDArray[np.float32], box: PixelBox, margin: int = 2) -> NDArray[np.float32]:
    """Return the part of an image's mask that belongs to one box, (rows, columns) 0 or 1."""
    near = np.zeros_like(mask)
    rows, columns = (
        slice(max(box.top - margin, 0), box.bottom + margin),
        slice(max(box.left - margin, 0), box.right + margin),
    )
    near[rows, columns] = mask[rows, columns]
    return near


class CutFinding:
    """Replace an item's paths by the pixels of a window about its box: ``image`` and ``mask``, both (side, side)."""

    def __init__(self, zoom: float) -> None:
        self.zoom = zoom

    def __call__(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Return a new item."""
        box = pixel_box(item["box"])
        window = square_around(box, self.zoom, 32)
        mask = finding_mask((read_pixels(item["mask"]) > 0).astype(np.float32), box)
        return {"image": cut(read_pixels(item["image"]), window), "mask": cut(mask, window)}


class PromptWithBox(Randomizable):
    """Add ``box``, (4,) float32 left, top, right, bottom in network pixels: the mask's own, edges shifted.

    Parameters
    ----------
    jitter
        Standard deviation of an edge's shift, in sides of the box.
    """

    def __init__(self, jitter: float) -> None:
        self.jitter = jitter

    def __call__(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Return a new item; an empty mask gets the whole window as its box."""
        mask = np.asarray(item["mask"])[0] > 0.5
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if rows.size == 0:
            box = np.array([0, 0, mask.shape[1], mask.shape[0]], np.float32)
        else:
            box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
            sides = np.tile([box[2] - box[0], box[3] - box[1]], 2)
            box += self.R.normal(0, self.jitter, 4).clip(-0.4, 0.4) * sides
        return {**item, "box": torch.from_numpy(box.astype(np.float32))}


class PromptTarget(TypedDict):
    """``mask`` (batch, 1, height, width) 0 or 1; ``box`` (batch, 4), network pixels."""

    mask: Tensor
    box: Tensor


def prepare_prompt_batch(
    batch: Mapping[str, Tensor], device: torch.device, non_blocking: bool = False, **_: Any
) -> tuple[Tensor, Tensor, tuple[Tensor], dict[str, Any]]:
    """Return (image, mask, (box,), {}), as MONAI's engines take them."""
    image, mask, box = (plain(batch[key]).to(device, non_blocking=non_blocking) for key in ("image", "mask", "box"))
    return image, mask, (box,), {}


class BoxPromptedSam(nn.Module):
    """Sam as a network of (images, one box each) -> (mask logits, predicted IoU), for training and evaluation."""

    def __init__(self, sam: Sam) -> None:
        super().__init__()
        self.sam = sam

    def forward(self, image: Tensor, box: Tensor) -> Tensor:
        """Return (batch, 2, height, width): the mask's logits, and the predicted IoU in every pixel."""
        embeddings = self.sam.image_encoder((image - self.sam.pixel_mean) / self.sam.pixel_std)
        position = self.sam.prompt_encoder.get_dense_pe()
        logits, scores = [], []
        for embedding, prompt in zip(embeddings, box, strict=True):
            sparse, dense = self.sam.prompt_encoder(points=None, boxes=prompt[None], masks=None)
            mask, score = self.sam.mask_decoder(embedding[None], position, sparse, dense, multimask_output=False)
            logits.append(mask)
            scores.append(score)
        full = functional.interpolate(torch.cat(logits).float(), image.shape[-2:], mode="bilinear", align_corners=False)
        return torch.cat([full, torch.cat(scores).float()[..., None, None].expand_as(full)], dim=1)


class PromptedMaskLoss(nn.Module):
    """Dice and focal loss of the mask plus the squared error of the predicted IoU (Kirillov et al., 2023)."""

    def __init__(self, focal_weight: float = 5.0, iou_weight: float = 1.0) -> None:
        super().__init__()
        self.mask_loss = DiceFocalLoss(sigmoid=True, gamma=2.0, lambda_focal=focal_weight)
        self.iou_weight = iou_weight

    def forward(self, prediction: Tensor, mask: Tensor) -> Tensor:
        """Return the loss, a scalar, of (batch, 2, height, width) predictions."""
        logits, iou = prediction[:, :1], prediction[:, 1].mean(dim=(1, 2))
        found, true = logits.detach() > 0, mask > 0.5
        overlap = (found & true).sum(dim=(1, 2, 3)) / (found | true).sum(dim=(1, 2, 3)).clamp_min(1)
        return self.mask_loss(logits, mask) + self.iou_weight * functional.mse_loss(iou, overlap.float())  # type: ignore[no-any-return]
