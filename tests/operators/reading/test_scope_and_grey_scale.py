"""The grey-scale pipeline of PS3.4 N.2.1, and the scope."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, DigitalXRayImageStorageForProcessing, SecondaryCaptureImageStorage

from operators.reading.grey_scale import apply_window, render
from operators.reading.header_values import valid_values
from operators.reading.scope import body_part, check_scope, imager_pixel_spacing_mm
from operators.records.codes import BODY_PARTS
from operators.records.errors import InvalidDicomError, UnsupportedImageError
from operators.records.rules import Scope
from tests.phantoms import radiograph

SCOPE = Scope(frozenset(BODY_PARTS), secondary_capture=False, smallest_side=64, largest_area=100_000_000)
RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)


def header(**overrides) -> Dataset:
    return radiograph(stored=RAMP, **({"BitsStored": 12, "HighBit": 11} | overrides))


def test_a_window_over_the_whole_range_shows_every_value():
    picture = render(RAMP, header(WindowCenter=2048, WindowWidth=4096))
    assert picture.dtype == np.float32
    assert picture.ravel() == pytest.approx(np.arange(4096) / 4095, abs=1e-6)


def test_linear_follows_the_standard():
    # PS3.3 C.11.2.1.2.1: centre 2048, width 4096: -0.5 below, +0.5 above
    values = np.array([-1.0, 0.0, 2047.5, 4095.0, 5000.0])
    assert apply_window(values, 2048, 4096, "LINEAR") == pytest.approx([0, 0, 0.5, 1, 1])


def test_linear_exact_follows_the_standard():
    assert apply_window(np.array([0.0, 50.0, 100.0]), 50, 100, "LINEAR_EXACT") == pytest.approx([0, 0.5, 1])


def test_sigmoid_follows_the_standard():
    values = np.array([-1e9, 100.0, 150.0, 1e9])
    assert apply_window(values, 100, 200, "SIGMOID") == pytest.approx([0, 0.5, 1 / (1 + np.exp(-1)), 1])


@pytest.mark.parametrize(("function", "width"), [("LINEAR", 0.5), ("LINEAR_EXACT", 0), ("SIGMOID", -1), ("CUBIC", 10)])
def test_an_impossible_window_is_an_error(function, width):
    with pytest.raises(ValueError, match="window"):
        apply_window(np.arange(4.0), 1, width, function)
    with pytest.raises(InvalidDicomError, match="look-up table"):
        render(RAMP, header(WindowCenter=2048, WindowWidth=width, VOILUTFunction=function))


def test_of_several_windows_the_first_is_taken():
    several = render(RAMP, header(WindowCenter=[1000, 3000], WindowWidth=[500, 100]))
    assert np.array_equal(several, render(RAMP, header(WindowCenter=1000, WindowWidth=500)))


def test_without_a_window_the_range_of_the_image_is_shown():
    stored = RAMP // 2 + 500
    picture = render(stored, header(WindowCenter=None, WindowWidth=None))
    assert (picture.min(), picture.max()) == (0, 1)


def test_a_window_that_misses_all_pixels_is_ignored():
    assert np.ptp(render(RAMP, header(WindowCenter=60000, WindowWidth=10))) == 1


def test_the_monochrome1_twin_gives_the_same_picture():
    mono2 = render(RAMP, header(WindowCenter=2048, WindowWidth=4096))
    mono1 = render(4095 - RAMP, header(WindowCenter=2048, WindowWidth=4096, PhotometricInterpretation="MONOCHROME1"))
    assert mono1 == pytest.approx(mono2, abs=1e-6)


def test_rescale_comes_before_the_window():
    rescaled = render(RAMP, header(RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=3096, WindowWidth=8191))
    assert rescaled.ravel() == pytest.approx(
        np.clip((np.arange(4096) * 2 - 1000 - 3095.5) / 8190 + 0.5, 0, 1), abs=1e-6
    )


def lut(entries, first, bits) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item["LUTDescriptor"].VR = "US"
    item.LUTData = list(entries)
    item["LUTData"].VR = "US"
    return item


def test_a_modality_lut_sequence_replaces_rescale():
    item = lut(list(range(4095, -1, -1)), 0, 16)
    picture = render(RAMP, header(ModalityLUTSequence=[item], WindowCenter=2048, WindowWidth=4096))
    assert picture.ravel() == pytest.approx(np.arange(4095, -1, -1) / 4095, abs=1e-6)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_a_voi_lut_sequence_comes_before_a_window(bits):
    item = lut(np.linspace(2**bits - 1, 0, 4096).astype(int).tolist(), 0, bits)
    picture = render(RAMP, header(VOILUTSequence=[item], WindowCenter=1, WindowWidth=2))
    assert picture.ravel() == pytest.approx(np.linspace(1, 0, 4096), abs=1 / (2**bits - 1))


def test_values_beyond_a_lut_take_its_ends():
    item = lut([0, 1000, 65535], 100, 16)
    picture = render(RAMP, header(VOILUTSequence=[item]))
    assert picture.ravel()[[0, 100, 101, 102, 4095]] == pytest.approx([0, 0, 1000 / 65535, 1, 1], abs=1e-6)


def test_a_lut_that_is_too_short_is_an_error():
    item = lut([0, 1], 0, 16)
    item.LUTDescriptor = [4096, 0, 16]
    with pytest.raises(InvalidDicomError, match="look-up table"):
        render(RAMP, header(VOILUTSequence=[item]))


def test_padding_is_black_and_does_not_widen_the_range():
    stored = np.where(RAMP < 100, 4095, RAMP // 4 + 100).astype(np.uint16)
    picture = render(stored, header(WindowCenter=None, WindowWidth=None, PixelPaddingValue=4095))
    assert (picture[RAMP < 100] == 0).all()
    assert picture.max() == 1
    ranged = render(
        stored, header(WindowCenter=None, WindowWidth=None, PixelPaddingValue=4000, PixelPaddingRangeLimit=4095)
    )
    assert np.array_equal(ranged, picture)


def test_signed_pixels_are_shown_from_lowest_to_highest():
    stored = RAMP.astype(np.int16) - 2048
    picture = render(stored, header(PixelRepresentation=1, WindowCenter=0, WindowWidth=4096))
    assert picture.ravel() == pytest.approx(np.arange(4096) / 4095, abs=1e-3)


def test_a_blank_image_is_declined():
    with pytest.raises(UnsupportedImageError) as caught:
        render(np.full((64, 64), 7, np.uint16), header())
    assert caught.value.reason == "image_quality"


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({"SOPClassUID": CTImageStorage, "Modality": "CT"}, "not_a_radiograph"),
        ({"SOPClassUID": SecondaryCaptureImageStorage, "Modality": "DX"}, "not_a_radiograph"),
        ({"SOPClassUID": DigitalXRayImageStorageForProcessing}, "for_processing"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "for_processing"),
        ({"NumberOfFrames": 2}, "multi_frame"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "colour"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "colour"),
        ({"BodyPartExamined": "CHEST"}, "body_part_out_of_scope"),
        ({"Rows": 63}, "too_small"),
        ({"Rows": 20000, "Columns": 20000}, "too_large"),
    ],
)
def test_what_is_not_analysed_is_declined_with_its_reason(overrides, reason):
    with pytest.raises(UnsupportedImageError) as caught:
        check_scope(header(**overrides), SCOPE)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "overrides",
    [
        {"Rows": 0},
        {"Columns": None},
        {"BitsAllocated": 32},
        {"BitsStored": 0},
        {"BitsStored": 17},
        {"HighBit": 3},
        {"PixelRepresentation": 7},
    ],
)
def test_an_impossible_matrix_fails(overrides):
    with pytest.raises(InvalidDicomError) as caught:
        check_scope(header(**overrides), SCOPE)
    assert caught.value.reason == "header_invalid"


def test_a_secondary_capture_is_analysed_if_the_configuration_allows_it():
    allowed = Scope(SCOPE.body_parts, True, SCOPE.smallest_side, SCOPE.largest_area)
    check_scope(header(SOPClassUID=SecondaryCaptureImageStorage, Modality="RG"), allowed)
    with pytest.raises(UnsupportedImageError):
        check_scope(header(SOPClassUID=SecondaryCaptureImageStorage, Modality="OT"), allowed)


def region(value, scheme) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, "?"
    return item


@pytest.mark.parametrize(
    ("part", "regions", "expected"),
    [
        ("WRIST", [], "WRIST"),
        ("left hand", [], "HAND"),
        ("Tib/Fib", [], "LEG"),
        ("lower extremity", [], "LOWERLIMB"),
        ("CHEST", [], "CHEST"),
        ("", [region("72696002", "SCT")], "KNEE"),
        ("", [region("T-D9200", "SRT")], "KNEE"),
        ("", [region("816094009", "SCT")], None),
        ("SMITH", [region("72696002", "SCT")], "KNEE"),
        ("SMITH", [], None),
        ("", [region("", "")], None),
        ("", [], None),
    ],
)
def test_the_body_part_comes_from_term_or_region(part, regions, expected):
    assert body_part(header(BodyPartExamined=part, AnatomicRegionSequence=regions)) == expected


def test_an_absent_body_part_is_in_scope_and_one_that_is_named_otherwise_is_not():
    nothing = header(BodyPartExamined=None, AnatomicRegionSequence=None)
    check_scope(nothing, SCOPE)
    with pytest.raises(UnsupportedImageError, match="no defined term") as caught:
        check_scope(nothing, SCOPE, unknown_part=True)
    assert caught.value.reason == "body_part_out_of_scope"
    check_scope(header(), SCOPE, unknown_part=True)  # one of the two is known


def test_only_a_detector_spacing_counts():
    assert imager_pixel_spacing_mm(header()) == (0.2, 0.2)
    assert imager_pixel_spacing_mm(header(ImagerPixelSpacing=None, PixelSpacing=[0.1, 0.1])) is None
    assert imager_pixel_spacing_mm(header(ImagerPixelSpacing=[0, 0])) is None


@pytest.mark.parametrize("keyword", ["ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelSpacing"])
@pytest.mark.parametrize("spacing", ["1e-320", "0.0099", "5.1", "200", "1e200", "-0.2", "0", "NaN", "inf"])
def test_an_implausible_spacing_is_no_spacing(keyword, spacing):
    for values in ([spacing, "0.2"], ["0.2", spacing]):
        with pytest.raises(ValueError, match="not the distance"):
            valid_values(values, keyword, declared=True)


@pytest.mark.parametrize("spacing", [0.015, 0.05, 0.1, 0.2, 0.4, 0.84, 3.0])
def test_spacings_of_detectors_films_and_reduced_copies_are_plausible(spacing):
    for keyword in ("ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelSpacing"):
        assert valid_values([spacing, spacing], keyword, declared=True) == [spacing, spacing]
