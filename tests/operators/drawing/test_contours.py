"""Outlines: filled again they are the mask, and nothing in them is superfluous."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from operators.drawing.contours import MOST_POINTS, contours, drawn_contours

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))


def fill(polygons: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Even-odd at pixel centres: a centre is inside if an odd number of vertical edges lie to its left."""
    filled = np.zeros(shape, bool)
    for polygon in polygons:
        for (x, y), (other_x, other_y) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            assert (x == other_x) != (y == other_y)
            if x == other_x:
                filled[int(min(y, other_y)) : int(max(y, other_y)), int(x) :] ^= True
    return filled


@settings(max_examples=300, deadline=None)
@given(MASKS)
def test_a_filled_outline_is_the_mask(mask):
    polygons = contours(mask)
    assert np.array_equal(fill(polygons, mask.shape), mask)
    for polygon in polygons:
        assert polygon.dtype == np.float64
        steps = np.diff(np.vstack([polygon, polygon[:1]]), axis=0)
        assert np.all((steps[:, 0] == 0) == (np.roll(steps[:, 0], 1) != 0)), "every point is a corner"


@settings(max_examples=200, deadline=None)
@given(MASKS)
def test_each_part_and_each_hole_has_one_outline(mask):
    parts = ndimage.label(mask)[1]
    holes = ndimage.label(np.pad(~mask, 1, constant_values=True), np.ones((3, 3)))[1] - 1
    assert len(contours(mask)) == parts + holes


def test_a_square_has_four_corners_at_pixel_edges():
    mask = np.zeros((10, 10), bool)
    mask[2:5, 3:9] = True
    (square,) = contours(mask)
    assert sorted(map(tuple, square)) == [(3, 2), (3, 5), (9, 2), (9, 5)]


@pytest.mark.parametrize("value", [False, True])
def test_a_mask_of_one_value(value):
    assert len(contours(np.full((4, 6), value))) == value


def test_what_is_drawn_of_a_cloud_of_specks_is_its_largest_part():
    mask = np.zeros((600, 600), bool)
    mask[::3, ::3] = True
    mask[100:300, 100:300] = True
    drawn = drawn_contours(mask)
    assert np.ptp(drawn[0], axis=0).tolist() >= [200, 200]
    assert sum(len(polygon) for polygon in drawn) <= MOST_POINTS
