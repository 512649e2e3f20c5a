"""The objects of an image, SEG above all: what is in them comes back out of them, for headers of real life too."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from monai_app.rules import shaping
from monai_app.settings import read_settings
from operators.encoding.image_objects import encode_image
from operators.encoding.object_kinds import OBJECT_KINDS
from operators.reading.decoder_process import _answer as answer
from operators.reading.normalised_header import check_identity
from operators.reading.scope import check_scope
from operators.records.errors import EncodingError, ImageError
from operators.records.images import EncodedImage, Segmentation
from operators.records.provenance import RESEARCH_USE_ONLY, Model, Provenance
from operators.records.rules import Scope
from operators.records.study import Study
from tests.built_studies import EVERY_OBJECT
from tests.phantoms import radiograph
from tests.segmentations import PROVENANCE, RULE, SEVERAL, WITH_PDF, encode, reread, segmentation
from tests.segmentations import report as built


def report_of(*images: EncodedImage) -> Dataset | None:
    return built(Study("1.2.3", images)).objects.get("sr")


@pytest.mark.parametrize("kind", ["DX", "CR"])
@pytest.mark.parametrize("masks", [1, 2, 3])
def test_mask_to_seg_to_mask_is_the_identity(kind, masks):
    source = segmentation(masks, ds=radiograph(kind=kind))
    seg = hd.seg.Segmentation.from_dataset(reread(encode(source).seg))
    assert seg.SegmentationType == "BINARY"
    assert seg.number_of_segments == masks
    for number, mask in enumerate(source.masks, start=1):
        frame = seg.get_pixels_by_source_instance(
            source_sop_instance_uids=[source.source.sop_instance_uid],
            segment_numbers=[number],
            ignore_spatial_locations=True,
        )
        assert np.array_equal(frame[0, :, :, 0].astype(bool), mask)


def test_overlapping_segments_stay_apart():
    source = segmentation(2)
    mask = np.zeros((160, 128), bool)
    mask[40:90, 30:70] = True
    both = Segmentation(source.localization, (mask, mask.copy()), (0.5, 0.5))
    seg = reread(encode(both).seg)
    assert seg.NumberOfFrames == 2


def test_a_segment_names_its_algorithm_and_its_region():
    (segment,) = encode(segmentation()).seg.SegmentSequence
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmName == "msk_b"
    assert "b" * 64 in algorithm.AlgorithmParameters
    assert segment.AnatomicRegionSequence[0].CodeMeaning == "Wrist joint"
    assert segment.TrackingUID


def test_research_use_only_is_said_in_every_object():
    encoded = encode(segmentation())
    assert RESEARCH_USE_ONLY in encoded.seg.ContentDescription
    report = report_of(encoded)
    assert RESEARCH_USE_ONLY in str(report)
    for ds in (encoded.seg, report):
        assert "research use only" in ds.SeriesDescription
        described = [
            item.ContributionDescription
            for item in ds.ContributingEquipmentSequence
            if "ContributionDescription" in item
        ]
        assert any("a" * 64 in text and "b" * 64 in text for text in described)


@pytest.mark.parametrize(
    ("header", "spacing", "told"),
    [
        ({"ImagerPixelSpacing": [0.2, 0.3], "PixelSpacing": [0.1, 0.1]}, [0.2, 0.3], "plane of the detector"),
        ({"NominalScannedPixelSpacing": [0.4, 0.5], "PixelSpacing": [0.1, 0.1]}, [0.4, 0.5], "the film"),
        ({"PixelSpacing": [0.1, 0.2]}, [0.1, 0.2], "does not say whether it is calibrated"),
        ({"PixelSpacing": [0.1, 0.2], "PixelSpacingCalibrationType": "FIDUCIAL"}, [0.1, 0.2], "object of known size"),
        ({"PixelSpacing": [0.1, 0.2], "PixelSpacingCalibrationType": "GEOMETRY"}, [0.1, 0.2], "by geometry"),
        ({"PixelSpacing": [0.1, 0.2], "PixelSpacingCalibrationType": "x"}, [0.1, 0.2], "does not say"),
        ({"PixelAspectRatio": [2, 1]}, [2.0, 1.0], "invented: 1 mm per column"),
        ({"PixelAspectRatio": [0, 1]}, [1.0, 1.0], "invented: 1 mm; the source gives no size"),
        ({"PixelAspectRatio": [1, 0]}, [1.0, 1.0], "invented: 1 mm; the source gives no size"),
        ({"ImagerPixelSpacing": [1e-320, 0.2], "PixelAspectRatio": [1, 2]}, [0.5, 1.0], "invented"),
        ({"ImagerPixelSpacing": [1e15, 1e15]}, [1.0, 1.0], "invented: 1 mm; the source gives no size"),
        ({"PixelSpacing": [-1, 0.2]}, [1.0, 1.0], "invented: 1 mm; the source gives no size"),
        ({}, [1.0, 1.0], "invented: 1 mm; the source gives no size"),
    ],
)
def test_every_segmentation_has_a_plane_and_says_what_its_spacing_is(header, spacing, told):
    image = mapped(ds=radiograph(kind="CR", **({"ImagerPixelSpacing": None} | header)))
    objects = encode(image, PROVENANCE, EVERY_OBJECT).objects
    for kind in ("seg", "heatmap", "labelmap"):
        ds = reread(objects[kind])
        shared = ds.SharedFunctionalGroupsSequence[0]
        assert list(shared.PixelMeasuresSequence[0].PixelSpacing) == spacing
        assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == [1, 0, 0, 0, 1, 0]
        for frame in ds.PerFrameFunctionalGroupsSequence:
            assert frame.PlanePositionSequence[0].ImagePositionPatient == [0, 0, 0]
            indices = frame.FrameContentSequence[0].DimensionIndexValues
            assert [index.DimensionIndexPointer for index in ds.DimensionIndexSequence][1:] == [
                Tag("ImagePositionPatient")
            ]
            assert (len(indices), indices[1]) == (2, 1)
        assert told in ds.ImageComments
    detector = image.source.imager_pixel_spacing_mm
    assert (detector == tuple(spacing)) == ("detector" in told)
    report = report_of(encode(image)).to_json()
    assert ('"mm2"' in report) == (detector is not None)
    assert ("Pixel Spacing of the segmentation: " in report) == (detector is None)


def test_nothing_to_outline_gives_no_seg():
    assert encode(segmentation(0, "normal")).seg is None
    empty = segmentation(1)
    empty = Segmentation(empty.localization, (np.zeros((160, 128), bool),), (0.1,))
    encoded = encode(empty)
    assert encoded.seg is None
    assert encoded.segment_numbers == (None,)


def test_an_image_that_cannot_be_referred_to_gives_no_objects():
    encoded = encode(segmentation(ds=radiograph(SOPInstanceUID="999.1.02")))
    assert encoded.seg is None
    assert report_of(encoded) is None


def test_a_second_run_writes_the_same_objects():
    first, second = (encode(segmentation(2)) for _ in range(2))
    assert first.seg == second.seg
    assert report_of(first) == report_of(second)


def test_another_model_gives_other_uids():
    other = Provenance("0.1.0", PROVENANCE.classifiers, Model("msk_b", "2", "c" * 64), PROVENANCE.now)
    first, second = (encode(segmentation(), provenance, RULE).seg for provenance in (PROVENANCE, other))
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert PROVENANCE.device_uid != other.device_uid


def test_uids_follow_what_shapes_the_content():
    first, second = PROVENANCE.classifiers[0], PROVENANCE.segmenter
    others = (
        SEVERAL,
        dataclasses.replace(PROVENANCE, classifiers=SEVERAL.classifiers[::-1]),
        dataclasses.replace(PROVENANCE, classifiers=(dataclasses.replace(first, parameters=(("rule_in", "0.7"),)),)),
        dataclasses.replace(PROVENANCE, segmenter=dataclasses.replace(second, version="3")),
        dataclasses.replace(PROVENANCE, settings="others"),
        dataclasses.replace(PROVENANCE, version="0.2.0"),
        PROVENANCE,
    )
    for name in (lambda one: one.uid("seg", "1.2.3"), lambda one: one.device_uid):
        assert len({name(other) for other in others}) == len(others)
    assert dataclasses.replace(PROVENANCE, now=datetime(2027, 1, 1, tzinfo=UTC)).device_uid == PROVENANCE.device_uid


def test_settings_that_shape_results_are_told_from_those_that_do_not():
    settings = read_settings()
    outputs, sam = settings.outputs, settings.segmentation
    more = dataclasses.replace(settings, outputs=dataclasses.replace(outputs, kinds=frozenset({"pdf", "heatmap"})))
    assert shaping(more) == shaping(settings)
    for other in (
        dataclasses.replace(settings, segmentation=dataclasses.replace(sam, votes=5)),
        dataclasses.replace(settings, report=dataclasses.replace(settings.report, patient_data=True)),
    ):
        assert shaping(other) != shaping(settings)


def mapped(**source: Any) -> Segmentation:
    """A segmentation whose heat map is not empty."""
    whole = segmentation(**source)
    heatmap = np.full_like(whole.localization.heatmap, 0.5)
    return dataclasses.replace(whole, localization=dataclasses.replace(whole.localization, heatmap=heatmap))


def test_an_object_has_another_uid_as_that_of_another_number():
    """Each bears the number of its image in its series; pictures and graphics show it too."""
    first, second = (encode_image(mapped(), number, EVERY_OBJECT, PROVENANCE).objects for number in (1, 2))
    assert not any(first[kind].SOPInstanceUID == second[kind].SOPInstanceUID for kind in first)


def test_a_segment_of_an_image_in_doubt_says_so():
    labels = [encode(segmentation(state=state)).seg.SegmentSequence[0].SegmentLabel for state in ("abnormal", "doubt")]
    assert labels == ["Suspected abnormality 1", "Suspected abnormality 1 (in doubt)"]


def test_a_seg_that_cannot_be_built_fails_its_image(monkeypatch):
    monkeypatch.setattr(
        "operators.encoding.seg.hd.seg.Segmentation", lambda **_: (_ for _ in ()).throw(ValueError("SMITH"))
    )
    with pytest.raises(EncodingError) as caught:
        encode(segmentation())
    assert "SMITH" not in caught.value.detail


@pytest.mark.parametrize("kind", ["heatmap", "sc", "gsps", "labelmap"])
def test_another_object_that_cannot_be_built_costs_itself_only(monkeypatch, caplog, kind):
    kinds = [
        dataclasses.replace(each, of_image=lambda _: (_ for _ in ()).throw(ValueError("SMITH")))
        if each.name == kind
        else each
        for each in OBJECT_KINDS
    ]
    monkeypatch.setattr("operators.encoding.image_objects.OBJECT_KINDS", kinds)
    made = encode_image(mapped(), 1, EVERY_OBJECT, PROVENANCE).objects
    assert set(made) == {"seg", "heatmap", "sc", "gsps", "labelmap"} - {kind}
    assert f"the {kind} object cannot be built (ValueError)" in caplog.text
    assert "SMITH" not in caplog.text


def test_a_document_that_cannot_be_laid_out_costs_itself_only(monkeypatch, caplog):
    monkeypatch.setattr("operators.pipeline.render_pdf", lambda *_: (_ for _ in ()).throw(ValueError("SMITH")))
    reported = built(Study("1.2.3", (encode(segmentation()),)), rule=WITH_PDF)
    assert set(reported.objects) == {"sr"}
    assert reported.outcome.state == "abnormal"
    assert "SMITH" not in caplog.text


@pytest.mark.parametrize(
    "defect",
    [
        {"PatientName": None, "PatientID": None, "PatientBirthDate": None, "PatientSex": None},
        {"StudyDate": None, "StudyTime": None, "StudyID": None, "AccessionNumber": None},
        {"ReferringPhysicianName": None, "Manufacturer": None, "SeriesNumber": None, "InstanceNumber": None},
        {"PatientOrientation": None},
        {"PatientOrientation": ""},
        {"StudyDate": "20261301"},
        {"SpecificCharacterSet": ["", "ISO 2022 IR 87"], "PatientName": "Yamada^Tarou=山田^太郎"},
        {"SpecificCharacterSet": "GB18030", "PatientName": "王^小东"},
        {"ImageLaterality": None, "Laterality": None},
        {"PatientID": "X" * 64},
    ],
)
@pytest.mark.parametrize("kind", ["DX", "CR"])
def test_headers_of_real_life_give_objects(kind, defect):
    encoded = encode(segmentation(ds=radiograph(kind=kind, **defect)))
    assert reread(encoded.seg).SOPClassUID
    assert reread(report_of(encoded)).SOPClassUID


ODD_TEXT = (
    "",
    "a\\b\\c",
    "\x00",
    "NaN",
    "1e400",
    "日本",
    "<b>",
    "SMITH^J" * 30,
    "19990101\\20000101",
    "x" * 70,
    "M",
    "^^^^^^",
)


def with_odd_values(random: np.random.Generator) -> Dataset:
    """A radiograph some of whose attributes have a value, or a VR, that they should not have."""
    ds = radiograph(kind=str(random.choice(["DX", "CR"])), PatientAge="042Y", StudyID="1", StudyDescription="x")
    kept = ("SpecificCharacterSet", "Rows", "Columns")
    tags = [element.tag for element in ds if element.VR not in ("OB", "OW", "SQ", "SS") and element.keyword not in kept]
    for tag in random.choice(tags, int(random.integers(1, 6)), replace=False):
        if ds[tag].VR == "US":
            ds[tag] = DataElement(tag, "US", [0, 1, 65535, [1, 2], None][int(random.integers(5))])
        elif random.random() < 0.1 and ds[tag].VR != "UI":
            ds[tag] = DataElement(tag, "SQ", [Dataset(), Dataset()])
        else:
            vr, text = str(random.choice(["LO", "UT", "CS", "PN"])), str(random.choice(ODD_TEXT))
            vr = "UT" if ds[tag].VR == "UI" else vr  # pydicom writes no file with several UIDs
            text = text.encode("ascii", "replace").decode() if vr == "CS" else text
            ds[tag] = DataElement(tag, vr, text, validation_mode=IGNORE)
    return ds


@pytest.mark.parametrize("seed", range(100))
def test_a_header_is_refused_or_gives_objects(seed, tmp_path):
    path = tmp_path / "a.dcm"
    with_odd_values(np.random.default_rng(seed)).save_as(path, enforce_file_format=True)
    reply, _ = answer("header", path)
    header = Dataset.from_json(reply["header"])
    try:
        check_identity(header)
        check_scope(header, Scope(("WRIST",), False, 64, 10**8))
    except ImageError:
        return
    encoded = encode(segmentation(ds=header))
    report = report_of(encoded)
    for ds in (encoded.seg, report):
        assert ds is None or reread(ds).SOPClassUID
