"""A frame around a picture changes nothing of what is analysed; a picture without one stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from operators.reading.normalised_header import normalise
from operators.reading.plausibility.exposed_field import empty_share, exposed_field, field_doubts
from operators.records.geometry import PixelBox, whole_image
from tests.phantoms import radiograph

NO_HEADER = Dataset()


def textured(rows: int = 120, columns: int = 90, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((rows, columns)).astype(np.float32)


@given(
    margins=st.tuples(*[st.integers(0, 300)] * 4),
    level=st.floats(0, 1, width=32),
    noise=st.sampled_from([0.0, 1 / 255]),
)
@settings(deadline=None)
def test_the_frame_is_cut_off_where_it_is_large_and_nothing_else_ever_is(margins, level, noise):
    picture = textured()
    (top, bottom, left, right), (rows, columns) = margins, picture.shape
    framed = np.full((rows + top + bottom, columns + left + right), level, np.float32)
    framed += noise * np.random.default_rng(1).random(framed.shape).astype(np.float32)
    inside = PixelBox(left, top, left + columns, top + rows)
    framed[inside.slices()] = picture
    share = 1 - picture.size / framed.size
    field = exposed_field(framed, NO_HEADER)
    right, bottom = (
        min(-(-inside.right // 16) * 16, framed.shape[1]),
        min(-(-inside.bottom // 16) * 16, framed.shape[0]),
    )
    on_the_grid = PixelBox(inside.left // 16 * 16, inside.top // 16 * 16, right, bottom)
    assert field == (on_the_grid if share > 0.1 else whole_image(*framed.shape))
    assert ("mostly_margin" in field_doubts(framed, field)) == (field.width * field.height < framed.size / 2)


def test_lines_that_are_uniform_inside_a_picture_stay():
    picture = textured()
    picture[50:80] = 0
    assert exposed_field(picture, NO_HEADER) == whole_image(*picture.shape)


RECTANGULAR = {"Shape": "RECTANGULAR", "LeftVerticalEdge": 11, "RightVerticalEdge": 80, "UpperHorizontalEdge": 21}


@pytest.mark.parametrize("part", ["Shutter", "Collimator"])
@pytest.mark.parametrize(
    ("opening", "expected"),
    [
        ({**RECTANGULAR, "LowerHorizontalEdge": 110}, PixelBox(10, 20, 80, 110)),
        ({"Shape": "CIRCULAR", "CenterOfCircular": [60, 45], "RadiusOfCircular": 30}, PixelBox(14, 29, 75, 90)),
        ({"Shape": "POLYGONAL", "VerticesOfThePolygonal": [11, 45, 60, 6, 100, 85]}, PixelBox(5, 10, 85, 100)),
        ({**RECTANGULAR, "LowerHorizontalEdge": 30}, whole_image(120, 90)),
        ({**RECTANGULAR}, whole_image(120, 90)),
        ({"Shape": "RECTANGULAR"}, whole_image(120, 90)),
    ],
)
def test_an_opening_of_the_header_bounds_the_field_if_it_can_be_meant(part, opening, expected):
    named = {f"{key}{part}" if "Of" in key else f"{part}{key}": value for key, value in opening.items()}
    stated, _ = normalise(radiograph(stored=np.zeros((120, 90), np.uint16), **named))
    assert exposed_field(textured(), stated) == expected


def test_what_shutter_and_collimator_leave_is_the_field():
    edges = ("LeftVerticalEdge", "RightVerticalEdge", "UpperHorizontalEdge", "LowerHorizontalEdge")
    shutter = dict(zip((f"Shutter{edge}" for edge in edges), (11, 90, 1, 120), strict=True))
    collimator = dict(zip((f"Collimator{edge}" for edge in edges), (1, 80, 31, 120), strict=True))
    shapes = {"ShutterShape": "RECTANGULAR", "CollimatorShape": "RECTANGULAR"}
    both, _ = normalise(radiograph(stored=np.zeros((120, 90), np.uint16), **shapes, **shutter, **collimator))
    assert exposed_field(textured(), both) == PixelBox(10, 30, 80, 120)


@pytest.mark.parametrize(("rows", "columns", "strip"), [(400, 90, True), (90, 400, True), (340, 90, False)])
def test_a_narrow_strip_is_doubted(rows, columns, strip):
    picture = textured(rows, columns)
    assert field_doubts(picture, whole_image(rows, columns)) == (("extreme_aspect_ratio",) if strip else ())


def test_a_picture_with_little_in_it_is_doubted():
    noise = np.random.default_rng(2).normal(0.1, 0.02, (640, 640)).astype(np.float32)
    noise[300:330, 300:330] += textured(30, 30)
    assert empty_share(noise) > 0.9
    assert field_doubts(noise, exposed_field(noise, NO_HEADER)) == ("mostly_margin",)
    assert empty_share(textured(640, 640)) < 0.1
