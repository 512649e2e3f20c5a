"""Boxes and masks to numbers: FROC by hand and by brute force, HD95 judged by MONAI, thirds by size, medians."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import compute_hausdorff_distance

from operators.records.geometry import PixelBox, intersection_over_union
from training.evaluation.resampling import weighted_medians
from training.localization.froc import FALSE_BOXES, detections, first_hits, froc, sensitivity_at
from training.localization.masks import (
    SIZES,
    agreement,
    brightest,
    ellipse,
    filled,
    hd95,
    in_a_box,
    overlap,
    size_class,
    size_cuts,
    union,
)

A, B, FAR = PixelBox(0, 0, 10, 10), PixelBox(20, 20, 30, 30), PixelBox(50, 50, 60, 60)


def read(scores, hits, findings, weights=None, levels=FALSE_BOXES):
    once = np.ones((1, len(findings))) if weights is None else np.atleast_2d(np.asarray(weights, float))
    curve = froc(detections(scores, hits, findings), once)
    return [sensitivity_at(*curve, level).tolist() for level in levels]


def test_froc_by_hand():
    # two images, three findings; by score: hit .9, false .8, hit .7, false .6, false .5, hit .4
    scores, hits = [(0.9, 0.6, 0.4), (0.8, 0.7, 0.5)], [(True, False, True), (False, True, False)]
    found = detections(scores, hits, [2, 1])
    false_boxes, sensitivity = froc(found, np.ones((1, 2)))
    np.testing.assert_allclose(false_boxes[0], [0, 0, 0.5, 0.5, 1.0, 1.5, 1.5])
    np.testing.assert_allclose(sensitivity[0], [0, 1 / 3, 1 / 3, 2 / 3, 2 / 3, 2 / 3, 1])
    assert read(scores, hits, [2, 1]) == [[pytest.approx(v)] for v in (1 / 3, 2 / 3, 2 / 3, 1.0)]


def test_boxes_of_one_score_come_in_together():
    # at a score of 1 stand a hit and a false box: there is no way to have the hit alone
    assert read([(1.0,), (1.0,)], [(True,), (False,)], [1, 0], levels=(0.25, 0.5)) == [[0.0], [1.0]]


def test_normal_images_thin_the_false_boxes_out():
    hit_second = ([(0.9, 0.8)], [(False, True)])
    assert read(*hit_second, [1], levels=(0.25, 1)) == [[0.0], [1.0]]
    with_normal = [*hit_second[0], (), (), ()], [*hit_second[1], (), (), ()]
    assert read(*with_normal, [1, 0, 0, 0], levels=(0.25, 1)) == [[1.0], [1.0]]


def test_without_a_box_nothing_is_found_and_without_a_finding_nothing_is_said():
    assert read([(), ()], [(), ()], [1, 0]) == [[0.0]] * len(FALSE_BOXES)
    assert np.isnan(read([(0.5,), ()], [(False,), ()], [0, 0])).all()


images = st.lists(
    st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.9]), st.booleans()), max_size=4), min_size=1, max_size=6
)


@settings(max_examples=60, deadline=None)
@given(images, st.integers(0, 2**32 - 1))
def test_froc_rises_and_a_weight_is_a_repetition(drawn, seed):
    ranked = [sorted(image, key=lambda box: -box[0]) for image in drawn]
    scores = [tuple(score for score, _ in image) for image in ranked]
    hits = [tuple(hit for _, hit in image) for image in ranked]
    findings = [sum(of) + extra % 2 for extra, of in enumerate(hits)]
    weights = np.random.default_rng(seed).integers(0, 3, len(ranked))
    weights[0] += 1
    false_boxes, sensitivity = froc(detections(scores, hits, findings), weights[None].astype(float))
    assert (np.diff(false_boxes) >= 0).all()
    known = sensitivity[np.isfinite(sensitivity)]
    assert (np.diff(known) >= 0).all()
    assert known.size == 0 or (known[0] == 0 and known[-1] <= 1)
    by_level = read(scores, hits, findings, weights)
    repeated = [
        [each for each, times in zip(of, weights, strict=True) for _ in range(times)] for of in (scores, hits, findings)
    ]
    np.testing.assert_allclose(by_level, read(*repeated))


def test_a_second_box_on_a_finding_is_false():
    nearly = PixelBox(0, 0, 10, 9)
    assert first_hits([A, nearly, FAR, B], [A, B]) == (True, False, False, True)
    assert first_hits([nearly, A], [A]) == (True, False)
    assert first_hits([A], []) == (False,)
    assert first_hits([], [A]) == ()


def test_the_least_overlap_counts_as_found():
    half = PixelBox(0, 0, 10, 3)  # IoU .3
    assert intersection_over_union(half, A) == pytest.approx(0.3)
    assert first_hits([half], [A], 0.3) == (True,)
    assert first_hits([half], [A], 0.31) == (False,)


def test_what_is_said_of_a_box_does_not_depend_on_those_after_it():
    random = np.random.default_rng(3)

    def box():
        left, top = random.integers(0, 20, 2)
        return PixelBox(int(left), int(top), int(left + random.integers(1, 20)), int(top + random.integers(1, 20)))

    for _ in range(50):
        found, true = [box() for _ in range(6)], [box() for _ in range(3)]
        whole = first_hits(found, true)
        assert all(first_hits(found[:count], true) == whole[:count] for count in range(7))
        assert sum(whole) <= len(true)


def monai_hd95(first, second):
    return float(
        compute_hausdorff_distance(
            torch.from_numpy(first)[None, None],
            torch.from_numpy(second)[None, None],
            include_background=True,
            percentile=95,
        )
    )


@pytest.mark.parametrize("seed", range(12))
def test_hd95_is_monais(seed):
    random = np.random.default_rng(seed)
    masks = []
    for _ in range(2):
        boxes = [
            PixelBox(int(x), int(y), int(x + w), int(y + h))
            for x, y, w, h in zip(*random.integers(3, 18, (4, 3)), strict=True)
        ]
        masks.append(union((ellipse(box, (48, 40)) for box in boxes), (48, 40)) | (random.random((48, 40)) < 0.002))
    assert hd95(*masks) == pytest.approx(monai_hd95(*masks), abs=1e-4)
    assert hd95(*masks) == hd95(*reversed(masks))


def test_hd95_of_masks_on_the_border_and_of_one_pixel():
    corner, other = np.zeros((2, 30, 40), bool)
    corner[0, 0], other[29, 39] = True, True
    assert hd95(corner, other) == pytest.approx(math.hypot(29, 39))
    assert hd95(corner, corner) == 0
    whole = np.ones((30, 40), bool)
    assert hd95(whole, whole) == 0


def test_an_empty_mask_is_a_diagonal_away():
    empty, some = np.zeros((30, 40), bool), filled(PixelBox(3, 4, 8, 9), (30, 40))
    assert hd95(empty, some) == hd95(some, empty) == 50
    assert hd95(empty, empty) == 0
    missed = overlap(empty, some)
    assert (missed.dice, missed.iou, missed.hd95) == (0, 0, 50)
    same = overlap(some, some)
    assert (same.dice, same.iou, same.hd95) == (1, 1, 0)


def test_dice_and_iou_of_two_boxes():
    of = overlap(filled(PixelBox(0, 0, 4, 4), (8, 8)), filled(PixelBox(2, 0, 6, 4), (8, 8)))
    assert of.dice == pytest.approx(0.5)
    assert of.iou == pytest.approx(8 / 24)
    assert of.dice == pytest.approx(2 * of.iou / (1 + of.iou))


def test_an_ellipse_fills_its_box_as_far_as_an_ellipse_does():
    box = PixelBox(5, 10, 85, 50)
    drawn = ellipse(box, (60, 100))
    assert not (drawn & ~filled(box, (60, 100))).any()
    assert drawn.sum() / (box.width * box.height) == pytest.approx(math.pi / 4, abs=0.01)
    for edge in (drawn[10], drawn[49], drawn[:, 5], drawn[:, 84]):
        assert edge.any()
    assert ellipse(PixelBox(3, 3, 4, 4), (8, 8)).sum() == 1


def test_the_brightest_point_and_the_box_it_lies_in():
    heat = np.zeros((9, 7), np.float32)
    assert brightest(heat) is None
    heat[8, 6] = 1
    assert brightest(heat) == (8, 6)
    assert in_a_box((8, 6), [PixelBox(6, 8, 7, 9)])
    assert not in_a_box((6, 8), [PixelBox(6, 8, 7, 9)])  # row and column are not x and y
    assert not in_a_box((8, 6), [PixelBox(0, 0, 6, 9)])  # the right edge is open
    assert not in_a_box((8, 6), [])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(1e-6, 1, allow_nan=False), min_size=3, max_size=60, unique=True))
def test_thirds_hold_a_third_each(shares):
    cuts = size_cuts(shares)
    assert cuts is not None
    counts = [sum(size_class(share, cuts) == size for share in shares) for size in SIZES]
    assert sum(counts) == len(shares)
    assert max(counts) - min(counts) <= 1
    sizes = [SIZES.index(size_class(share, cuts)) for share in sorted(shares)]
    assert sizes == sorted(sizes)


def test_two_masks_have_no_thirds():
    assert size_cuts([0.1, 0.2]) is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), min_size=1, max_size=12))
def test_a_weighted_median_is_the_median_of_repetitions(pairs):
    values, weights = (np.array(part, float) for part in zip(*pairs, strict=True))
    (found,) = weighted_medians(values, weights[None])
    repeated = np.sort(np.repeat(values, weights.astype(int)))
    if repeated.size == 0:
        assert np.isnan(found)
    else:
        assert found == repeated[(len(repeated) - 1) // 2]


def test_agreement_is_with_the_map_above_its_threshold():
    heat = np.zeros((8, 8), np.float32)
    heat[2:4, 2:4], heat[4, 4] = 0.8, 0.3
    outline = heat >= 0.5
    assert agreement(outline, heat, 0.5) == 1
    assert agreement(outline, heat, 0.1) == pytest.approx(2 * 4 / 9)
    assert agreement(np.zeros((8, 8), bool), np.zeros((8, 8), np.float32), 0.5) == 1  # nothing and nothing
