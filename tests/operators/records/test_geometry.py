"""Original pixels <-> network input: the round trip, for every shape of image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.transforms import Compose, DivisiblePad, EnsureChannelFirst, Resize

from operators.records.geometry import PixelBox, PixelGeometry, cut, geometry_of, paste, square_around, whole_image

SIZES = st.integers(40, 5000)


@given(rows=SIZES, columns=SIZES, size=st.sampled_from([256, 640, 1024]), data=st.data())
def test_a_box_survives_the_round_trip_within_a_pixel(rows, columns, size, data):
    scale = size / max(rows, columns)
    geometry = PixelGeometry(
        rows, columns, whole_image(rows, columns), max(1, round(rows * scale)), max(1, round(columns * scale))
    )
    left, top = data.draw(st.integers(0, columns - 1)), data.draw(st.integers(0, rows - 1))
    box = PixelBox(left, top, data.draw(st.integers(left + 1, columns)), data.draw(st.integers(top + 1, rows)))
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
