"""The two classifiers of the source papers that no library has: the small CNN and the random baseline."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SmallCnn(nn.Module):
    """Four blocks of convolution, ReLU, batch norm, pooling and dropout, then two dense layers.

    Takes (batch, 3, 224, 224), because the dense layers fix the size: 3,309,921 values, 3,309,441 of them trainable.

    Parameters
    ----------
    dropout
        Share of the values that a block drops in training.

    Notes
    -----
    *Anomaly Detection in Radiographs*, the papers' second model. Features, (batch, 128, 14, 14), are what the last
    block hands to the dense layers; their activation map needs a gradient (Grad-CAM), for the head is not linear.
    """

    def __init__(self, dropout: float = 0.2) -> None:
        super().__init__()
        widths = (3, 16, 32, 64, 128)
        self.features = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(before, after, 3, padding="same"),
                    nn.ReLU(),
                    nn.BatchNorm2d(after),
                    nn.MaxPool2d(2),
                    nn.Dropout(dropout),
                )
                for before, after in zip(widths[:-1], widths[1:], strict=True)
            )
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(14 * 14 * widths[-1], 128), nn.ReLU(), nn.Linear(128, 1))

    def forward_features(self, image: Tensor) -> Tensor:
        """Return the last block's output, (batch, 128, 14, 14)."""
        return self.features(image)  # type: ignore[no-any-return]

    def forward_head(self, features: Tensor) -> Tensor:
        """Return the logit of "abnormal", (batch, 1), of ``forward_features``."""
        return self.head(features)  # type: ignore[no-any-return]

    def forward(self, image: Tensor) -> Tensor:
        """Return the logit of "abnormal", (batch, 1), of images (batch, 3, 224, 224)."""
        return self.forward_head(self.forward_features(image))


class RandomBaseline(nn.Module):
    """Give every image a uniform random score: what a classifier that knows nothing comes to.

    The score is drawn by hashing the image's grey levels with a seed, so the same image gets the same score from every
    engine, in every order. It has no parameters and nothing to train.

    Parameters
    ----------
    seed
        Another seed draws other scores.

    Notes
    -----
    *Anomaly Detection in Radiographs*, the papers' first model. The generator is Lehmer's (Park & Miller, 1988) with
    squaring between; all products stay below 2**62: integers of 64 bits hold them exactly.
    """

    __constants__ = ("FACTOR", "LEVELS", "MODULUS")
    MODULUS = 2**31 - 1
    FACTOR = 16807
    LEVELS = 255

    def __init__(self, seed: int = 20261121) -> None:
        super().__init__()
        self.register_buffer("seed", torch.tensor(seed % self.MODULUS))
        weights = [1]
        for _ in range(4096):  # one weight a place; beyond that they repeat
            weights.append(weights[-1] * self.FACTOR % self.MODULUS)
        self.register_buffer("weights", torch.tensor(weights[1:]), persistent=False)

    def forward_features(self, image: Tensor) -> Tensor:
        """Return the logit of the score as features, (batch, 1, 1, 1), of images [0, 1] (batch, 1, height, width)."""
        levels = (image.clamp(0, 1) * self.LEVELS).round().to(torch.int64)
        rows = (levels * self._weights(levels.shape[3], levels.device)).sum(dim=3) % self.MODULUS
        columns = (rows * self.FACTOR % self.MODULUS * self._weights(levels.shape[2], levels.device)) % self.MODULUS
        state = (columns.sum(dim=(1, 2)) + self.seed) % self.MODULUS  # type: ignore[operator]
        for _ in range(4):
            state = (state * state + self.seed) % self.MODULUS * self.FACTOR % self.MODULUS  # type: ignore[operator]
        score = (state.double() + 0.5) / self.MODULUS
        return torch.log(score / (1 - score)).float()[:, None, None, None]

    def _weights(self, count: int, device: torch.device) -> Tensor:
        places = torch.arange(count, device=device) % 4096
        return self.weights[places]  # type: ignore[index]

    def forward_head(self, features: Tensor) -> Tensor:
        """Return the logit, (batch, 1), of ``forward_features``."""
        return features.flatten(1)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logit of a uniform score, (batch, 1)."""
        return self.forward_head(self.forward_features(image))


class FrozenBackbone(nn.Module):
    """A timm classifier of which only the last layer is trained; its norm layers keep their statistics.

    Parameters
    ----------
    encoder
        A timm model with one output.

    Notes
    -----
    *Anomaly Detection in Radiographs*, the papers' third model: DenseNet169, 12,644,545 values, 1,665 trainable.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(False)
        self.get_classifier().requires_grad_(True)

    def train(self, mode: bool = True) -> FrozenBackbone:
        """Set the mode of this module; what is frozen stays in evaluation mode."""
        super().train(mode)
        self.encoder.eval()
        return self

    def forward_features(self, image: Tensor) -> Tensor:
        """Return the backbone's last features, (batch, channels, height / 32, width / 32)."""
        return self.encoder.forward_features(image)  # type: ignore[operator, no-any-return]

    def forward_head(self, features: Tensor) -> Tensor:
        """Return the logit of "abnormal", (batch, 1), of ``forward_features``."""
        return self.encoder.forward_head(features)  # type: ignore[operator, no-any-return]

    def get_classifier(self) -> nn.Module:
        """Return the last, linear layer."""
        return self.encoder.get_classifier()  # type: ignore[operator, no-any-return]

    def forward(self, image: Tensor) -> Tensor:
        """Return the logit of "abnormal", (batch, 1), of images (batch, channels, height, width)."""
        return self.forward_head(self.forward_features(image))
