"""Heat map and boxes: where the map is bright, in original pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from operators.localization.activation_maps import activation_map
from operators.localization.boxes import otsu, suppress
from operators.localization.localize import localize
from operators.records.errors import BundleError
from operators.records.geometry import PixelBox, PixelGeometry, whole_image
from operators.records.rules import BoxRule, MapRule
from tests.phantoms import classification, tiny_bundle

COMPONENTS = BoxRule("components", threshold=0.5, expansion=0.0, maximum_boxes=3, fixed_side=50)
PEAKS = BoxRule("peaks", threshold=0.5, expansion=0.0, maximum_boxes=3)
OTSU = BoxRule("components", threshold=0.5, expansion=0.0, maximum_boxes=3, cut="otsu")
BRIGHTEST = BoxRule("brightest_point", threshold=0.5, expansion=0.0, maximum_boxes=3, fixed_side=50)
PAPER = BoxRule("brightest_point_224", threshold=0.5, expansion=0.0, maximum_boxes=3, fixed_side=50)
EVERY = [COMPONENTS, PEAKS, OTSU, BRIGHTEST, PAPER]


@pytest.mark.parametrize("rule", [COMPONENTS, PEAKS, OTSU])
def test_the_box_covers_the_bright_cells(rule):
    found = localize(classification(), rule)  # cells 3..4 x 2..3 of stride 16
    (box,) = found.boxes
    for edge, expected in zip((box.left, box.top, box.right, box.bottom), (32, 48, 64, 80), strict=True):
        assert abs(edge - expected) <= 8  # half a cell
    assert found.scores[0] == pytest.approx(1 / (1 + np.exp(-4)), abs=1e-3)
    assert found.heatmap.shape == (160, 128)
    assert found.heatmap[64, 48] > 0.9
    assert found.heatmap[0, 0] < 0.1


def test_a_normal_image_has_a_heat_map_and_no_box():
    found = localize(classification(state="normal"), COMPONENTS)
    assert found.boxes == ()
    assert found.heatmap.max() > 0.9


def two_findings(first: float, second: float) -> np.ndarray:
    features = np.full((1, 10, 8), -6, np.float32)
    features[0, 1, 1], features[0, 8, 6] = first, second
    return features


def test_a_faint_finding_keeps_its_box_beside_a_bright_one():
    record = classification(two_findings(0, 4))  # a probability of .5 beside one of .98
    strict = BoxRule("components", 0.6, 0.0)
    assert len(localize(record, strict).boxes) == 1
    assert len(localize(record, BoxRule("peaks", 0.6, 0.0)).boxes) == 2


@pytest.mark.parametrize(("minimum_score", "boxes"), [(0.35, 2), (0.6, 1), (1.0, 0)])
def test_every_box_needs_the_least_score_the_first_too(minimum_score, boxes):
    found = localize(classification(two_findings(0, 4)), BoxRule("peaks", 0.5, 0.0, minimum_score=minimum_score))
    assert len(found.boxes) == len(found.scores) == boxes
    assert found.unmarked is (boxes == 0)
    assert found.minimum_score == minimum_score
    assert found.heatmap.max() > 0.9


def test_an_image_without_a_finding_is_not_called_unmarked():
    rule = BoxRule("peaks", 0.5, 0.0, minimum_score=1.0)
    assert not localize(classification(state="normal"), rule).unmarked
    assert not localize(classification(state="doubt", withheld=True), rule).unmarked


def test_a_box_gives_way_to_a_brighter_one_that_it_overlaps():
    large, inside, apart = PixelBox(0, 0, 10, 10), PixelBox(0, 0, 10, 6), PixelBox(20, 0, 30, 10)
    found = [(0.3, large), (0.5, inside), (0.2, apart)]
    assert suppress(found, 0.5) == [(0.5, inside), (0.2, apart)]
    assert suppress(found, 0.7) == [(0.5, inside), (0.3, large), (0.2, apart)]
    assert suppress([(0.5, large), (0.5, large)], 1.0) == [(0.5, large)]
    assert suppress([], 0.5) == []


def test_a_plateau_is_one_finding():
    features = np.full((1, 10, 8), -6, np.float32)
    features[0, 2:7, 2:6] = 4
    assert len(localize(classification(features), PEAKS).boxes) == 1


def test_otsu_splits_between_two_levels():
    values = np.concatenate([np.full(300, 0.1), np.full(20, 0.8)]).astype(np.float32)
    assert 0.1 < otsu(values) <= 0.8
    low, high = np.random.default_rng(0).normal([[0.2], [0.7]], 0.05, (2, 500))
    assert otsu(np.r_[low, high].astype(np.float32)) == pytest.approx(0.45, abs=0.08)


@pytest.mark.parametrize(("rows", "columns"), [(160, 128), (128, 160), (161, 127), (4999, 4001)])
def test_the_papers_box_is_50_of_224_pixels_of_either_side(rows, columns):
    scale = 160 / max(rows, columns)
    geometry = PixelGeometry(rows, columns, whole_image(rows, columns), round(rows * scale), round(columns * scale))
    cells = np.full((1, geometry.input_height // 16, geometry.input_width // 16), -6, np.float32)
    cells[0, 4, 4] = 5
    (box,) = localize(classification(cells, rows=rows, columns=columns, geometry=geometry), PAPER).boxes
    assert (box.width, box.height) == (round(columns * 50 / 224), round(rows * 50 / 224))
    centre = (4.5 * 16 / geometry.scale_x, 4.5 * 16 / geometry.scale_y)
    assert ((box.left + box.right) / 2, (box.top + box.bottom) / 2) == pytest.approx(centre, abs=2)


@pytest.mark.parametrize("rule", EVERY)
@pytest.mark.parametrize("place", [(0, 0), (0, 7), (9, 0), (9, 7), (5, 0), (0, 4)])
@pytest.mark.parametrize(("rows", "columns"), [(160, 128), (1601, 1279), (17, 13)])
def test_a_box_at_the_border_lies_inside(rule, place, rows, columns):
    features = np.full((1, 10, 8), -6, np.float32)
    features[0, place[0], place[1]] = 5
    geometry = PixelGeometry(rows, columns, whole_image(rows, columns), 160, 128)
    for box in localize(classification(features, rows=rows, columns=columns, geometry=geometry), rule).boxes:
        assert 0 <= box.left < box.right <= columns
        assert 0 <= box.top < box.bottom <= rows


def test_what_was_fitted_is_what_is_used():
    bundle = tiny_bundle(torch.nn.Identity(), None, localization={"threshold": 0.4, "expansion": 0.1})
    assert (bundle.fitted.maps, bundle.fitted.boxes) == (MapRule(), BoxRule("components", 0.4, 0.1))
    fitted = {
        "threshold": 0.2,
        "expansion": 0.0,
        "boxes": "peaks",
        "least_score": 0.3,
        "map": "layer_cam",
        "stages": ["layer4", "layer3"],
        "stages_used": 2,
        "flips": True,
        "scales": [0.75, 1],
    }
    bundle = tiny_bundle(torch.nn.Identity(), None, localization=fitted)
    maps, boxes = bundle.fitted.maps, bundle.fitted.boxes
    assert maps == MapRule("layer_cam", 2, True, (0.75, 1))
    assert boxes == BoxRule("peaks", 0.2, 0.0, minimum_score=0.3)


@pytest.mark.parametrize(
    "wrong", [{"map": "heat"}, {"boxes": "round"}, {"cut": "sharp"}, {"scales": [0]}, {"stages_used": 0}, {"scales": 1}]
)
def test_metadata_that_name_no_way_are_a_bundle_error(wrong):
    fitted = {"threshold": 0.4, "expansion": 0.1} | wrong
    with pytest.raises(BundleError, match="bundle tiny: metadata.json cannot be used"):
        _ = tiny_bundle(torch.nn.Identity(), None, localization=fitted).fitted


def test_several_findings_come_brightest_first_and_at_most_k():
    found = localize(classification(two_findings(2, 4)), COMPONENTS)
    assert len(found.boxes) == 2
    assert found.scores[0] > found.scores[1]
    assert found.boxes[0].left > found.boxes[1].right
    single = BoxRule("components", 0.5, 0.0, 1, 50)
    assert localize(classification(two_findings(2, 4)), single).boxes == found.boxes[:1]
    assert localize(classification(two_findings(2, 4)), PEAKS).boxes == found.boxes


def test_expansion_enlarges_a_box_about_its_centre():
    plain = localize(classification(), COMPONENTS).boxes[0]
    larger = localize(classification(), BoxRule("components", 0.5, 0.5, 3, 50)).boxes[0]
    assert larger.width == pytest.approx(plain.width * 1.5, abs=2)
    assert (larger.left + larger.right) == pytest.approx(plain.left + plain.right, abs=2)


def test_a_finding_on_the_border_keeps_its_box_inside():
    features = np.full((1, 10, 8), -6, np.float32)
    features[0, 0, 0] = 5
    (box,) = localize(classification(features), BoxRule("components", 0.3, 1.0, 3, 50)).boxes
    assert (box.left, box.top) == (0, 0)


def test_cells_beyond_the_image_give_no_box():
    features = np.full((1, 10, 8), -6, np.float32)
    features[0, 3, 3], features[0, 9, 7] = 4, 3.9  # the last cells cover 16 pixels of which the image has 2
    geometry = PixelGeometry(1460, 1140, whole_image(1460, 1140), 146, 114)
    record = classification(features, rows=1460, columns=1140, geometry=geometry)
    for box in localize(record, BoxRule("components", 0.9, 0.0, 3, 50)).boxes:
        assert min(box.width, box.height) > 10


def test_an_empty_map_gives_no_box_and_no_error():
    flat = np.full((1, 10, 8), -100, np.float32)
    assert localize(classification(flat), COMPONENTS).boxes == ()


def test_the_papers_box_is_fixed_and_moved_inside():
    features = np.full((1, 10, 8), -6, np.float32)
    features[0, 9, 7] = 5
    assert localize(classification(features), BRIGHTEST).boxes == (PixelBox(78, 110, 128, 160),)
    (inner,) = localize(classification(), BRIGHTEST).boxes
    assert (inner.width, inner.height) == (50, 50)


def test_the_papers_box_of_a_smaller_image_is_the_image():
    small = classification(np.array([[[1, 1], [1, 2]]], np.float32), rows=32, columns=32)
    assert localize(small, BRIGHTEST).boxes == (PixelBox(0, 0, 32, 32),)


def test_padding_is_no_place_for_a_finding():
    features = np.full((1, 10, 8), -6, np.float32)
    features[0, 9, 7] = 5  # lies in the padding: the scaled image ends at row 144, column 112
    geometry = PixelGeometry(288, 224, whole_image(288, 224), 144, 112)
    record = classification(features, rows=160, columns=128, geometry=geometry)
    assert activation_map(record).shape == (9, 7)
    assert activation_map(record).max() < 0.01


def test_a_large_image_gets_boxes_in_its_own_pixels():
    geometry = PixelGeometry(4800, 3840, whole_image(4800, 3840), 160, 128)
    (box,) = localize(classification(geometry=geometry), COMPONENTS).boxes
    assert box.left == pytest.approx(32 * 30, abs=8 * 30)
    assert box.bottom == pytest.approx(80 * 30, abs=8 * 30)


@pytest.mark.parametrize("rule", EVERY)
@pytest.mark.parametrize("bias", [0.0, None])
@pytest.mark.parametrize("value", [-3.0, 0.0, 3.0, 30.0])
def test_a_map_that_is_the_same_everywhere_has_no_box(rule, bias, value):
    record = classification(np.full((1, 10, 8), value, np.float32), feature_bias=bias)
    found = localize(record, rule)
    assert found.boxes == found.scores == ()
    assert np.ptp(found.heatmap) < 1e-6


@pytest.mark.parametrize("rule", EVERY)
def test_a_map_without_scale_and_without_activation_is_zero(rule):
    features = np.linspace(-5, 0, 80, dtype=np.float32).reshape(1, 10, 8)
    found = localize(classification(features, feature_bias=None), rule)
    assert not found.heatmap.any()
    assert found.boxes == ()


def test_a_single_cell_covers_the_image():
    geometry = PixelGeometry(160, 128, whole_image(160, 128), 160, 128)
    record = classification(np.ones((1, 1, 1), np.float32), stride=160, geometry=geometry)
    found = localize(record, COMPONENTS)
    assert found.heatmap.shape == (160, 128)
    assert found.boxes == ()


def test_a_map_without_scale_has_a_maximum_of_one():
    record = classification(feature_bias=None)
    assert activation_map(record).max() == pytest.approx(1)
    assert activation_map(record).min() == 0


@pytest.mark.parametrize(("bias", "relative"), [(0.0, False), (None, True)])
def test_scores_are_told_to_be_probabilities_only_where_they_are(bias, relative):
    found = localize(classification(feature_bias=bias), BoxRule("components", 0.5, 0.0))
    assert found.relative is relative
