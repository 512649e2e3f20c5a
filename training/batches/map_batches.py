"""Batches of image, label and mask, as a loss that guides the map takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

import torch
from torch import Tensor


def prepare_map_batch(
    batch: Mapping[str, Tensor], device: torch.device, non_blocking: bool = False, **_: Any
) -> tuple[Tensor, MapTarget]:
    """Return (image, target) of a batch of crops.

    Where the finding's pixels are known, a crop is abnormal only if it holds some of them.
    """
    image, mask = (as_plain_tensor(batch[key]).to(device, non_blocking=non_blocking) for key in ("image", "mask"))
    guided = batch["guided"].to(device).bool()
    inside = mask.flatten(1).amax(dim=1) > 0
    label = torch.where(guided, inside, batch["label"].to(device) > 0).float()[:, None]
    return image, {"label": label, "mask": mask, "guided": guided}


def as_plain_tensor(tensor: Tensor) -> Tensor:
    """Drop MONAI's meta data, which slows every operation down."""
    return tensor.as_tensor() if hasattr(tensor, "as_tensor") else tensor


class MapTarget(TypedDict):
    """``label`` (batch, 1) and ``mask`` (batch, 1, height, width), 0 or 1; ``guided`` (batch,) bool: mask known."""

    label: Tensor
    mask: Tensor
    guided: Tensor
