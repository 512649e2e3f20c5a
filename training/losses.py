"""Losses that teach a map as well as a label."""

from __future__ import annotations

from typing import NotRequired, TypedDict

import torch
from monai.losses.dice import DiceFocalLoss
from torch import Tensor, nn
from torch.nn import functional

from operators.networks import MapClassifier


class MapPrediction(TypedDict):
    """``logit`` (batch, 1) and ``map`` (batch, 1, height / s, width / s), both logits.

    ``imitation``, a scalar: how far the student is from its teacher (``distillation``).
    """

    logit: Tensor
    map: Tensor
    imitation: NotRequired[Tensor]


class MapTarget(TypedDict):
    """``label`` (batch, 1) and ``mask`` (batch, 1, height, width), 0 or 1; ``guided`` (batch,) bool: mask known."""

    label: Tensor
    mask: Tensor
    guided: Tensor


class WithMap(nn.Module):
    """Let a map classifier return its map beside the logit, for training only."""

    def __init__(self, network: MapClassifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> MapPrediction:
        """Return the logit and the map of images (batch, channels, height, width)."""
        logit_map = self.network.forward_map(self.network.forward_features(image)).float()
        return {"logit": self.network.pool(logit_map), "map": logit_map}


class MapGuidedLoss(nn.Module):
    """Binary cross entropy of the label plus, where an expert mask is known, Dice and focal loss of the map.

    The Dice term sums over the batch, so that an image without a finding takes part through its false positives.

    Parameters
    ----------
    map_weight
        Weight of the map's terms; 0 trains from labels alone.
    imitation_weight
        Weight of a student's distance from its teacher, where it has one.
    """

    def __init__(
        self,
        map_weight: float = 1.0,
        focal_weight: float = 10.0,
        label_smoothing: float = 0.0,
        imitation_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.imitation_weight = imitation_weight
        self.map_weight = map_weight
        self.label_smoothing = label_smoothing
        self.map_loss = DiceFocalLoss(sigmoid=True, batch=True, gamma=2.0, lambda_focal=focal_weight)

    def forward(self, prediction: MapPrediction, target: MapTarget) -> Tensor:
        """Return the loss, a scalar."""
        label = target["label"] * (1 - self.label_smoothing) + self.label_smoothing / 2
        loss = functional.binary_cross_entropy_with_logits(prediction["logit"], label)
        guided = target["guided"]
        if self.map_weight > 0 and bool(torch.any(guided)):
            height, width = prediction["map"].shape[-2:]
            mask = functional.adaptive_avg_pool2d(target["mask"][guided], (height, width))
            loss = loss + self.map_weight * self.map_loss(prediction["map"][guided], mask)
        if "imitation" in prediction:
            loss = loss + self.imitation_weight * prediction["imitation"]
        return loss


class LabelLoss(nn.Module):
    """Binary cross entropy of the label, for networks that have no map to guide."""

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, logit: Tensor, target: MapTarget) -> Tensor:
        """Return the loss, a scalar, of logits (batch, 1)."""
        label = target["label"] * (1 - self.label_smoothing) + self.label_smoothing / 2
        return functional.binary_cross_entropy_with_logits(logit.float(), label)
