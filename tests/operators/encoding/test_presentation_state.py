"""The presentation state: graphics lie where they should, on layers of their own, and the image keeps its look."""

from __future__ import annotations

import dataclasses
import subprocess

import numpy as np
import pytest
from pydicom.dataset import Dataset

from operators.drawing.contours import contours
from operators.reading.grey_scale import apply_window
from operators.records.images import Opinion
from operators.records.provenance import RESEARCH_USE_ONLY
from tests.phantoms import radiograph
from tests.segmentations import build, reread, segmentation

TRACKING = ("2.25.1", "2.25.2", "2.25.3")


def encode(source, number: int = 1) -> Dataset:
    return reread(build("gsps", source, number))


def layer(state: Dataset, name: str) -> Dataset:
    (annotation,) = [item for item in state.GraphicAnnotationSequence if item.GraphicLayer == name]
    return annotation


def with_header(source, **values):
    """The grey-scale attributes as the normalised header has them."""
    for keyword, value in values.items():
        setattr(source.source.header, keyword, value)
    return source


def lut(entries: np.ndarray) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), 0, 16])
    item.add_new("LUTData", "OW", entries.astype("<u2").tobytes())
    return item


@pytest.mark.parametrize("kind", ["DX", "CR"])
def test_boxes_are_closed_and_tracked(kind):
    source = segmentation(3, ds=radiograph(kind=kind))
    state = encode(source)
    assert [item.GraphicLayer for item in state.GraphicLayerSequence] == ["BOXES", "OUTLINES", "TEXT"]
    drawn = layer(state, "BOXES").GraphicObjectSequence
    for graphic, box, uid in zip(drawn, source.localization.boxes, TRACKING, strict=True):
        points = np.reshape(graphic.GraphicData, (-1, 2))
        assert (graphic.GraphicType, graphic.GraphicAnnotationUnits, graphic.TrackingUID) == ("POLYLINE", "PIXEL", uid)
        assert np.array_equal(points[0], points[-1])
        assert (*points.min(0), *points.max(0)) == (box.left, box.top, box.right, box.bottom)


def test_outlines_are_the_contours_of_the_masks():
    mask = np.zeros((160, 128), bool)
    mask[30:100, 20:90] = True
    mask[50:60, 40:60] = False
    source = dataclasses.replace(segmentation(1), masks=(mask,))
    drawn = layer(encode(source), "OUTLINES").GraphicObjectSequence
    found = {tuple(map(tuple, np.reshape(graphic.GraphicData, (-1, 2))[:-1])) for graphic in drawn}
    assert found == {tuple(map(tuple, polygon)) for polygon in contours(mask)}
    assert len(found) == 2


def test_a_huge_outline_fits_its_element():
    comb = np.zeros((16000, 128), bool)
    comb[::2] = comb[:, :1] = True
    specks = np.zeros_like(comb)
    specks[:400] = np.random.default_rng(0).random((400, 128)) > 0.6
    source = segmentation(2)
    source.source.header.Rows, source.source.header.Columns = comb.shape
    drawn = layer(encode(dataclasses.replace(source, masks=(comb, specks))), "OUTLINES").GraphicObjectSequence
    assert max(4 * len(graphic.GraphicData) for graphic in drawn) < 65534
    assert {graphic.TrackingUID for graphic in drawn} == set(TRACKING[:2])


@pytest.mark.parametrize("state", ["normal", "doubt", "abnormal"])
def test_the_text_says_state_probability_and_research_use(state):
    texts = [item.UnformattedTextValue for item in layer(encode(segmentation(0, state)), "TEXT").TextObjectSequence]
    assert any(RESEARCH_USE_ONLY in text for text in texts)
    assert any(text.startswith(state) and "probability of abnormality 0.90" in text for text in texts)


def test_a_normal_image_has_text_only():
    state = encode(segmentation(0, "normal"))
    assert [item.GraphicLayer for item in state.GraphicLayerSequence] == ["TEXT"]


def test_a_box_without_a_mask_is_still_a_box():
    source = dataclasses.replace(segmentation(1), masks=(np.zeros((160, 128), bool),))
    assert [item.GraphicLayer for item in encode(source).GraphicLayerSequence] == ["BOXES", "TEXT"]


def test_it_refers_to_the_image_and_shows_all_of_it():
    source = segmentation(1, ds=radiograph(StudyDescription="WRIST"))
    state = encode(source, 4)
    (item,) = state.ReferencedSeriesSequence[0].ReferencedImageSequence
    assert item.ReferencedSOPInstanceUID == source.source.sop_instance_uid
    area = state.DisplayedAreaSelectionSequence[0]
    assert list(area.DisplayedAreaTopLeftHandCorner) == [1, 1]
    assert list(area.DisplayedAreaBottomRightHandCorner) == [128, 160]
    assert (state.InstanceNumber, state.Laterality, state.BodyPartExamined) == (4, "L", "WRIST")
    assert state.StudyDescription == "WRIST"


@pytest.mark.parametrize("function", [None, "SIGMOID", "LINEAR_EXACT"])
def test_the_window_of_the_source_is_kept(function):
    values = {"WindowCenter": [1500, 2000], "WindowWidth": [700, 900], "RescaleSlope": 2, "RescaleIntercept": -10}
    source = with_header(segmentation(1), **values, **({"VOILUTFunction": function} if function else {}))
    state = encode(source)
    (voi,) = state.SoftcopyVOILUTSequence
    assert (voi.WindowCenter, voi.WindowWidth, voi.get("VOILUTFunction")) == (1500, 700, function)
    assert (state.RescaleSlope, state.RescaleIntercept, state.RescaleType) == (2, -10, "US")


def test_the_tables_of_the_source_are_kept_and_come_before_a_window():
    table = lut(np.arange(4096) * 16)
    source = with_header(
        segmentation(1),
        VOILUTSequence=[table],
        WindowCenter=1,
        WindowWidth=2,
        ModalityLUTSequence=[table],
        RescaleSlope=1,
        RescaleIntercept=0,
    )
    state = encode(source)
    assert state.ModalityLUTSequence[0].LUTData == table.LUTData
    assert "RescaleSlope" not in state
    assert state.SoftcopyVOILUTSequence[0].VOILUTSequence[0].LUTData == table.LUTData
    assert "WindowCenter" not in state.SoftcopyVOILUTSequence[0]


@pytest.mark.parametrize(("sense", "shape"), [("MONOCHROME1", "INVERSE"), ("MONOCHROME2", "IDENTITY")])
def test_the_grey_scale_keeps_its_sense(sense, shape):
    assert encode(segmentation(1, ds=radiograph(PhotometricInterpretation=sense))).PresentationLUTShape == shape


WINDOW = {"WindowCenter": 1500, "WindowWidth": 700}


@pytest.mark.external
@pytest.mark.parametrize(
    "values",
    [
        WINDOW,
        {"WindowCenter": [1500, 10], "WindowWidth": [700, 10]},
        WINDOW | {"VOILUTFunction": "SIGMOID"},
        WINDOW | {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
        WINDOW | {"RescaleSlope": 2, "RescaleIntercept": -1000, "RescaleType": "US"},
        {"WindowCenter": None, "WindowWidth": None, "VOILUTSequence": [lut(np.sqrt(np.arange(4096) / 4095) * 65535)]},
        {"WindowCenter": None, "WindowWidth": None},
    ],
)
def test_the_state_shows_the_image_as_its_own_header_does(values, tmp_path):
    ds = radiograph(**values)
    state = encode(segmentation(2, ds=ds))
    for name, item in (("image", ds), ("state", state)):
        item.save_as(tmp_path / f"{name}.dcm", enforce_file_format=True)
    pictures = []
    for name, options in (("plain", []), ("stated", ["-p", "state.dcm"])):
        subprocess.run(["dcmp2pgm", *options, "image.dcm", f"{name}.pgm"], cwd=tmp_path, check=True)
        pictures.append(np.frombuffer((tmp_path / f"{name}.pgm").read_bytes()[-160 * 128 :], np.uint8))
    assert np.array_equal(*pictures)
    assert np.ptp(pictures[0]) > 100


def test_the_header_is_left_as_it_is():
    source = with_header(segmentation(1), WindowCenter=1500, WindowWidth=700)
    before = Dataset(source.source.header).to_json()
    encode(source)
    assert source.source.header.to_json() == before


def test_a_second_run_writes_the_same_state():
    first, second = (build("gsps", segmentation(2)) for _ in range(2))
    assert first == second


def test_pixels_that_are_not_square_are_told():
    (square,) = encode(segmentation()).DisplayedAreaSelectionSequence
    assert list(square.PresentationPixelAspectRatio) == [1, 1]
    (area,) = encode(segmentation(ds=radiograph(ImagerPixelSpacing=[0.1, 0.3]))).DisplayedAreaSelectionSequence
    assert "PresentationPixelAspectRatio" not in area
    assert list(area.PresentationPixelSpacing) == [0.1, 0.3]
    shape = radiograph(kind="CR", ImagerPixelSpacing=None, PixelAspectRatio=[2, 1])
    (area,) = encode(segmentation(ds=shape)).DisplayedAreaSelectionSequence
    assert "PresentationPixelSpacing" not in area
    assert list(area.PresentationPixelAspectRatio) == [2, 1]


@pytest.mark.parametrize(("state", "dashed"), [("doubt", True), ("abnormal", False)])
def test_boxes_in_doubt_are_dashed(state, dashed):
    drawn = layer(encode(segmentation(2, state)), "BOXES").GraphicObjectSequence
    styles = [graphic.LineStyleSequence[0].LineDashingStyle for graphic in drawn if "LineStyleSequence" in graphic]
    assert styles == ["DASHED"] * (2 if dashed else 0)


def test_a_disagreement_is_no_ordinary_doubt():
    opinions = (Opinion("msk_a", 3.0, 0.95, "abnormal"), Opinion("msk_c", -3.0, 0.05, "normal"))
    text = str(encode(segmentation(1, "doubt", opinions=opinions)))
    assert "doubt: the classifiers disagree" in text


def twelve_bits() -> Dataset:
    item = lut(np.arange(4096))
    item.LUTDescriptor = [4096, 0, 12]
    return item


def table_of(item: Dataset) -> np.ndarray:
    return np.frombuffer(item.LUTData, "<u2").astype(float)


def test_tables_of_other_bits_are_told_in_sixteen():
    """A presentation state knows 8 and 16."""
    shown = with_header(segmentation(), VOILUTSequence=[twelve_bits()])
    (table,) = encode(shown).SoftcopyVOILUTSequence[0].VOILUTSequence
    assert list(table.LUTDescriptor) == [4096, 0, 16]
    assert table_of(table)[[0, 4095]].tolist() == [0, 65535]


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT"])
def test_a_window_is_stretched_with_its_modality_lut(function):
    source = with_header(
        segmentation(),
        ModalityLUTSequence=[twelve_bits()],
        WindowCenter=1000,
        WindowWidth=500,
        VOILUTFunction=function,
    )
    state = encode(source)
    (table,), (voi,) = state.ModalityLUTSequence, state.SoftcopyVOILUTSequence
    assert list(table.LUTDescriptor) == [4096, 0, 16]
    windows = ((np.arange(4096.0), 1000.0, 500.0), (table_of(table), float(voi.WindowCenter), float(voi.WindowWidth)))
    before, after = (apply_window(values, centre, width, function) for values, centre, width in windows)
    assert np.abs(before - after).max() < 1e-3


def test_two_tables_become_one_where_one_was_stretched():
    modality, voi = twelve_bits(), lut(np.arange(4096)[::-1] * 16)
    modality.LUTData = (np.arange(4096) // 2).astype("<u2").tobytes()
    state = encode(with_header(segmentation(), ModalityLUTSequence=[modality], VOILUTSequence=[voi]))
    assert "ModalityLUTSequence" not in state
    (table,) = state.SoftcopyVOILUTSequence[0].VOILUTSequence
    assert np.array_equal(table_of(table), (np.arange(4096)[::-1] * 16)[np.arange(4096) // 2])
    assert list(modality.LUTDescriptor) == [4096, 0, 12]  # the source's own is left as it is
    assert table_of(modality).max() == 2047
