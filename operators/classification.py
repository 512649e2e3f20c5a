"""Radiograph + bundle -> classification: probability, state, and the features that the activation map is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from torch import Tensor, nn

from operators.errors import BundleError
from operators.geometry import geometry_of, whole_image
from operators.records import Bundle, Classification, OperatingPoints, Opinion, Radiograph


@dataclass(frozen=True, slots=True)
class Calibration:
    """How a network's logit becomes a probability: sigmoid(logit / ``temperature`` + ``bias``).

    Notes
    -----
    Temperature scaling: Guo et al., ICML 2017; with a bias it is Platt's scaling.
    """

    temperature: float
    bias: float = 0.0

    def probability(self, logit: float) -> float:
        """Return the probability [0, 1] of a logit."""
        return float(special.expit(logit / self.temperature + self.bias))

    def logit(self, probability: float) -> float:
        """Return the logit of a probability, the inverse of ``probability``; of 0 and 1 it is infinite."""
        return (float(special.logit(probability)) - self.bias) * self.temperature


def classify(radiograph: Radiograph, bundle: Bundle) -> Classification:
    """Classify one radiograph with one bundle.

    The network has timm's interface: ``forward_features`` (batch, channels, h, w), ``forward_head`` (batch, 1) logits,
    and, where its last layer is linear, ``get_classifier``.

    Raises
    ------
    BundleError
        If a cell of the features is no square of the network's input.
    """
    rows, columns = radiograph.pixels.shape
    image = bundle.preprocess(radiograph.pixels.copy())  # torch wants to be able to write
    with torch.inference_mode():
        features: Tensor = bundle.network.forward_features(image[None].as_subclass(Tensor))  # type: ignore[operator]
        output: Tensor = bundle.network.forward_head(features)  # type: ignore[operator]
    weights, bias = feature_weights(bundle.network, features)
    scale = calibration(bundle)
    probability = scale.probability(float(output))
    state = image_points(bundle).state(probability)
    return Classification(
        radiograph=radiograph,
        probability=probability,
        state=state,
        features=features[0].float().numpy(),
        feature_weights=weights / np.float32(scale.temperature),
        feature_bias=None if bias is None else bias / scale.temperature + scale.bias,
        feature_stride=feature_stride(image.shape[-2:], features.shape[-2:], bundle.name),
        geometry=geometry_of(image.affine, (rows, columns), whole_image(rows, columns)),
        opinions=(Opinion(bundle.name, float(output), probability, state),),
    )


def classify_together(radiograph: Radiograph, bundles: Sequence[Bundle]) -> Classification:
    """Classify one radiograph with several bundles: the mean of their probabilities by the mean of their points.

    Where one bundle calls the image normal and another abnormal, by its own operating points, the image is in doubt
    whatever the mean. The first bundle gives the features, and so the heat map.
    """
    alone = [classify(radiograph, bundle) for bundle in bundles]
    probability = fmean(classification.probability for classification in alone)
    together = dataclasses.replace(
        alone[0],
        probability=probability,
        state=image_points(*bundles).state(probability),
        opinions=tuple(opinion for classification in alone for opinion in classification.opinions),
    )
    return dataclasses.replace(together, state="doubt") if together.disputed else together


def feature_stride(input_size: Sequence[int], cells: Sequence[int], bundle: str) -> float:
    """Return the input pixels per cell of the features, the same down and across.

    Parameters
    ----------
    input_size, cells
        (height, width) of the network's input with its padding, and of its features. A single cell stands for the
        whole input, whatever its shape.
    bundle
        Name of the bundle, for the error's text.

    Raises
    ------
    BundleError
        If the stride differs down and across.
    """
    if tuple(cells) == (1, 1):
        return float(max(input_size))
    down, across = (pixels / count for pixels, count in zip(input_size, cells, strict=True))
    if down != across:
        raise BundleError(
            f"bundle {bundle}: its features have a stride of {down:g} rows and {across:g} columns; let its "
            "preprocessing pad the image to a multiple of the network's stride"
        )
    return down


def feature_weights(network: nn.Module, features: Tensor) -> tuple[NDArray[np.float32], float | None]:
    """Return what turns features into an activation map: (channels,) weights and a bias, or None without a scale.

    A linear layer whose pooled output is the logit is its own answer: the logit's gradient, summed over the map, is
    that layer's weights; a network with ``forward_map`` is made so. Any other head answers by its gradient's mean over
    the map, and a head whose logit does not depend on the features by zeros.

    Notes
    -----
    Zhou et al., CVPR 2016 (CAM); Selvaraju et al., ICCV 2017 (Grad-CAM), which for a pooled linear map gives the same
    weights up to a factor.
    """
    layer = network.get_classifier() if hasattr(network, "get_classifier") else None  # type: ignore[operator]
    if not isinstance(layer, nn.Linear | nn.Conv2d) or layer.weight.shape[:2] != (1, features.shape[1]):
        layer = None
    if layer is not None and hasattr(network, "forward_map"):
        return _linear_weights(layer)
    gradient = _head_gradient(network, features)[0].float()
    if layer is not None:
        weights, summed = layer.weight.detach().flatten().float(), gradient.sum(dim=(1, 2))
        if torch.allclose(summed, weights, rtol=1e-3, atol=1e-4 * float(weights.abs().max())):
            return _linear_weights(layer)
    return gradient.mean(dim=(1, 2)).numpy(), None


def _linear_weights(layer: nn.Linear | nn.Conv2d) -> tuple[NDArray[np.float32], float]:
    bias = 0.0 if layer.bias is None else float(layer.bias.detach())
    return layer.weight.detach().flatten().float().numpy().copy(), bias


def _head_gradient(network: nn.Module, features: Tensor) -> Tensor:
    """Return the gradient of the logit with respect to the features, (batch, channels, h, w)."""
    with torch.enable_grad():
        leaf = features.clone().requires_grad_(True)  # a clone made outside inference mode can be differentiated
        logit: Tensor = network.forward_head(leaf)  # type: ignore[operator]
        if not logit.requires_grad:
            return torch.zeros_like(leaf)
        (gradient,) = torch.autograd.grad(logit.sum(), leaf, materialize_grads=True)
    return gradient


def calibration(bundle: Bundle) -> Calibration:
    """Return how a classifier's logit becomes a probability."""
    fitted = bundle.metadata["operating_points"]
    return Calibration(float(fitted["temperature"]), float(fitted.get("bias", 0.0)))


def image_points(*bundles: Bundle) -> OperatingPoints:
    """Return the image-level operating points of a classifier, or of several together: their mean."""
    return _mean_points("image", bundles)


def study_points(*bundles: Bundle) -> OperatingPoints:
    """Return the study-level operating points of a classifier, or of several together: their mean."""
    return _mean_points("study", bundles)


def _mean_points(level: str, bundles: Sequence[Bundle]) -> OperatingPoints:
    fitted = [bundle.metadata["operating_points"][level] for bundle in bundles]
    return OperatingPoints(*(fmean(points[name] for points in fitted) for name in ("rule_out", "rule_in")))
