"""What a source displays with its pixels is drawn in pictures, and switched on in the presentation state."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from operators.drawing.displayed import displayed
from operators.drawing.layers import draw
from operators.reading.normalised_header import normalise
from operators.records.provenance import RESEARCH_USE_ONLY
from tests.integration.validators import Verdict, dciodvfy
from tests.phantoms import radiograph
from tests.segmentations import build, reread, segmentation

ROWS, COLUMNS = 160, 128
GREY = np.full((ROWS, COLUMNS), 0.5, np.float32)


def with_overlay(bits: np.ndarray, origin=(1, 1), group: int = 0x6000, **header) -> Dataset:
    ds = radiograph(**header)
    data = np.packbits(bits, bitorder="little").tobytes()
    for element, vr, value in (
        (0x0010, "US", bits.shape[0]),
        (0x0011, "US", bits.shape[1]),
        (0x0022, "LO", "SMITH^JANE"),
        (0x0040, "CS", "G"),
        (0x0050, "SS", list(origin)),
        (0x0100, "US", 1),
        (0x0102, "US", 0),
        (0x3000, "OW", data + b"\0" * (len(data) % 2)),
    ):
        ds.add_new(Tag(group, element), vr, value)
    return ds


def marker() -> np.ndarray:
    """An L, the side marker, in the upper left corner of a plane as large as the image."""
    bits = np.zeros((ROWS, COLUMNS), bool)
    bits[20:50, 10:14] = bits[46:50, 10:30] = True
    return bits


RECTANGLE = {
    "ShutterShape": "RECTANGULAR",
    "ShutterLeftVerticalEdge": 21,
    "ShutterRightVerticalEdge": 100,
    "ShutterUpperHorizontalEdge": 31,
    "ShutterLowerHorizontalEdge": 140,
}
CIRCLE = {"ShutterShape": "CIRCULAR", "CenterOfCircularShutter": [80, 64], "RadiusOfCircularShutter": 50}
POLYGON = {"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": [20, 20, 140, 20, 140, 110]}
SHUTTERS = {
    "rectangle": RECTANGLE,
    "circle": CIRCLE,
    "polygon": POLYGON,
    "both": RECTANGLE | CIRCLE | {"ShutterShape": ["RECTANGULAR", "CIRCULAR"]},
}


def header_of(ds: Dataset) -> Dataset:
    """The normalised header as the decoder sends it."""
    return Dataset.from_json(normalise(ds)[0].to_json_dict())


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(-50, 180), st.integers(-50, 180), st.integers(0, 2**32 - 1))
def test_an_overlay_is_drawn_where_its_origin_says(rows, columns, top, left, seed):
    bits = np.random.default_rng(seed).random((rows, columns)) > 0.7
    picture = displayed(GREY, header_of(with_overlay(bits, (top, left))))
    expected = np.zeros((ROWS + 500, COLUMNS + 500), bool)
    expected[top + 199 : top + 199 + rows, left + 199 : left + 199 + columns] = bits
    assert np.array_equal(picture == 1, expected[200 : 200 + ROWS, 200 : 200 + COLUMNS])
    assert (picture[picture != 1] == 0.5).all()


def test_a_header_carries_no_words_of_an_overlay():
    header = header_of(with_overlay(marker()))
    assert "SMITH" not in str(header)
    assert len(header[0x6000, 0x3000].value) < 100, "only what is drawn is carried"


@pytest.mark.parametrize(
    "damage",
    [
        {0x0010: 60000},
        {0x0011: 0},
        {0x0040: "R"},
        {0x0100: 16, 0x0102: 12},
        {0x3000: b""},
        {0x0050: None},
    ],
)
def test_what_is_no_plane_of_graphics_is_left_out_and_told(damage):
    ds = with_overlay(marker())
    for element, value in damage.items():
        ds[0x6000, element].value = value
    header, changes = normalise(ds)
    assert displayed(GREY, header) is GREY
    assert "(6000,3000) OverlayData emptied" in changes


def test_planes_without_end_are_left_out():
    dense = np.ones((4000, 4000), bool)
    header, changes = normalise(with_overlay(dense))
    assert "(6000,3000) OverlayData emptied" in changes
    assert (0x6000, 0x3000) not in header


@pytest.mark.parametrize("name", SHUTTERS)
def test_what_a_shutter_hides_is_dark(name):
    picture = displayed(GREY, header_of(radiograph(**SHUTTERS[name])))
    hidden = {
        "rectangle": [(29, 60), (140, 60), (80, 19), (80, 100)],
        "circle": [(28, 63), (130, 63), (79, 12), (79, 114)],
        "polygon": [(15, 60), (60, 110), (145, 60)],
        "both": [(29, 60), (140, 60), (35, 22)],
    }[name]
    assert all(picture[place] == 0 for place in hidden)
    assert picture[100, 60] == 0.5
    assert 0.2 < (picture == 0.5).mean() < 0.8


def test_a_radius_counts_pixels_along_a_row():
    picture = displayed(GREY, header_of(radiograph(**CIRCLE, ImagerPixelSpacing=[0.4, 0.2])))
    assert (picture[79] == 0.5).sum() == pytest.approx(101)
    assert (picture[:, 63] == 0.5).sum() == pytest.approx(51)


def test_the_level_of_a_shutter_is_that_of_the_header():
    picture = displayed(GREY, header_of(radiograph(**RECTANGLE, ShutterPresentationValue=65535)))
    assert picture[0, 0] == 1


@pytest.mark.parametrize(
    "values",
    [
        {"ShutterShape": "RECTANGULAR"},
        {"ShutterShape": "BITMAP"},
        {"ShutterShape": "STAR"},
        RECTANGLE | {"ShutterLeftVerticalEdge": 100, "ShutterRightVerticalEdge": 20},
        RECTANGLE | {"ShutterShape": None},
        CIRCLE | {"CenterOfCircularShutter": 80},
        CIRCLE | {"CenterOfCircularShutter": [800, 640]},
        POLYGON | {"VerticesOfThePolygonalShutter": [20, 20, 140]},
        POLYGON | {"VerticesOfThePolygonalShutter": [20, 20, 140, 20, 140]},
    ],
)
def test_a_shutter_that_cannot_be_meant_is_left_out_and_told(values):
    header, changes = normalise(radiograph(**values))
    assert displayed(GREY, header) is GREY
    assert not [keyword for keyword in header.dir("Shutter")]
    assert any("Shutter" in change for change in changes)


@pytest.mark.parametrize(("said", "drawn"), [("NO", True), (None, False), ("YES", False)])
def test_the_page_shows_overlays_that_name_nobody(said, drawn):
    plain, marked = (
        draw(segmentation(ds=ds)) for ds in (radiograph(), with_overlay(marker(), BurnedInAnnotation=said))
    )
    assert (plain.radiograph != marked.radiograph) == drawn


def test_the_secondary_capture_shows_overlays_and_shutters():
    pictures = [
        reread(build("sc", segmentation(0, ds=ds))).pixel_array
        for ds in (radiograph(), with_overlay(marker()), radiograph(**RECTANGLE))
    ]
    plain, marked, shut = pictures
    assert 0 < (marked != plain).any(axis=-1).mean() < 0.1
    assert marked[(marked != plain).any(axis=-1)].max() > 240
    assert shut[(shut != plain).any(axis=-1)].max() < 90  # resampled along the edge
    assert (shut != plain).any(axis=-1).mean() > 0.2


def test_the_presentation_state_says_research_use_on_its_layers_still():
    state = reread(build("gsps", segmentation(ds=with_overlay(marker(), **RECTANGLE))))
    assert [layer.GraphicLayer for layer in state.GraphicLayerSequence] == ["BOXES", "OUTLINES", "TEXT", "OVERLAYS"]
    assert state[0x6000, 0x1001].value == "OVERLAYS"
    assert (state.ShutterShape, state.ShutterPresentationValue) == ("RECTANGULAR", 0)
    assert RESEARCH_USE_ONLY in str(state)
    assert (0x6000, 0x3000) not in state


@pytest.mark.external
def test_dcmtk_draws_the_overlay_at_the_same_pixels(tmp_path):
    flat = np.full((ROWS, COLUMNS), 2000, np.uint16)
    ds = with_overlay(marker()[10:60, 5:50], (11, 6), stored=flat, BitsStored=12, HighBit=11)
    ds.save_as(tmp_path / "image.dcm", enforce_file_format=True)
    subprocess.run(["dcm2pnm", "+O", "1", "image.dcm", "out.pgm"], cwd=tmp_path, check=True)
    shown = np.frombuffer((tmp_path / "out.pgm").read_bytes()[-ROWS * COLUMNS :], np.uint8).reshape(ROWS, COLUMNS)
    assert np.array_equal(shown == 255, displayed(GREY, header_of(ds)) == 1)


@pytest.mark.external
@pytest.mark.parametrize("name", ["overlay", *SHUTTERS])
def test_judges_find_no_error_in_the_state(name, tmp_path):
    ds = with_overlay(marker()) if name == "overlay" else radiograph(**SHUTTERS[name])
    build("gsps", segmentation(ds=ds)).save_as(tmp_path / "state.dcm", enforce_file_format=True)
    assert dciodvfy(tmp_path / "state.dcm") == Verdict()
    done = subprocess.run(["dcmpschk", "state.dcm"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Test passed" in done.stdout + done.stderr, done.stdout + done.stderr
