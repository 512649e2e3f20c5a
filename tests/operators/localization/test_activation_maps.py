"""Activation maps equal those of the methods' reference package, and lie where the finding is."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import pytorch_grad_cam
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.transforms import Compose, DivisiblePad, EnsureChannelFirst, RepeatChannel, Resize
from scipy.special import logit
from torch import nn
from torch.nn import functional

from operators.classification.classify import classify, classify_together
from operators.classification.forward_pass import run, stage_names
from operators.localization.activation_maps import activation_map, made_rule
from operators.networks.bundle import Bundle
from operators.networks.configuration import read_config
from operators.networks.map_classifier import MapClassifier
from operators.networks.paper_networks import RandomBaseline, SmallCnn
from operators.records.errors import BundleError
from operators.records.geometry import PixelGeometry, scaled_size, whole_image
from operators.records.images import Classification, FeatureStage, FeatureView, Radiograph
from operators.records.rules import MAP_METHODS, PLAIN, MapRule
from tests.phantoms import classification, source_image, tiny_bundle
from tests.test_house import ROOT

KEEP = Compose([EnsureChannelFirst(channel_dim="no_channel")])
COLOUR = Compose([EnsureChannelFirst(channel_dim="no_channel"), RepeatChannel(3)])
LETTERBOX = Compose(
    [
        EnsureChannelFirst(channel_dim="no_channel"),
        Resize(spatial_size=320, size_mode="longest", mode="area"),
        DivisiblePad(k=32, method="end"),
    ]
)
ABNORMAL, NORMAL = ({"rule_out": point, "rule_in": point} for point in (0.0, 1.0))
REFERENCE = {
    "grad_cam": pytorch_grad_cam.GradCAM,
    "grad_cam_plus_plus": pytorch_grad_cam.GradCAMPlusPlus,
    "layer_cam": pytorch_grad_cam.LayerCAM,
    "hires_cam": pytorch_grad_cam.HiResCAM,
}


def bundle_of(network: nn.Module, *stages: str, preprocess=KEEP, points=ABNORMAL, name: str = "tiny") -> Bundle:
    fitted = {"temperature": 1.0, "image": points, "study": points}
    return tiny_bundle(network, preprocess, name, operating_points=fitted, localization={"stages": stages})


def radiograph(pixels: np.ndarray) -> Radiograph:
    return Radiograph(source_image(), np.ascontiguousarray(pixels, np.float32))


def noise(rows: int = 64, columns: int = 96, seed: int = 0) -> Radiograph:
    return radiograph(np.random.default_rng(seed).random((rows, columns)))


# --- against the reference package, and CAM against Grad-CAM


def encoder() -> nn.Module:
    return timm.create_model("resnet18", features_only=True, out_indices=[2, 3, 4], in_chans=1, pretrained=False)


def pooled_linear() -> tuple[nn.Module, str]:
    """timm's own classifier: average pooling and a linear layer."""
    return timm.create_model("resnet18", num_classes=1, in_chans=1, pretrained=False), "layer4"


def map_classifier() -> tuple[nn.Module, str]:
    """Its pooling is as soft on a map that is 300 times as large as the default is on a map of usual size."""
    return MapClassifier(encoder(), feature_channels=16, sharpness=2 / 300), "merge"


def network_of(kind, seed: int = 0) -> tuple[nn.Module, str]:
    """A random network whose gradients are no smaller than those of a trained one (the package adds an epsilon)."""
    torch.manual_seed(seed)
    network, last = kind()
    layer = network.get_classifier()
    nn.init.normal_(layer.weight, 0.5, 1.0)  # mostly positive, so that the map's positive part is not empty
    with torch.no_grad():
        layer.weight *= 300
    return network.eval(), last


def of_package(method: str, network: nn.Module, layer: nn.Module, image: Radiograph) -> np.ndarray:
    """The package's map at the resolution of the features, relative to its maximum."""
    maker = REFERENCE[method](network, [layer])
    tensor = torch.from_numpy(image.pixels.copy())[None, None]
    maker(tensor, [lambda output: output[0]])
    kept = maker.activations_and_grads
    features, gradients = kept.activations[0].numpy(), kept.gradients[0].numpy()
    values = np.maximum(maker.get_cam_image(tensor, layer, None, features, gradients, eigen_smooth=False)[0], 0)
    return values / values.max()


@pytest.mark.parametrize("kind", [pooled_linear, map_classifier])
@pytest.mark.parametrize("method", REFERENCE)
def test_a_map_by_gradients_is_the_reference_package_s(kind, method):
    network, last = network_of(kind)
    ours = activation_map(classify(noise(), bundle_of(network), MapRule(method)), MapRule(method))
    theirs = of_package(method, network, network.get_submodule(last), noise())
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1e-5
    assert np.ptp(ours) > 0.1


@pytest.mark.parametrize("method", REFERENCE)
def test_stages_are_the_reference_package_s_and_their_mean_is_taken(method):
    network, last = network_of(map_classifier)
    names = ("encoder.layer2", "merge")  # both of stride 8: nothing is resampled
    rule = MapRule(method, stages=2)
    ours = activation_map(classify(noise(), bundle_of(network, "encoder.layer3", names[0]), rule), rule)
    theirs = [of_package(method, network, network.get_submodule(name), noise()) for name in names]
    assert np.abs(ours - np.mean(theirs, axis=0)).max() <= 1e-5
    assert last == names[1]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", [pooled_linear, map_classifier])
def test_cam_is_grad_cam_where_a_linear_map_is_pooled(kind, seed):
    """Selvaraju et al., 2017: the same weights up to a factor."""
    network, last = network_of(kind, seed)
    with torch.no_grad():
        network.get_classifier().weight /= 300  # keeps the sigmoid from its ends
    result = classify(noise(seed=seed), bundle_of(network), MapRule("grad_cam"))
    logits = np.tensordot(result.feature_weights, result.features, axes=1)
    assert activation_map(result, PLAIN) == pytest.approx(1 / (1 + np.exp(-(logits + result.feature_bias))), abs=1e-6)
    cam = np.maximum(logits, 0) / logits.max()
    assert np.abs(cam - activation_map(result, MapRule("grad_cam"))).max() <= 1e-5
    assert np.abs(cam - of_package("grad_cam", network, network.get_submodule(last), noise(seed=seed))).max() <= 1e-5


def test_grad_cam_plus_plus_counts_two_findings_alike_and_grad_cam_does_not():
    """Two channels, one with a large finding and one with a small one, of the same gradient where they are."""
    features = np.zeros((2, 6, 6), np.float32)
    features[0, :4, :4] = features[1, 5, 5] = 1
    record = classification(features, gradients=features.copy())
    plain, alike = (activation_map(record, MapRule(name)) for name in ("grad_cam", "grad_cam_plus_plus"))
    assert plain[5, 5] == pytest.approx(1 / 16)
    assert alike[5, 5] == pytest.approx((1 / 3) / (16 / 18))


def test_features_below_zero_give_no_infinite_weight():
    features = np.full((1, 2, 2), -1, np.float32)
    record = classification(features, gradients=np.full((1, 2, 2), 0.5, np.float32))  # 2 + (-4) * .5 = 0
    assert not activation_map(record, MapRule("grad_cam_plus_plus")).any()


# --- where the map lies


class Spots(nn.Module):
    """Cells of 16 pixels that are as bright as the image; the stage before them has cells of 8."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = nn.AvgPool2d(8), nn.AvgPool2d(2)
        self.classifier = nn.Conv2d(1, 1, 1)
        nn.init.constant_(self.classifier.weight, 4.0)
        nn.init.constant_(self.classifier.bias, -2.0)
        self.runs = 0

    def forward_features(self, image):
        self.runs += 1
        return self.coarse(self.fine(image))

    def forward_head(self, features):
        return self.classifier(features).mean(dim=(1, 2, 3))[:, None]

    def get_classifier(self):
        return self.classifier


SIZES = [(300, 200), (200, 300), (517, 311), (311, 517), (64, 320), (4211, 3001)]
RULES = [
    MapRule(method, stages, flips, scales)
    for method in MAP_METHODS
    for stages, flips, scales in [
        (1, False, (1.0,)),
        (2, True, (1.0,)),
        (2, False, (0.75, 1.3)),
        (1, True, (0.6, 1, 2)),
    ]
]


def centre_of(record: Classification, cells: np.ndarray) -> tuple[float, float]:
    """The (row, column) of the map's centre of mass above half its maximum, as a share of the image."""
    weights = np.where(cells >= cells.max() / 2, cells, 0)
    geometry, stride = record.geometry, record.feature_stride
    row, column = ((np.indices(cells.shape) + 0.5) * stride * weights).sum(axis=(1, 2)) / weights.sum()
    return row / geometry.input_height, column / geometry.input_width


@pytest.mark.parametrize(("top", "left"), [(0.15, 0.2), (0.7, 0.75)])
@pytest.mark.parametrize(("rows", "columns"), SIZES)
def test_every_view_puts_the_finding_where_it_is(rows, columns, top, left):
    """A third of a cell from the plain map's place, and that lies in the finding."""
    pixels = np.full((rows, columns), 0.02, np.float32)
    side, row, column = max(rows, columns) // 8, round(top * rows), round(left * columns)
    pixels[row : row + side, column : column + side] = 1
    asked = MapRule("layer_cam", stages=2, flips=True, scales=(0.6, 0.75, 1, 1.3, 2))
    record = classify(radiograph(pixels), bundle_of(Spots(), "fine", preprocess=LETTERBOX), asked)
    geometry, plain = record.geometry, centre_of(record, activation_map(record, PLAIN))
    inside = ((row + side / 2) / rows, (column + side / 2) / columns)
    cell = np.array([geometry.input_height, geometry.input_width]) / 16
    assert np.abs(np.subtract(plain, inside) * cell).max() <= 1
    for rule in RULES:
        cells = activation_map(record, rule)
        assert cells.shape == (math.ceil(geometry.input_height / 16), math.ceil(geometry.input_width / 16))
        assert cells.dtype == np.float32
        assert 0 <= cells.min() <= cells.max() <= 1
        assert np.abs(np.subtract(centre_of(record, cells), plain) * cell).max() <= 1 / 3, rule


def test_a_mirrored_view_of_a_mirrored_image_is_the_mirrored_plain_view():
    network, _ = network_of(map_classifier)
    rule = MapRule("layer_cam", stages=2, flips=True)
    bundle = bundle_of(network, "encoder.layer3")
    image = noise()  # 64 x 96: no padding, which would lie on the other side
    mirrored = radiograph(image.pixels[:, ::-1])
    one, other = classify(image, bundle, rule), classify(mirrored, bundle, rule)
    assert [view.flipped for view in one.views] == [False, True]
    for mine, theirs in zip(one.views[1].stages, other.views[0].stages, strict=True):
        assert np.array_equal(mine.features, theirs.features[..., ::-1])
        assert np.array_equal(mine.gradients, theirs.gradients[..., ::-1])
        assert mine.stride == theirs.stride
    assert activation_map(one, rule) == pytest.approx(activation_map(other, rule)[:, ::-1], abs=1e-5)


def test_probability_and_state_are_the_plain_view_s():
    network, _ = network_of(map_classifier)
    bundle = bundle_of(network, "encoder.layer2", "encoder.layer3")
    plain = classify(noise(), bundle)
    for rule in (MapRule(flips=True, scales=(0.5, 1.5)), MapRule("hires_cam", stages=3, flips=True)):
        for everything in (False, True):
            result = classify(noise(), bundle, rule, everything=everything)
            assert (result.logit, result.probability) == pytest.approx((plain.logit, plain.probability))
            assert result.features == pytest.approx(plain.features, abs=1e-5)
            assert activation_map(result, PLAIN) == pytest.approx(activation_map(plain, PLAIN), abs=1e-5)


def test_a_mean_of_views_is_the_mean_of_their_logits():
    network, _ = network_of(map_classifier)
    with torch.no_grad():
        network.get_classifier().weight /= 300
    rule = MapRule(flips=True)
    result = classify(noise(), bundle_of(network), rule)
    plain = [dataclasses.replace(view, flipped=False) for view in result.views]
    alone = [logit(activation_map(dataclasses.replace(result, views=(view,)), PLAIN)) for view in plain]
    assert logit(activation_map(result, rule)) == pytest.approx(np.mean(alone, axis=0), abs=1e-3)


def test_a_scaled_view_is_the_image_without_its_padding_and_padded_anew():
    seen = []

    class Watched(Spots):
        def forward_features(self, image):
            seen.append(image.clone())
            return super().forward_features(image)

    pixels = np.full((300, 200), 0.5, np.float32)
    rule = MapRule(scales=(0.7,))
    record = classify(radiograph(pixels), bundle_of(Watched(), preprocess=LETTERBOX), rule)
    geometry = record.views[1].geometry
    assert (geometry.input_height, geometry.input_width) == (224, 149)  # .7 of 320 x 213
    assert seen[1].shape == (1, 1, 224, 160)
    assert seen[1] == pytest.approx(0.5)  # its own minimum, and nothing of the plain view's black padding
    assert (geometry.rows, geometry.columns, geometry.window) == (300, 200, record.geometry.window)


# --- what is computed, and when


@pytest.mark.parametrize(
    ("rule", "runs"),
    [
        (PLAIN, 1),
        (MapRule("layer_cam"), 1),
        (MapRule(flips=True), 2),
        (MapRule(flips=True, scales=(0.5, 1, 2)), 6),
        (MapRule(scales=(0.5, 2)), 3),
        (MapRule(stages=2), 2),
    ],
)
def test_a_normal_image_runs_the_network_once(rule, runs):
    for points, everything, expected in [
        (NORMAL, False, 1),
        (ABNORMAL, False, runs),
        (NORMAL, True, runs - (rule.stages > 1)),  # the earlier stages are kept at once
    ]:
        network = Spots()
        record = classify(noise(), bundle_of(network, "fine", points=points), rule, everything=everything)
        assert network.runs == expected
        assert len(record.views) == (1 if points is NORMAL and not everything else len(rule.views))
        assert activation_map(record, rule).shape == (4, 6)


def test_of_several_classifiers_only_the_first_is_looked_at_again():
    rule = MapRule("layer_cam", stages=2, flips=True)
    first, second = Spots(), Spots()
    bundles = (bundle_of(first, "fine", name="a"), bundle_of(second, name="b"))
    record = classify_together(noise(), bundles, rule)
    assert (first.runs, second.runs) == (3, 1)
    assert len(record.views) == 2
    normal = (bundle_of(first, "fine", name="a", points=NORMAL), bundle_of(second, name="b", points=NORMAL))
    assert len(classify_together(noise(), normal, rule).views) == 1


def test_the_hooks_are_gone_and_nothing_keeps_a_gradient():
    network, _ = network_of(map_classifier)
    classify(noise(), bundle_of(network, "encoder.layer3"), MapRule(stages=2))
    assert not any(module._forward_hooks for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.is_grad_enabled()


def test_no_graph_is_built_before_the_first_stage():
    network, _ = network_of(map_classifier)
    done = run(bundle_of(network), torch.rand(1, 64, 96), ("encoder.layer2", "encoder.layer3"))
    assert [stage.is_leaf for stage in done.stages] == [True, False, False]


def test_a_layer_that_writes_into_its_input_does_not_change_the_stage_before_it():
    class Rectified(Spots):
        def forward_features(self, image):
            return self.coarse(functional.relu(self.fine(image - 0.5), inplace=True))

    record = classify(noise(), bundle_of(Rectified(), "fine"), MapRule(stages=2))
    assert record.views[0].stages[0].features.min() < 0


def test_a_normal_image_has_the_plain_map_and_says_so():
    rule = MapRule("layer_cam", stages=2, flips=True)
    normal = classify(noise(), bundle_of(Spots(), "fine", points=NORMAL), rule)
    abnormal = classify(noise(), bundle_of(Spots(), "fine"), rule)
    assert np.array_equal(activation_map(normal, rule), activation_map(normal, PLAIN))
    assert made_rule(normal, rule).name == "CAM"
    assert made_rule(abnormal, rule).name == "LayerCAM of 2 stages, fused, mean of 2 views"


def test_a_rule_takes_its_own_views_of_those_that_another_asked_for():
    bundle = bundle_of(*network_of(map_classifier)[:1], "encoder.layer2", "encoder.layer3")
    everything = classify(noise(), bundle, MapRule("layer_cam", 3, flips=True, scales=(0.5, 1, 1.5)))
    for rule in (MapRule("hires_cam", 2), MapRule(flips=True), MapRule("layer_cam", 3, scales=(1.5,))):
        alone = classify(noise(), bundle, rule)
        assert activation_map(everything, rule) == pytest.approx(activation_map(alone, rule), abs=1e-5)


@pytest.mark.parametrize("rule", [MapRule("grad_cam"), MapRule(flips=True), MapRule(stages=2), MapRule(scales=(2,))])
def test_a_map_of_what_was_not_computed_is_a_mistake(rule):
    with pytest.raises(ValueError, match="classify it by the same rule"):
        activation_map(classification(), rule)


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        (PLAIN, "CAM"),
        (MapRule(flips=True, scales=(0.8, 1)), "CAM, mean of 4 views"),
        (MapRule("layer_cam", 2), "LayerCAM of 2 stages, fused"),
        (MapRule("hires_cam", scales=(2, 2.0, 1)), "HiResCAM, mean of 2 views"),
    ],
)
def test_the_name_of_a_map(rule, name):
    assert rule.name == name
    assert rule.views[0] == (1.0, False)


@pytest.mark.parametrize("wrong", [{"method": "score_cam"}, {"stages": 0}, {"scales": (1.0, 0.0)}])
def test_a_rule_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match="take "):
        MapRule(**wrong)


# --- maps that say little


@pytest.mark.parametrize("method", MAP_METHODS)
def test_zero_gradients_give_a_map_of_zeros(method):
    features = np.random.default_rng(0).random((3, 10, 8)).astype(np.float32)
    none = np.zeros_like(features)
    record = classification(features, gradients=none, feature_weights=np.zeros(3, np.float32), feature_bias=None)
    assert not activation_map(record, MapRule(method)).any()


@pytest.mark.parametrize("rule", [MapRule(method, flips=method != "cam") for method in MAP_METHODS])
def test_the_random_baseline_has_a_flat_map(rule):
    record = classify(noise(), bundle_of(RandomBaseline()), rule)
    cells = activation_map(record, rule)
    assert cells.shape == (1, 1)
    assert 0 <= cells.max() <= 1


def test_a_head_that_is_not_linear_says_grad_cam():
    rule = MapRule(flips=True)
    record = classify(noise(224, 224), bundle_of(small_cnn(), preprocess=COLOUR), rule)
    assert record.feature_bias is None
    assert made_rule(record, rule).name == "Grad-CAM, mean of 2 views"
    plain = [dataclasses.replace(record, views=(dataclasses.replace(view, flipped=False),)) for view in record.views]
    assert activation_map(record, rule) == pytest.approx(np.mean([activation_map(one, PLAIN) for one in plain], axis=0))
    assert activation_map(plain[0], PLAIN) == pytest.approx(activation_map(record, MapRule("grad_cam")))


def test_what_lies_in_the_padding_of_a_view_is_cut():
    """The second view's padding is bright; the finding is not."""
    plain = np.full((1, 10, 8), -6, np.float32)
    plain[0, 4, 3] = 2
    half = np.full((1, 6, 4), 9, np.float32)
    half[0, :5, :4] = -6
    geometry = PixelGeometry(160, 128, whole_image(160, 128), 160, 128)
    views = (
        FeatureView((FeatureStage(plain, None, 16.0),), geometry, flipped=False),
        FeatureView(
            (FeatureStage(half, None, 16.0),), dataclasses.replace(geometry, input_height=80, input_width=64), False
        ),
    )
    cells = activation_map(dataclasses.replace(classification(), views=views), MapRule(scales=(0.5,)))
    assert np.unravel_index(cells.argmax(), cells.shape) == (4, 3)
    assert cells[-1].max() < 0.01


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([0.31, 0.5, 0.75, 1.0, 1.3, 2.0, 3.0]), st.floats(-8, 8))
def test_a_flat_view_of_any_size_leaves_a_flat_map(rows, columns, scale, value):
    geometry = PixelGeometry(rows * 7, columns * 7, whole_image(rows * 7, columns * 7), rows * 4, columns * 4)
    height, width = scaled_size(geometry, scale)
    views = []
    for one in (geometry, dataclasses.replace(geometry, input_height=height, input_width=width)):
        shape = (1, math.ceil(one.input_height / 8), math.ceil(one.input_width / 8))
        views.append(FeatureView((FeatureStage(np.full(shape, value, np.float32), None, 8.0),), one, flipped=False))
    record = dataclasses.replace(classification(), views=tuple(views))
    cells = activation_map(record, MapRule(scales=(scale,)))
    assert cells == pytest.approx(1 / (1 + math.exp(-value)), abs=1e-5)


# --- bundles


def small_cnn() -> SmallCnn:
    torch.manual_seed(0)
    return SmallCnn()


@pytest.mark.parametrize(
    ("stages", "rule", "message"),
    [
        ((), MapRule(stages=2), "2 stages of its map are asked for, metadata.json has 1"),
        (("fine",), MapRule("layer_cam", 3), "3 stages of its map are asked for, metadata.json has 2"),
        (("finest",), MapRule(stages=2), "names the stage finest, which its network lacks"),
        (("classifier",), MapRule(stages=2), "do not come from the stages classifier"),
        (("aside",), MapRule(stages=2), "do not come from the stages aside"),
        (("rows",), MapRule(stages=2), "stride of 1 rows and 96 columns"),
        (("flat",), MapRule(stages=2), "1 x 6144 values is no map of cells"),
    ],
)
def test_a_bundle_that_lacks_a_stage_is_an_error_of_one_line(stages, rule, message):
    class Odd(Spots):
        def __init__(self):
            super().__init__()
            self.rows, self.flat, self.aside = nn.AvgPool2d((1, 96)), nn.Flatten(), nn.AvgPool2d(2)

        def forward_features(self, image):
            self.aside(image)
            return super().forward_features(image + self.rows(image) + self.flat(image).mean())

    with pytest.raises(BundleError, match=message) as raised:
        classify(noise(), bundle_of(Odd(), *stages), rule)
    assert "\n" not in str(raised.value)


def test_a_network_of_one_size_takes_no_other():
    with pytest.raises(BundleError, match="takes no image of 128 x 128 pixels.*scales at 1") as raised:
        classify(noise(224, 224), bundle_of(small_cnn(), preprocess=COLOUR), MapRule(scales=(0.5,)))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "strides"),
    [
        ("msk_resnet50", (8, 16, 8)),
        ("msk_efficientnet_b3", (8, 16, 8)),
        ("msk_densenet169", (8, 16, 32)),
        ("msk_cnn", (4, 8, 16)),
    ],
)
def test_the_bundles_name_stages_that_their_networks_have(name, strides):
    torch.manual_seed(0)
    folder = ROOT / "bundles" / name
    metadata = json.loads((folder / "configs" / "metadata.json").read_text("utf-8"))
    network = read_config(folder).get_parsed_content("network_def").eval()
    side = 224 if name == "msk_cnn" else 64
    channels = metadata["network_data_format"]["inputs"]["image"]["num_channels"]
    bundle = dataclasses.replace(bundle_of(network), metadata=metadata)
    rule = MapRule("layer_cam", stages=3)
    done = run(bundle, torch.rand(channels, side, side), stage_names(bundle, rule))
    assert tuple(side / stage.shape[-1] for stage in done.stages) == strides
    assert all(gradient.shape == stage.shape for gradient, stage in zip(done.gradients(), done.stages, strict=True))
    assert all(gradient.any() for gradient in done.gradients())
