"""The picture: what is drawn lies where it should, nothing else covers the bone, and nobody is named."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.drawing.burned_in import BOX, Words, burn, place_labels
from operators.drawing.marks import font_of, wrapped
from operators.records.geometry import PixelBox
from operators.records.images import Localization, Radiograph, Segmentation
from operators.records.provenance import RESEARCH_USE_ONLY
from tests.phantoms import classification, radiograph, source_image
from tests.segmentations import build, reread, segmentation

WORDS = Words("head", ("state",), "foot")
MASKED = ((np.zeros((1024, 1024), bool),), (0.8,))


def grey(rows: int, columns: int, box: PixelBox | None = None, mask: np.ndarray | None = None) -> Segmentation:
    record = classification(rows=160, columns=128)
    pixels = np.full((rows, columns), 0.5, np.float32)
    record = dataclasses.replace(record, radiograph=Radiograph(record.source, pixels))
    boxes = () if box is None else (box,)
    masks = () if box is None else (np.zeros((rows, columns), bool) if mask is None else mask,)
    localization = Localization(record, np.zeros((rows, columns), np.float32), boxes, (0.9,) * len(boxes))
    return Segmentation(localization, masks, (0.8,) * len(boxes))


def top_of(picture: np.ndarray) -> int:
    """The first row of the radiograph."""
    return int(np.flatnonzero((picture == 128).all(axis=2).mean(axis=1) > 0.3)[0])


def pixels(ds) -> np.ndarray:
    return reread(ds).pixel_array


@pytest.mark.parametrize(
    ("size", "expected"),
    [((454, 373), 1024), ((1000, 820), 1024), ((1500, 1200), 1500), ((4000, 3200), 2048), ((3000, 600), 2048)],
)
def test_the_radiograph_keeps_its_shape_and_is_neither_tiny_nor_huge(size, expected):
    picture = burn(grey(*size), WORDS)
    rows, columns = (np.flatnonzero((picture == 128).all(axis=2).mean(axis=axis) > 0.3) for axis in (1, 0))
    assert len(rows) == expected
    assert len(columns) == pytest.approx(expected * size[1] / size[0], abs=1)
    assert picture.dtype == np.uint8
    assert picture.nbytes % 2 == 0, "Pixel Data needs no padding, which not every viewer cuts off rightly"
    assert rows[0] > 0, "the words stand above the radiograph, not on it"


def test_a_box_is_drawn_where_it_is_and_covers_nothing():
    with_box, without = burn(grey(1024, 1024, PixelBox(200, 300, 500, 700)), WORDS), burn(grey(1024, 1024), WORDS)
    top = top_of(without)
    changed = (with_box[: top + 1024] != without[: top + 1024]).any(axis=2)[top:]
    blue = (with_box == BOX).all(axis=2)[top : top + 1024]
    assert blue[300, 200:500].all()
    assert blue[699, 200:500].all()
    assert blue[300:700, 200].all()
    assert blue[300:700, 499].all()
    assert not changed[310:690, 210:490].any()
    assert not changed[:, 501:].any()
    assert not changed[701:].any()


def test_a_box_in_doubt_is_dashed():
    whole = grey(1024, 1024, PixelBox(200, 300, 500, 700))
    record = dataclasses.replace(whole.localization.classification, state="doubt")
    picture = burn(Segmentation(dataclasses.replace(whole.localization, classification=record), *MASKED), WORDS)
    top = top_of(burn(grey(1024, 1024), WORDS))
    blue = (picture == BOX).all(axis=2)[top : top + 1024]
    for line in (blue[300, 200:500], blue[699, 200:500], blue[300:700, 200], blue[300:700, 499]):
        assert 0.5 < line.mean() < 0.85
        assert np.count_nonzero(np.diff(line.astype(int))) > 8
    assert not blue[310:690, 210:490].any()
    assert not blue[:, 501:].any()
    assert not blue[701:].any()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ({"ImagerPixelSpacing": [0.1, 0.2]}, (512, 1024)),
        ({"ImagerPixelSpacing": None, "PixelAspectRatio": [3, 2]}, (1536, 1024)),
        ({"ImagerPixelSpacing": None, "PixelAspectRatio": [100, 1]}, (1024, 1024)),
    ],
)
def test_pixels_that_are_not_square_are_drawn_in_their_shape(shape, expected):
    plain = grey(1024, 1024, PixelBox(256, 512, 512, 768))
    source = source_image(radiograph(kind="CR", **shape))
    record = plain.localization.classification
    record = dataclasses.replace(record, radiograph=Radiograph(source, record.radiograph.pixels))
    picture = burn(Segmentation(dataclasses.replace(plain.localization, classification=record), *MASKED), WORDS)
    rows, columns = (np.flatnonzero((picture == 128).all(axis=2).mean(axis=axis) > 0.3) for axis in (1, 0))
    assert (rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1) == expected
    blue = np.argwhere((picture[rows[0] : rows[-1] + 1, columns[0] :] == BOX).all(axis=2))
    (_, left), (bottom, right) = blue.min(axis=0), blue.max(axis=0)
    assert np.allclose((left, right + 1), (expected[1] / 4, expected[1] / 2), atol=60)  # with the label above the box
    assert np.allclose(bottom + 1, expected[0] * 3 / 4, atol=2)


def test_an_outline_is_white_with_a_dark_edge():
    mask = np.zeros((1024, 1024), bool)
    mask[400:600, 300:400] = True
    picture = burn(grey(1024, 1024, PixelBox(200, 300, 500, 700), mask), WORDS)
    top = top_of(picture)
    across = picture[top + 500, 290:310, 0].tolist()
    assert across[10] == 255
    assert 0 in across[:10]
    assert 0 in across[11:]
    assert (picture[top + 410 : top + 590, 310:390] == 128).all(), "the finding itself stays to be seen"


SIDES = st.integers(0, 800)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(SIDES, SIDES, st.integers(5, 200), st.integers(5, 200)), max_size=3))
def test_labels_lie_in_the_picture(corners):
    boxes = [(x, y, x + width, y + height) for x, y, width, height in corners]
    places = place_labels(boxes, [(70, 26)] * len(boxes), (1000, 1000))
    assert all(min(left, top) >= 0 and max(right, bottom) <= 1000 for left, top, right, bottom in places)


def test_labels_of_neighbours_lie_apart():
    first, second, third = place_labels(
        [(100, 100, 300, 300), (120, 90, 320, 310), (150, 110, 310, 280)], [(70, 26)] * 3, (1000, 1000)
    )
    assert len({first, second, third}) == 3
    for one, other in ((first, second), (first, third), (second, third)):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


@pytest.mark.parametrize("width", [100, 400, 2000])
def test_lines_are_broken_between_words(width):
    text = "OsteoMAP 0.1.0 · RESEARCH USE ONLY - not for clinical use"
    lines = wrapped(text, font_of(40), width)
    assert " ".join(lines) == text
    assert all(font_of(40).getlength(line) <= width or " " not in line for line in lines)


def test_no_patient_is_drawn():
    named, nameless = (
        pixels(build("sc", segmentation(2, ds=radiograph(**header))))
        for header in ({"PatientName": "SMITH^JANE", "PatientID": "4711"}, {"PatientName": None, "PatientID": None})
    )
    assert np.array_equal(named, nameless)


def test_the_states_are_told_apart():
    drawn = [pixels(build("sc", segmentation(0, state))) for state in ("normal", "doubt", "abnormal")]
    assert len({picture.tobytes() for picture in drawn}) == 3


@pytest.mark.parametrize("kind", ["DX", "CR"])
def test_it_says_what_it_is(kind):
    source = segmentation(1, ds=radiograph(kind=kind, StudyDescription="WRIST"))
    sc = reread(build("sc", source, 3))
    assert sc.SOPClassUID.name == "Secondary Capture Image Storage"
    assert list(sc.ImageType[:2]) == ["DERIVED", "SECONDARY"]
    assert (sc.PhotometricInterpretation, sc.BitsStored, sc.InstanceNumber) == ("RGB", 8, 3)
    assert RESEARCH_USE_ONLY in sc.DerivationDescription
    assert sc.SourceImageSequence[0].ReferencedSOPInstanceUID == source.source.sop_instance_uid
    assert (sc.Laterality, sc.BodyPartExamined, sc.StudyDescription) == ("L", "WRIST", "WRIST")
    assert list(sc.PatientOrientation) == ["L", "F"]


def test_nothing_is_invented():
    ds = radiograph(kind="CR", PatientOrientation=None, Laterality=None, BodyPartExamined=None)
    sc = build("sc", segmentation(1, ds=ds))
    assert not sc.PatientOrientation
    assert not sc.Laterality
    assert "BodyPartExamined" not in sc
    assert "PixelSpacing" not in sc


@pytest.mark.parametrize("said", ["YES", "NO", None])
def test_burned_in_annotation_is_that_of_the_source(said):
    source = source_image()
    source.header.BurnedInAnnotation = said
    source.header.LossyImageCompression = "01"
    if said is None:
        del source.header.BurnedInAnnotation
    segmented = segmentation(0)
    record = dataclasses.replace(
        segmented.localization.classification,
        radiograph=Radiograph(source, segmented.localization.classification.radiograph.pixels),
    )
    sc = build("sc", Segmentation(Localization(record, np.zeros((160, 128), np.float32), (), ()), (), ()))
    assert sc.get("BurnedInAnnotation") == said
    assert sc.LossyImageCompression == "01"


def test_a_study_has_one_series_per_body_part_and_side():
    def series(key: str, **header) -> str:
        ds = radiograph(key, study="s", kind="CR", **header)
        return build("sc", segmentation(0, ds=ds)).SeriesInstanceUID

    assert series("a") == series("b")
    assert len({series("a"), series("a", Laterality="R"), series("a", BodyPartExamined="HAND")}) == 3


def test_a_second_run_writes_the_same_picture():
    first, second = (build("sc", segmentation(2)) for _ in range(2))
    assert first == second
