"""What a network has to offer to be used as a classifier: the interface of timm's models."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class ClassifierNetwork(Protocol):
    """A network of two parts; the activation map is made of what the first hands to the second.

    Notes
    -----
    Two more methods are used where a network has them. ``get_classifier()`` returns its last, linear layer: if the
    logit is that layer's pooled output, its weights make the class activation map without a gradient.
    ``forward_map(features)`` returns the map of logits, (batch, 1, h, w), and says that it is so.
    """

    def forward_features(self, image: Tensor) -> Tensor:
        """Return the last features, (batch, channels, h, w), of images (batch, channels, height, width)."""

    def forward_head(self, features: Tensor) -> Tensor:
        """Return the logit of "abnormal", (batch, 1), of ``forward_features``."""
