"""A teacher for networks that have no ImageNet start: the student imitates its features and its map on every crop."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from operators.networks.map_classifier import MapClassifier
from training.learning.losses import MapPrediction

LOGIT_RANGE = (-6.0, 8.0)  # beyond it a cell is as sure as it need be


class WithTeacher(nn.Module):
    """Let a map classifier learn from another one, for training only.

    Both see the same crop. The teacher's map and features are pooled to the student's grid: the map by the same soft
    maximum that makes the image's logit, so that both grids come to the same logit; the features by their mean.

    Parameters
    ----------
    network
        The student.
    teacher
        A trained classifier with a finer or equal grid, which takes the first of the student's channels.

    Notes
    -----
    Hinton et al., 2015 (distillation); Romero et al., ICLR 2015 (features as hints); Beyer et al., CVPR 2022 (the
    teacher sees the student's crop).
    """

    def __init__(self, network: MapClassifier, teacher: MapClassifier) -> None:
        super().__init__()
        self.network = network
        self._teacher = [teacher.eval().requires_grad_(False)]  # in a list: neither saved nor trained with the student
        student_channels, teacher_channels = network.classifier.in_channels, teacher.classifier.in_channels
        self.project = nn.Conv2d(student_channels, teacher_channels, 1)
        self.standardise = nn.BatchNorm2d(teacher_channels, affine=False, momentum=0.02)

    def forward(self, image: Tensor) -> MapPrediction:
        """Return logit, map and imitation of images (batch, channels, height, width)."""
        teacher = self._teacher[0]
        with torch.no_grad():
            shown = teacher.forward_features(image[:, :1])
            shown_map = teacher.forward_map(shown).float()
        features = self.network.forward_features(image)
        logit_map = self.network.forward_map(features).float()
        factor = shown.shape[-1] // features.shape[-1]
        target = _soft_maximum(shown_map, factor, teacher.sharpness).clamp(*LOGIT_RANGE)
        weight = 1 + 9 * torch.sigmoid(target)  # few cells hold a finding
        of_map = (weight * functional.smooth_l1_loss(logit_map, target, reduction="none")).mean()
        hint = self.standardise(functional.avg_pool2d(shown.float(), factor))
        of_features = functional.mse_loss(self.project(features).float(), hint)
        return {"logit": self.network.pool(logit_map, features), "map": logit_map, "imitation": of_map + of_features}


def _soft_maximum(logit_map: Tensor, factor: int, sharpness: float) -> Tensor:
    """Pool (batch, 1, h, w) to (batch, 1, h / factor, w / factor) by log-sum-exp."""
    batch, _, height, width = logit_map.shape
    cells = functional.unfold(logit_map, factor, stride=factor)
    pooled = torch.logsumexp(cells * sharpness, dim=1) / sharpness
    return pooled.view(batch, 1, height // factor, width // factor)
