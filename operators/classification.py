"""Radiograph + bundle -> classification: probability, state, and the features that the activation map is made of."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from operators.geometry import geometry_of, whole_image
from operators.records import Bundle, Classification, OperatingPoints, Radiograph


def classify(radiograph: Radiograph, bundle: Bundle) -> Classification:
    """Classify one radiograph.

    The network has timm's interface: ``forward_features`` (batch, channels, h, w), ``forward_head`` (batch, 1) logits,
    ``get_classifier``.
    """
    rows, columns = radiograph.pixels.shape
    image = bundle.preprocess(radiograph.pixels.copy())  # torch wants to be able to write
    with torch.inference_mode():
        features: Tensor = bundle.network.forward_features(image[None].as_subclass(Tensor))  # type: ignore[operator]
        logit: Tensor = bundle.network.forward_head(features)  # type: ignore[operator]
    weights, bias = feature_weights(bundle.network, features)
    points = bundle.metadata["operating_points"]
    probability = float(torch.sigmoid(logit.double().squeeze() / points["temperature"]))
    temperature = np.float32(points["temperature"])
    return Classification(
        radiograph=radiograph,
        probability=probability,
        state=image_points(bundle).state(probability),
        features=features[0].float().numpy(),
        feature_weights=weights / temperature,
        feature_bias=None if bias is None else bias / float(temperature),
        feature_stride=image.shape[-1] / features.shape[-1],
        geometry=geometry_of(image.affine, (rows, columns), whole_image(rows, columns)),
    )


def feature_weights(network: nn.Module, features: Tensor) -> tuple[NDArray[np.float32], float | None]:
    """Return what turns features into an activation map: (channels,) weights and a bias, or None without a scale.

    A linear head is its own answer. Any other head is differentiated: the gradient's mean over the map.

    Notes
    -----
    Zhou et al., CVPR 2016 (CAM); Selvaraju et al., ICCV 2017 (Grad-CAM), which for a pooled linear map gives the same
    weights up to a factor.
    """
    layer = network.get_classifier() if hasattr(network, "get_classifier") else None  # type: ignore[operator]
    if isinstance(layer, nn.Linear | nn.Conv2d) and layer.weight.shape[:2] == (1, features.shape[1]):
        bias = 0.0 if layer.bias is None else float(layer.bias.detach())
        return layer.weight.detach().flatten().float().numpy().copy(), bias
    with torch.enable_grad():
        leaf = features.clone().requires_grad_(True)  # a clone made outside inference mode can be differentiated
        (gradient,) = torch.autograd.grad(network.forward_head(leaf).sum(), leaf)  # type: ignore[operator]
    return gradient[0].mean(dim=(1, 2)).float().numpy(), None


def image_points(bundle: Bundle) -> OperatingPoints:
    """Return the image-level operating points of a classifier."""
    return OperatingPoints(**bundle.metadata["operating_points"]["image"])


def study_points(bundle: Bundle) -> OperatingPoints:
    """Return the study-level operating points of a classifier."""
    return OperatingPoints(**bundle.metadata["operating_points"]["study"])
