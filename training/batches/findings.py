"""Findings as a data set for SAM: one box, one mask and the pixels around them per finding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from operators.records.geometry import PixelBox, PixelGeometry, cut, square_around
from training.batches.images import read_pixels
from training.batches.map_batches import as_plain_tensor
from training.batches.prompt_jitter import MAXIMUM_POINTS, NO_POINT, BoxErrors, Prompt
from training.datasets.manifest import ImageRecord, ManifestError

SMALLEST_WINDOW = 32  # original pixels, as the application has it


def findings(records: Iterable[ImageRecord]) -> list[dict[str, Any]]:
    """Return one item per box of the records that have a mask.

    Raises
    ------
    ManifestError
        If no record has both.
    """
    found = [
        {"image": str(record.path), "mask": str(record.mask), "box": box}
        for record in records
        if record.mask is not None
        for box in record.boxes
    ]
    if not found:
        raise ManifestError("no image has a mask and a box; fill the manifest's columns mask_file and boxes_xyxy")
    return found


def misplaced(items: Iterable[Mapping[str, Any]], errors: BoxErrors, seed: int) -> list[dict[str, Any]]:
    """Return items with a ``prompt`` beside their box: the box with an error, the same for the same seed."""
    random = np.random.RandomState(seed)
    return [{**item, "prompt": tuple(errors.draw(np.array(item["box"], float), random))} for item in items]


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
    """Cut out the window that the application shows SAM for an item's prompt, or without one for its box.

    The new item holds ``image`` and ``mask``, both (side, side) float32, and ``box`` (4,) float32: left, top, right,
    bottom of the prompt in pixels of the network.
    """

    def __init__(self, zoom: float, image_size: int) -> None:
        self.zoom = zoom
        self.image_size = image_size

    def __call__(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Return a new item."""
        prompt = pixel_box(item.get("prompt", item["box"]))
        window = square_around(prompt, self.zoom, SMALLEST_WINDOW)
        image = read_pixels(item["image"])
        mask = finding_mask((read_pixels(item["mask"]) > 0).astype(np.float32), pixel_box(item["box"]))
        geometry = PixelGeometry(image.shape[0], image.shape[1], window, self.image_size, self.image_size)
        return {
            "image": cut(image, window),
            "mask": cut(mask, window),
            "box": torch.tensor(geometry.box_to_input(prompt)),
            "points": torch.zeros(MAXIMUM_POINTS, 2),
            "point_labels": torch.full((MAXIMUM_POINTS,), NO_POINT),
        }


def prepare_prompt_batch(
    batch: Mapping[str, Tensor], device: torch.device, non_blocking: bool = False, **_: Any
) -> tuple[Tensor, Tensor, tuple[Prompt], dict[str, Any]]:
    """Return (image, mask, (prompt,), {}), as MONAI's engines take them."""
    image, mask, box, points, labels = (
        as_plain_tensor(batch[key]).to(device, non_blocking=non_blocking)
        for key in ("image", "mask", "box", "points", "point_labels")
    )
    return image, mask, ({"box": box, "points": points, "point_labels": labels},), {}
