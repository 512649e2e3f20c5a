"""Probability, state and what the activation map is made of."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.transforms import Compose, EnsureChannelFirst, RepeatChannel, Resize, SpatialPad
from torch import nn

from operators.classification.classify import (
    classify,
    classify_together,
    feature_weights,
    image_points,
    study_points,
)
from operators.classification.forward_pass import feature_stride
from operators.localization.activation_maps import activation_map
from operators.localization.localize import localize
from operators.networks.bundle import Bundle
from operators.networks.map_classifier import MapClassifier
from operators.networks.paper_networks import RandomBaseline, SmallCnn
from operators.records.errors import BundleError
from operators.records.geometry import ImageField, PixelBox, whole_image
from operators.records.images import Radiograph
from operators.records.operating_points import Calibration
from operators.records.reasons import DoubtReason
from operators.records.rules import TURNED, BoxRule, MapRule, TurnRule
from tests.phantoms import radiograph as ds_of
from tests.phantoms import source_image, tiny_bundle

KEEP = Compose([EnsureChannelFirst(channel_dim="no_channel")])
LETTERBOX = Compose(
    [
        EnsureChannelFirst(channel_dim="no_channel"),
        Resize(spatial_size=224, size_mode="longest", mode="area"),
        SpatialPad((224, 224), method="end"),
        RepeatChannel(3),
    ]
)
COMPONENTS = BoxRule("components", threshold=0.5, expansion=0.0, maximum_boxes=3, fixed_side=50)


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


class Fixed(nn.Module):
    """Features whose mean is the logit, 2 x 3 cells of 32 pixels; the left column is brighter."""

    def __init__(self, logit: float) -> None:
        super().__init__()
        self.classifier = nn.Conv2d(1, 1, 1)
        nn.init.ones_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)
        self.cells = torch.tensor([[1.0, 0, -1], [1, 0, -1]])[None, None] + logit

    def forward_features(self, image):
        return self.cells

    def forward_head(self, features):
        return self.classifier(features).mean(dim=(1, 2, 3))[:, None]

    def get_classifier(self):
        return self.classifier


def fixed(logit: float, name: str = "tiny", **points: float) -> Bundle:
    fitted = {"rule_out": 0.2, "rule_in": 0.8} | points
    network = Fixed(logit)
    return tiny_bundle(
        network, KEEP, name, operating_points={"temperature": 1.0, "image": fitted, "study": fitted | {"rule_in": 0.9}}
    )


WIDE = Radiograph(source_image(), np.full((64, 96), 0.5, np.float32))


@given(st.floats(-30, 30), st.floats(0.05, 20), st.floats(-5, 5), st.floats(0.001, 0.999))
def test_calibration_and_its_inverse(logit, temperature, bias, probability):
    scale = Calibration(temperature, bias)
    assert scale.probability(logit) == pytest.approx(1 / (1 + np.exp(-(logit / temperature + bias))), rel=1e-9)
    assert scale.probability(scale.logit(probability)) == pytest.approx(probability, rel=1e-9)


def test_the_logit_is_kept_where_the_probability_saturates():
    assert classify(WIDE, fixed(90.0)).probability == 1
    assert classify(WIDE, fixed(90.0)).logit == 90


@pytest.mark.parametrize(("temperature", "bias"), [(1.0, 0.7), (1.6, -1.2)])
def test_bias_shifts_probability_and_map_alike(temperature, bias):
    points = {"rule_out": 0.2, "rule_in": 0.8, "decision": 0.5}
    fitted = {"temperature": temperature, "bias": bias, "image": points, "study": points}
    bundle = tiny_bundle(Fixed(0.4), KEEP, operating_points=fitted)
    result = classify(WIDE, bundle)
    assert result.logit == pytest.approx(0.4)
    assert result.probability == pytest.approx(1 / (1 + np.exp(-(0.4 / temperature + bias))))
    logits = np.array([[1.4, 0.4, -0.6]] * 2) / temperature + bias
    assert activation_map(result) == pytest.approx(1 / (1 + np.exp(-logits)), abs=1e-6)
    assert bundle.fitted.calibration.logit(result.probability) == pytest.approx(result.logit)


def test_a_bundle_without_bias_has_none():
    assert fixed(0.0).fitted.calibration == Calibration(1.0, 0.0)


def test_together_is_the_mean_of_probabilities_and_points():
    first, second, third = fixed(-0.5, "a"), fixed(1.0, "b", rule_out=0.3, rule_in=0.85), fixed(1.3, "c")
    alone = [classify(WIDE, bundle).probability for bundle in (first, second, third)]
    together = classify_together(WIDE, (first, second, third))
    assert together.probability == pytest.approx(np.mean(alone))
    assert image_points(first, second, third).rule_out == pytest.approx(0.7 / 3)
    assert image_points(first, second, third).rule_in == pytest.approx(2.45 / 3)
    assert study_points(first, second, third).rule_in == pytest.approx(0.9)
    assert together.state == "doubt"
    assert not together.disputed
    assert [(o.bundle, o.logit, o.state) for o in together.opinions] == [
        ("a", pytest.approx(-0.5), "doubt"),
        ("b", pytest.approx(1.0), "doubt"),
        ("c", pytest.approx(1.3), "doubt"),
    ]


def test_the_mean_of_points_decides_and_not_the_majority():
    """Two doubts of .79 and .75 are abnormal where the points' mean is .7."""
    bundles = (fixed(1.32, "a", rule_in=0.8), fixed(1.1, "b", rule_in=0.6))
    together = classify_together(WIDE, bundles)
    assert [opinion.state for opinion in together.opinions] == ["doubt", "abnormal"]
    assert together.state == "abnormal"


@pytest.mark.parametrize(("low", "high"), [(-9.0, 9.0), (-1.4, 20.0), (-20.0, 1.4)])
def test_a_strong_disagreement_is_doubt(low, high):
    """Whatever the mean says: it lies below, between or above the mean points."""
    for bundles in ((fixed(low, "a"), fixed(high, "b")), (fixed(high, "b"), fixed(low, "a"))):
        together = classify_together(WIDE, bundles)
        assert together.disputed
        assert together.state == "doubt"


def test_disagreement_overrules_the_mean():
    """A mean of .62 is above the mean of the rule-in points, .55, yet one bundle says normal by its own."""
    normal, abnormal = fixed(-0.6, "a", rule_out=0.4, rule_in=0.5), fixed(2.0, "b", rule_out=0.4, rule_in=0.6)
    together = classify_together(WIDE, (normal, abnormal))
    assert together.probability >= image_points(normal, abnormal).rule_in
    assert [opinion.state for opinion in together.opinions] == ["normal", "abnormal"]
    assert together.state == "doubt"


def test_the_first_gives_the_map_and_the_order_changes_nothing_else():
    torch.manual_seed(0)
    image = radiograph()
    coarse = tiny_bundle(
        timm.create_model("resnet18", num_classes=1, in_chans=3, pretrained=False), LETTERBOX, "coarse"
    )
    fine = tiny_bundle(MapClassifier(encoder(), feature_channels=16), KEEP, "fine")
    one, other = classify_together(image, (coarse, fine)), classify_together(image, (fine, coarse))
    assert (one.probability, one.state) == (other.probability, other.state)
    assert (one.feature_stride, other.feature_stride) == (32, 8)
    assert (one.geometry.input_height, other.geometry.input_height) == (224, 96)  # each saw the image its own way
    assert other.feature_weights == pytest.approx(classify(image, fine).feature_weights)
    assert (one.logit, other.logit) == (classify(image, coarse).logit, classify(image, fine).logit)


def test_a_list_of_one_is_the_bundle_alone():
    alone, together = classify(WIDE, fixed(0.3)), classify_together(WIDE, [fixed(0.3)])
    assert (alone.probability, alone.state, alone.opinions) == (together.probability, together.state, together.opinions)
    assert np.array_equal(alone.features, together.features)


@pytest.mark.parametrize(
    ("size", "cells", "stride"),
    [((640, 480), (20, 15), 32), ((224, 224), (14, 14), 16), ((96, 64), (1, 1), 96), ((32, 96), (1, 3), 32)],
)
def test_the_stride_is_the_same_down_and_across(size, cells, stride):
    assert feature_stride(size, cells, "msk_a") == stride


def test_an_input_that_is_no_multiple_of_the_stride_is_an_error():
    with pytest.raises(BundleError, match="msk_a.*pad"):
        feature_stride((100, 64), (4, 2), "msk_a")


@pytest.mark.parametrize(("rows", "columns"), [(300, 150), (150, 300), (64, 500)])
def test_the_papers_cnn_is_explained_by_its_gradient(rows, columns):
    torch.manual_seed(0)
    network = SmallCnn()
    image = Radiograph(source_image(), np.random.default_rng(0).random((rows, columns)).astype(np.float32))
    result = classify(image, tiny_bundle(network, LETTERBOX))
    assert result.features.shape == (128, 14, 14)
    assert result.feature_bias is None
    assert result.feature_stride == 16
    longest = max(rows, columns)
    expected = tuple(np.ceil(round(side * 224 / longest) / 16) for side in (rows, columns))
    assert activation_map(result).shape == expected  # the padding is no place for a finding
    assert localize(result, COMPONENTS).heatmap.shape == (rows, columns)


def test_a_last_layer_behind_others_is_no_map():
    """It has as many inputs as the features have channels, and still says nothing of the cells."""
    torch.manual_seed(0)
    network = SmallCnn().eval()
    with torch.inference_mode():
        features = network.forward_features(torch.rand(1, 3, 224, 224))
    expected, _ = feature_weights(network, features)
    network.get_classifier = lambda: network.head[-1]
    weights, bias = feature_weights(network, features)
    assert bias is None
    assert weights == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(4))
def test_the_random_baseline_has_a_flat_map_and_no_box(seed):
    bundle = tiny_bundle(
        RandomBaseline(seed), KEEP, operating_points={"temperature": 1.0} | dict.fromkeys(("image", "study"), HALF)
    )
    result = classify(radiograph(), bundle)
    found = localize(result, COMPONENTS)
    assert result.feature_stride == 96
    assert np.ptp(found.heatmap) == 0
    assert found.boxes == ()


HALF = {"rule_out": 0.0, "rule_in": 0.0}  # every image is abnormal


def test_a_head_that_does_not_look_has_no_map():
    class Blind(nn.Module):
        def forward_head(self, features):
            return torch.zeros(1, 1)

    class HalfBlind(Blind):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1, 1))

        def forward_head(self, features):
            return self.weight

    for network in (Blind(), HalfBlind()):
        weights, bias = feature_weights(network, torch.ones(1, 3, 2, 2))
        assert bias is None
        assert not weights.any()


def test_the_result_is_repeatable():
    torch.manual_seed(0)
    bundle = tiny_bundle(MapClassifier(encoder(), feature_channels=16), KEEP)
    assert classify(radiograph(), bundle).probability == classify(radiograph(), bundle).probability


@pytest.mark.parametrize("rule", [MapRule(flips=True), MapRule("layer_cam")])
def test_an_evaluator_that_switches_gradients_off_changes_nothing(rule):
    torch.manual_seed(2)
    keep = Compose([EnsureChannelFirst(channel_dim="no_channel"), SpatialPad(64)])
    bundle = tiny_bundle(MapClassifier(encoder(), feature_channels=16), keep)
    image = Radiograph(source_image(), np.random.default_rng(0).random((64, 64), np.float32))
    expected = classify(image, bundle, rule, everything=True)
    with torch.no_grad():
        found = classify(image, bundle, rule, everything=True)
    assert activation_map(found, rule) == pytest.approx(activation_map(expected, rule))


@given(st.floats(-8, 8))
def test_a_reason_for_doubt_keeps_an_image_from_being_normal_and_changes_nothing_else(logit):
    plain = classify(WIDE, fixed(logit))
    doubted = classify(Radiograph(WIDE.source, WIDE.pixels.copy(), tuple(DoubtReason)), fixed(logit))
    assert doubted.probability == plain.probability
    assert doubted.state == ("doubt" if plain.state == "normal" else plain.state)
    assert doubted.withheld == (plain.state == "normal")
    boxes = [localize(each, COMPONENTS).boxes for each in (plain, doubted)]
    assert boxes[0] == boxes[1]


def test_an_accepted_reason_for_doubt_changes_no_state():
    accepted = classify(Radiograph(WIDE.source, WIDE.pixels.copy(), relaxed=tuple(DoubtReason)), fixed(-8))
    assert (accepted.state, accepted.doubts) == ("normal", ())


class Tilted(Fixed):
    """Abnormal only where the picture is brighter at the top than below: a head that knows one way up."""

    def forward_features(self, image):
        half = image.shape[-2] // 2
        return self.cells[..., :2] + 8 * torch.sign(image[..., :half, :].mean() - image[..., half:, :].mean())


def tilted() -> Bundle:
    return dataclasses.replace(fixed(-4), network=Tilted(-4).eval())


STANDING = np.vstack([np.ones((32, 64), np.float32), np.zeros((32, 64), np.float32)])


@pytest.mark.parametrize("turns", range(4))
def test_a_turned_picture_that_its_header_tells_of_has_the_verdict_of_the_upright_one(turns):
    upright = classify(Radiograph(source_image(), STANDING.copy()), tilted())
    field = ImageField(whole_image(64, 64), -turns % 4)
    stored = Radiograph(source_image(), np.rot90(STANDING, turns).copy(), field=field)
    assert classify(stored, tilted()).probability == upright.probability


SILENT = source_image(ds_of(PatientOrientation=None))


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_picture_that_is_abnormal_only_when_turned_is_in_doubt(turns):
    stored = Radiograph(SILENT, np.rot90(STANDING, turns).copy())
    assert classify(stored, tilted()).state == "normal"
    looked_at = classify_together(stored, (tilted(),), turns=TURNED)
    assert (looked_at.state, looked_at.doubts, looked_at.withheld) == ("doubt", ("abnormal_when_turned",), True)
    accepted = classify_together(stored, (tilted(),), turns=TurnRule(accepted=True))
    assert (accepted.state, accepted.radiograph.relaxed) == ("normal", ("abnormal_when_turned",))


@pytest.mark.parametrize(
    ("rule_in", "told", "state"), [(0.98, True, "normal"), (0.98, False, "doubt"), (0.8, True, "doubt")]
)
def test_more_must_speak_for_a_turn_against_a_header(rule_in, told, state):
    bundle = dataclasses.replace(fixed(-4, rule_in=rule_in), network=Tilted(-4).eval())  # .989 when it stands
    stored = Radiograph(source_image() if told else SILENT, np.rot90(STANDING).copy())
    assert classify_together(stored, (bundle,), turns=TURNED).state == state


def test_a_picture_that_is_normal_every_way_is_normal():
    level = Radiograph(source_image(), np.zeros((64, 64), np.float32))
    assert classify_together(level, (tilted(),), turns=TURNED).state == "normal"


@pytest.mark.parametrize("turns", range(4))
def test_the_box_of_a_turned_picture_lies_on_the_same_anatomy(turns):
    torch.manual_seed(0)
    bundle = tiny_bundle(MapClassifier(encoder(), feature_channels=16), KEEP)
    picture = np.random.default_rng(1).random((96, 64)).astype(np.float32)
    upright = localize(classify(Radiograph(source_image(), picture.copy()), bundle), COMPONENTS)
    framed = np.pad(np.rot90(picture, turns), ((7, 0), (0, 5)))
    rows, columns = framed.shape
    field = ImageField(PixelBox(0, 7, columns - 5, rows), -turns % 4)
    stored = localize(classify(Radiograph(source_image(), framed, field=field), bundle), COMPONENTS)
    assert stored.classification.probability == upright.classification.probability
    assert np.allclose(field.of(stored.heatmap), upright.heatmap, atol=1e-6)
    assert stored.heatmap[:7].max() == stored.heatmap[:, columns - 5 :].max() == 0
    for box, expected in zip(stored.boxes, upright.boxes, strict=True):
        drawn = np.zeros((rows, columns), np.float32)
        drawn[box.slices()] = 1
        found, wanted = field.of(drawn), np.zeros((96, 64), np.float32)
        wanted[expected.slices()] = 1
        assert (found != wanted).sum() <= 2 * (expected.width + expected.height)  # half a pixel may round either way


def test_a_doubted_image_costs_no_further_view():
    doubted = Radiograph(WIDE.source, WIDE.pixels.copy(), tuple(DoubtReason))
    assert len(classify(doubted, fixed(-8), MapRule(flips=True)).views) == 1
    assert len(classify(doubted, fixed(8), MapRule(flips=True)).views) == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_logit_that_is_no_number_gives_no_state(value):
    """Of NaN every comparison is false, so that the image would be in doubt; infinity would be certain."""
    network = MapClassifier(encoder(), feature_channels=16)
    network.forward_head = lambda features: features.mean((1, 2, 3))[:, None] * 0 + value
    with pytest.raises(ArithmeticError, match="no finite number"):
        classify(radiograph(), tiny_bundle(network, KEEP))
