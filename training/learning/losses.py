"""Losses that teach a map as well as a label."""

from __future__ import annotations

from typing import NotRequired, TypedDict

import torch
from monai.losses.dice import DiceFocalLoss
from torch import Tensor, nn
from torch.nn import functional

from operators.networks.map_classifier import MapClassifier
from training.batches.map_batches import MapTarget


class MapPrediction(TypedDict):
    """``logit`` (batch, 1) and ``map`` (batch, 1, height / s, width / s), both logits.

    ``imitation``, a scalar: how far the student is from its teacher (``distillation``).
    """

    logit: Tensor
    map: Tensor
    imitation: NotRequired[Tensor]


class WithMap(nn.Module):
    """Let a map classifier return its map beside the logit, for training only."""

    def __init__(self, network: MapClassifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> MapPrediction:
        """Return the logit and the map of images (batch, channels, height, width)."""
        features = self.network.forward_features(image)
        logit_map = self.network.forward_map(features).float()
        return {"logit": self.network.pool(logit_map, features), "map": logit_map}


class MapGuidedLoss(nn.Module):
    """Binary cross entropy of the label plus, where an expert mask is known, Dice and focal loss of the map.

    The Dice term sums over the batch, so that an image without a finding takes part through its false positives.

    Parameters
    ----------
    map_weight
        Weight of the map's terms; 0 trains from labels alone.
    imitation_weight
        Weight of a student's distance from its teacher, where it has one.
    pointing_weight
        Weight of the cross entropy of where the map is brightest: its soft maximum is to lie in the mask.
    """

    def __init__(
        self,
        map_weight: float = 1.0,
        focal_weight: float = 10.0,
        label_smoothing: float = 0.0,
        imitation_weight: float = 1.0,
        pointing_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.pointing_weight = pointing_weight
        self.imitation_weight = imitation_weight
        self.map_weight = map_weight
        self.label_smoothing = label_smoothing
        self.map_loss = DiceFocalLoss(sigmoid=True, batch=True, gamma=2.0, lambda_focal=focal_weight)

    def forward(self, prediction: MapPrediction, target: MapTarget) -> Tensor:
        """Return the loss, a scalar."""
        label = target["label"] * (1 - self.label_smoothing) + self.label_smoothing / 2
        loss = functional.binary_cross_entropy_with_logits(prediction["logit"], label)
        guided = target["guided"]
        if bool(torch.any(guided)):
            logit_map = prediction["map"][guided]
            height, width = logit_map.shape[-2:]
            mask = functional.adaptive_avg_pool2d(target["mask"][guided], (height, width))
            if self.map_weight > 0:
                loss = loss + self.map_weight * self.map_loss(logit_map, mask)
            if self.pointing_weight > 0:
                loss = loss + self.pointing_weight * pointing_loss(logit_map, mask)
        if "imitation" in prediction:
            loss = loss + self.imitation_weight * prediction["imitation"]
        return loss


def pointing_loss(logit_map: Tensor, mask: Tensor, sharpness: float = 2.0) -> Tensor:
    """Return the cross entropy of the brightest point's place, a scalar, over the images whose mask is not empty.

    Parameters
    ----------
    logit_map, mask
        (batch, 1, h, w): logits, and the share [0, 1] of each cell that belongs to the finding.
    sharpness
        The larger, the closer the soft maximum is to the brightest point.

    Notes
    -----
    What the pointing game asks for (Zhang et al., ECCV 2016), made differentiable.
    """
    cells, inside = logit_map.flatten(1).float() * sharpness, mask.flatten(1)
    highest = inside.amax(dim=1, keepdim=True)
    inside = inside / highest.clamp_min(1e-6)  # a small finding fills no cell
    everywhere = torch.logsumexp(cells, dim=1)
    on_finding = torch.logsumexp(cells + torch.log(inside.clamp_min(1e-6)), dim=1)
    known = (highest[:, 0] > 0).float()
    return torch.as_tensor(((everywhere - on_finding) * known).sum() / known.sum().clamp_min(1))


class LabelLoss(nn.Module):
    """Binary cross entropy of the label, for networks that have no map to guide."""

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, logit: Tensor, target: MapTarget) -> Tensor:
        """Return the loss, a scalar, of logits (batch, 1)."""
        label = target["label"] * (1 - self.label_smoothing) + self.label_smoothing / 2
        return functional.binary_cross_entropy_with_logits(logit.float(), label)
