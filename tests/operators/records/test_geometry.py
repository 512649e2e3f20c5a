"""Original pixels <-> network input: the round trip, for every shape of image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.transforms import Compose, DivisiblePad, EnsureChannelFirst, Resize

from operators.records.geometry import (
    ImageField,
    PixelBox,
    PixelGeometry,
    cut,
    cut_shrunk,
    geometry_of,
    multiple_of,
    paste,
    square_around,
    whole_image,
)

SIZES = st.integers(40, 5000)


def boxes_in(outer: PixelBox) -> st.SearchStrategy[PixelBox]:
    def edges(low: int, high: int) -> st.SearchStrategy[list[int]]:
        return st.lists(st.integers(low, high), min_size=2, max_size=2, unique=True).map(sorted)

    sides = st.tuples(edges(outer.left, outer.right), edges(outer.top, outer.bottom))
    return sides.map(lambda pair: PixelBox(pair[0][0], pair[1][0], pair[0][1], pair[1][1]))


@given(rows=SIZES, columns=SIZES, size=st.sampled_from([256, 640, 1024]), turns=st.integers(0, 3), data=st.data())
def test_a_box_survives_the_round_trip_within_a_pixel(rows, columns, size, turns, data):
    image = whole_image(rows, columns)
    window = data.draw(st.one_of(st.just(image), boxes_in(image)))
    height, width = ImageField(window, turns).turned_size
    scale = size / max(height, width)
    geometry = PixelGeometry(rows, columns, window, max(1, round(height * scale)), max(1, round(width * scale)), turns)
    box = data.draw(boxes_in(window))
    back = geometry.box_to_original(*geometry.box_to_input(box))
    for found, true in zip(
        (back.left, back.top, back.right, back.bottom), (box.left, box.top, box.right, box.bottom), strict=True
    ):
        assert abs(found - true) <= 1


@given(
    rows=st.integers(1, 60),
    columns=st.integers(1, 60),
    left=st.integers(-40, 80),
    top=st.integers(-40, 80),
    side=st.integers(1, 90),
)
def test_paste_undoes_cut(rows, columns, left, top, side):
    image = np.random.default_rng(0).random((rows, columns)).astype(np.float32) + 1
    window = PixelBox(left, top, left + side, top + side)
    part = cut(image, window)
    assert part.shape == (side, side)
    inside = paste(np.ones((side, side), bool), window, rows, columns)
    assert paste(part > 0, window, rows, columns).sum() == inside.sum()
    assert np.array_equal(np.sort(part[part > 0]), np.sort(image[inside]))


@pytest.mark.parametrize(("rows", "columns"), [(454, 373), (373, 454), (3001, 2500), (641, 640), (64, 500)])
def test_a_bright_dot_is_where_the_geometry_says(rows, columns):
    preprocess = Compose(
        [
            EnsureChannelFirst(channel_dim="no_channel"),
            Resize(spatial_size=640, size_mode="longest", mode="area"),
            DivisiblePad(k=32, method="end"),
        ]
    )
    image = np.zeros((rows, columns), np.float32)
    box = PixelBox(columns // 3, rows // 2, columns // 3 + max(8, columns // 20), rows // 2 + max(8, rows // 20))
    image[box.slices()] = 1
    tensor = preprocess(image)
    geometry = geometry_of(tensor.affine, image.shape, whole_image(rows, columns))
    weight = tensor[0].as_subclass(torch.Tensor).numpy()
    centre_y = (weight.sum(1) * (np.arange(weight.shape[0]) + 0.5)).sum() / weight.sum()
    centre_x = (weight.sum(0) * (np.arange(weight.shape[1]) + 0.5)).sum() / weight.sum()
    left, top, right, bottom = geometry.box_to_input(box)
    assert centre_x == pytest.approx((left + right) / 2, abs=0.6)
    assert centre_y == pytest.approx((top + bottom) / 2, abs=0.6)


@given(turns=st.integers(0, 3), data=st.data())
def test_a_map_of_a_turned_window_lies_on_the_pixels_that_it_is_of(turns, data):
    rows, columns = 60, 90
    window = data.draw(boxes_in(whole_image(rows, columns)))
    image = np.random.default_rng(0).random((rows, columns)).astype(np.float32)
    seen = ImageField(window, turns).of(image)
    geometry = PixelGeometry(rows, columns, window, *seen.shape, turns)  # the network sees pixel by pixel
    back = geometry.map_to_original(seen, 1.0)
    assert np.allclose(back, image[window.slices()], atol=1e-6)
    box = data.draw(boxes_in(window))
    left, top, right, bottom = (round(edge) for edge in geometry.box_to_input(box))
    assert np.sort(seen[top:bottom, left:right].ravel()).tolist() == np.sort(image[box.slices()].ravel()).tolist()
    assert geometry.box_to_original(left, top, right, bottom) == box


def test_a_map_is_upsampled_onto_the_pixels_it_covers():
    geometry = PixelGeometry(
        100, 60, whole_image(100, 60), 50, 30
    )  # half the size, cells of 10 input = 20 original pixels
    cells = np.zeros((5, 3), np.float32)
    cells[2, 1] = 1
    heat = geometry.map_to_original(cells, 10)
    assert heat.shape == (100, 60)
    assert np.unravel_index(heat.argmax(), heat.shape) == pytest.approx((50, 30), abs=1)
    assert geometry.map_to_original(np.full((5, 3), 0.7, np.float32), 10) == pytest.approx(0.7)


@given(
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    corner=st.tuples(st.integers(-40, 80), st.integers(-40, 80)),
    side=st.integers(1, 90),
    factor=st.integers(1, 9),
)
def test_a_shrunk_window_is_the_means_of_the_window(size, corner, side, factor):
    image = np.random.default_rng(0).random(size).astype(np.float32)
    window = multiple_of(PixelBox(*corner, corner[0] + side, corner[1] + side), factor)
    assert (window.left, window.top) == corner
    assert side <= window.width < side + factor
    cells = window.width // factor
    means = cut(image, window).reshape(cells, factor, cells, factor).mean(axis=(1, 3))
    assert cut_shrunk(image, window, factor) == pytest.approx(means, abs=1e-6)


@pytest.mark.parametrize("turns", range(4))
def test_a_map_is_resampled_where_it_is_wanted(turns):
    geometry = PixelGeometry(40, 30, PixelBox(-20, -10, 60, 70), 64, 64, turns)
    cells = np.random.default_rng(0).random((16, 16)).astype(np.float32)
    assert geometry.inside == PixelBox(0, 0, 30, 40)
    assert geometry.map_to_original(cells, 4, geometry.inside) == pytest.approx(
        geometry.map_to_original(cells, 4)[10:50, 20:50], abs=1e-6
    )


def test_a_map_of_a_single_cell_is_constant():
    geometry = PixelGeometry(7, 9, whole_image(7, 9), 32, 32)
    assert geometry.map_to_original(np.full((1, 1), 0.3, np.float32), 32) == pytest.approx(0.3)


def test_the_square_window_is_centred_and_large_enough():
    window = square_around(PixelBox(10, 20, 12, 60), 2.5, 32)
    assert (window.width, window.height) == (100, 100)
    assert (window.left + window.right) / 2 == pytest.approx(11, abs=0.5)
    assert square_around(PixelBox(0, 0, 1, 1), 2.5, 32).width == 32


def test_a_box_on_the_border_stays_inside_the_image():
    geometry = PixelGeometry(100, 100, whole_image(100, 100), 640, 640)
    assert geometry.box_to_original(-50, -50, 700, 700) == PixelBox(0, 0, 100, 100)
    assert geometry.box_to_original(640, 640, 640, 640) == PixelBox(99, 99, 100, 100)


def test_an_empty_box_is_refused():
    with pytest.raises(ValueError, match="empty"):
        PixelBox(5, 5, 5, 9)
