"""Probability, state and what the activation map is made of."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from monai.transforms import Compose, EnsureChannelFirst
from torch import nn

from operators.classification import classify, feature_weights
from operators.networks import MapClassifier
from operators.records import Radiograph
from tests.phantoms import source_image, tiny_bundle

KEEP = Compose([EnsureChannelFirst(channel_dim="no_channel")])


def encoder() -> nn.Module:
    return timm.create_model("resnet18", features_only=True, out_indices=[2, 3, 4], in_chans=1, pretrained=False)


def radiograph() -> Radiograph:
    return Radiograph(source_image(), np.random.default_rng(0).random((96, 64)).astype(np.float32))


def test_the_map_pools_to_the_image_s_logit():
    torch.manual_seed(0)
    bundle = tiny_bundle(MapClassifier(encoder(), feature_channels=16), KEEP)
    result = classify(radiograph(), bundle)
    logits = np.tensordot(result.feature_weights, result.features, axes=1) + result.feature_bias
    pooled = np.log(np.exp(2 * logits).sum()) / 2
    assert result.probability == pytest.approx(1 / (1 + np.exp(-pooled)), abs=1e-5)
    assert result.features.shape == (16, 12, 8)
    assert result.feature_stride == 8


def test_any_timm_classifier_works():
    torch.manual_seed(0)
    bundle = tiny_bundle(timm.create_model("resnet18", num_classes=1, in_chans=1, pretrained=False), KEEP)
    result = classify(radiograph(), bundle)
    logits = np.tensordot(result.feature_weights, result.features, axes=1) + result.feature_bias
    assert result.probability == pytest.approx(1 / (1 + np.exp(-logits.mean())), abs=1e-5)  # average pooling + linear


def test_temperature_scales_probability_and_map_alike():
    torch.manual_seed(0)
    network = MapClassifier(encoder(), feature_channels=16)
    points = {"rule_out": 0.2, "rule_in": 0.8}
    plain = classify(radiograph(), tiny_bundle(network, KEEP))
    cool = classify(
        radiograph(),
        tiny_bundle(network, KEEP, operating_points={"temperature": 2.0, "image": points, "study": points}),
    )
    logit = np.log(plain.probability / (1 - plain.probability))
    assert cool.probability == pytest.approx(1 / (1 + np.exp(-logit / 2)), abs=1e-6)
    assert cool.feature_weights == pytest.approx(plain.feature_weights / 2)


def test_gradient_weights_equal_the_linear_layer_up_to_a_factor():
    """Grad-CAM of average pool + linear is the class activation map (Selvaraju et al., 2017)."""
    torch.manual_seed(0)
    network = timm.create_model("resnet18", num_classes=1, in_chans=1, pretrained=False).eval()
    with torch.inference_mode():
        features = network.forward_features(torch.rand(1, 1, 64, 64))
    exact, bias = feature_weights(network, features)
    network.get_classifier = lambda: None
    gradient, no_bias = feature_weights(network, features)
    assert bias is not None
    assert no_bias is None
    assert gradient * 4 == pytest.approx(exact, rel=1e-4)  # 2 x 2 cells


def test_a_head_that_is_not_linear_is_differentiated():
    class Head(nn.Module):
        def forward_head(self, features):
            return features.square().mean(dim=(1, 2, 3))[:, None]

    weights, bias = feature_weights(Head(), torch.ones(1, 3, 2, 2) * torch.tensor([1.0, 2.0, 3.0])[None, :, None, None])
    assert bias is None
    assert weights == pytest.approx(np.array([2.0, 4.0, 6.0]) / 12)


def test_the_result_is_repeatable():
    torch.manual_seed(0)
    bundle = tiny_bundle(MapClassifier(encoder(), feature_channels=16), KEEP)
    assert classify(radiograph(), bundle).probability == classify(radiograph(), bundle).probability
